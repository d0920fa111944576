from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from report_runs import write_run, write_sweep

from freqexp.comparing.load import load
from freqexp.comparing.run import Run
from freqexp.errors import UserError
from freqexp.schemas.tokens import TokenConfig


def only(outputs: Path) -> Run:
    (run,) = load([str(outputs)]).runs
    return run


def change_line(folder: Path, number: int, **values: object) -> None:
    path = folder / "records.jsonl"
    lines = path.read_text().splitlines()
    lines[number] = json.dumps({**json.loads(lines[number]), **values})
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A baseline, two token runs and a sweep of the first two."""
    write_run(tmp_path, "aaaa1111", [1.0, 0.5])
    write_run(tmp_path, "bbbb2222", [0.5, 0.5], TokenConfig(), baseline_run_id="aaaa1111")
    write_run(tmp_path, "bbbb3333", [0.5, 0.0], TokenConfig(), keep_ratio=0.25)
    write_sweep(tmp_path, "two", ["bbbb2222", "aaaa1111"])
    return tmp_path


def ids(targets: list[str], outputs: Path) -> list[str]:
    return [run.run_id for run in load(targets, str(outputs)).runs]


def test_runs_are_named_in_many_ways(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = ["aaaa1111", "bbbb3333", "bbbb2222"]  # by method and keep ratio
    assert ids([], outputs) == ids([str(outputs)], outputs) == every
    assert ids([str(outputs / "runs")], outputs) == every
    for sweep in ("two", str(outputs / "sweeps" / "two"), f"{outputs}/sweeps/two/sweep.json"):
        assert ids([sweep], outputs) == ["bbbb2222", "aaaa1111"]
    for run in ("bbbb3333", "bbbb3", f"{outputs}/runs/bbbb3333/", f"{outputs}/runs/bbbb3333/x/.."):
        if run.endswith(".."):
            (outputs / "runs" / "bbbb3333" / "x").mkdir()
        assert ids([run], outputs) == ["bbbb3333"]
    assert ids(["two", "bbbb3333"], outputs) == ["bbbb2222", "aaaa1111", "bbbb3333"]
    monkeypatch.chdir(outputs / "sweeps" / "two")
    assert ids(["."], outputs) == ["bbbb2222", "aaaa1111"]


def test_the_baseline_of_a_single_run_comes_along(outputs: Path) -> None:
    runs = load(["bbbb2222"], str(outputs)).runs
    assert [(run.run_id, run.added) for run in runs] == [("bbbb2222", False), ("aaaa1111", True)]


def test_what_a_run_is(outputs: Path) -> None:
    base, _, run = load([], str(outputs)).runs
    assert (base.is_baseline, base.keep_ratio, base.profile) == (True, None, None)
    assert run.title() == "token keep 0.5 aggressive"
    assert (run.model, run.needles, run.wanted, run.notes) == ("fake", "2", 2, ())


@pytest.mark.parametrize("target", ["nothing", "bbbb", "../x", "\x1b[2J", "zz"])
def test_a_target_that_is_no_run(target: str, outputs: Path) -> None:
    with pytest.raises(UserError, match="runs: got"):
        load([target], str(outputs))


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="allowed: a folder of a run"):
        load([str(tmp_path)])
    (tmp_path / "runs" / "aaaa").mkdir(parents=True)
    (tmp_path / "runs" / "aaaa" / "config.yaml").write_text("model: {name: tiny}")
    with pytest.raises(UserError, match=r"records\.jsonl"):
        load([str(tmp_path)])


def test_half_written_runs_are_said_to_be(outputs: Path) -> None:
    folder = write_run(outputs, "cccc", [0.5, 0.5], TokenConfig(), finished=False)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("samples: 2", "samples: 9"))
    with (folder / "records.jsonl").open("a") as file:
        file.write('{"sample_id": "s2", "sc')
    (outputs / "runs" / "dddd").mkdir()
    (outputs / "runs" / "dddd" / "config.yaml").write_text("{}")
    loaded = load([str(outputs)])
    run = next(run for run in loaded.runs if run.run_id == "cccc")
    assert run.notes == (
        "its last line is torn (the run was killed), left out",
        "not finished: 2 of 9 samples",
    )
    assert run.title() == "token keep 0.5 aggressive"
    assert loaded.notes == ("not begun (no records.jsonl), left out: dddd",)


@pytest.mark.parametrize(
    "line",
    [
        '{"sample_id": "s1", "needles": 2, "bucket": "", "expected": "x", "score": NaN}',
        '{"sample_id": "s1", "needles": 2, "bucket": "", "expected": "x", "score": 1.5}',
        '{"sample_id": "s1", "needles": 2, "bucket": "", "expected": "x", "score": 1, '
        '"prefill_ms": 1e999}',
        '{"sample_id": "s1", "needles": 2, "bucket": "", "expected": "x", "score": 1, '
        '"kv_cache_bytes": ' + "9" * 300 + "}",
        "not json",
        "[" * 100_000,
        '"text"',
        '{"sample_id": 7}',
    ],
)
def test_lines_that_are_no_records_score_nothing(line: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path, "aaaa", [1.0, 0.5, 0.0])
    lines = (folder / "records.jsonl").read_text().splitlines()
    lines[1] = line
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    run = only(tmp_path)
    assert run.scored == {"s0": 1.0, "s2": 0.0}
    assert run.notes[0].startswith("1 lines of records.jsonl are no records (line 2: ")
    assert "\n" not in run.notes[0]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "aaaa", [1.0])
    with (folder / "records.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\x00\n")
    assert only(tmp_path).scored == {"s0": 1.0}


def test_a_sample_recorded_twice_counts_once_and_is_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "aaaa", [1.0, 0.5])
    path = folder / "records.jsonl"
    path.write_text(path.read_text() * 2)
    change_line(folder, 2, score=0.25)
    run = only(tmp_path)
    assert run.scored == {"s0": 1.0, "s1": 0.5}
    assert run.notes[0].startswith("2 samples are recorded twice (1 with another score)")


def test_a_sample_that_failed_first_is_no_duplicate(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "aaaa", [1.0, 0.5])
    path = folder / "records.jsonl"
    failed = {**json.loads(path.read_text().splitlines()[0]), "score": None, "error": "no"}
    path.write_text(json.dumps(failed) + "\n" + path.read_text())
    assert only(tmp_path).notes == ()


def test_edited_records_do_not_go_with_the_summary(tmp_path: Path) -> None:
    change_line(write_run(tmp_path, "aaaa", [1.0, 0.5]), 1, score=1.0)
    assert only(tmp_path).notes == (
        "summary.json says accuracy 0.7500, the records 1.0000 (edited?); the records count",
    )


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "- 1\n- 2\n",
        "!!python/object/apply:os.system ['touch pwned']",
        "\x00",
        "{}",
        "a: &a [1, 1]\n"
        + "".join(f"{x}: &{x} [*{y}, *{y}]\n" for y, x in itertools.pairwise("abcdefghijklmnopqrs"))
        + "model: {render: *s}\nneedles: {x: *s}\n",
    ],
    ids=["torn", "list", "code", "nul", "empty", "aliases"],
)
def test_a_configuration_nobody_can_read(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_run(tmp_path, "aaaa", [1.0, 0.5], TokenConfig(), finished=False)
    (folder / "config.yaml").write_text(text)
    run = only(tmp_path)
    assert (run.compressor, run.model, len(run.scored)) == ("?", "?", 2)
    assert not (tmp_path / "pwned").exists()


def test_a_configuration_of_an_older_schema_still_names_the_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "aaaa", [1.0, 0.5], TokenConfig(), finished=False)
    config = (folder / "config.yaml").read_text().replace("energy:", "energie:")
    (folder / "config.yaml").write_text(config)
    assert only(tmp_path).title() == "token keep 0.5"


def test_a_sweep_file_cannot_lead_elsewhere(outputs: Path) -> None:
    file = outputs / "sweeps" / "two" / "sweep.json"
    entries = [{"run_id": "../../secret"}, {"run_id": "gone0000"}, {"run_id": "aaaa1111"}, 7]
    file.write_text(json.dumps({"runs": entries}))
    loaded = load(["two"], str(outputs))
    assert [run.run_id for run in loaded.runs] == ["aaaa1111"]
    assert loaded.notes[0].endswith("1 entries are no run ids")
    assert loaded.notes[1] == "sweep two: not begun or deleted, left out: gone0000"
    file.write_text("[]")
    with pytest.raises(UserError, match="names no runs"):
        load(["two"], str(outputs))


def test_a_copy_of_a_run_counts_once(
    outputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    write_run(other, "aaaa1111", [1.0])
    loaded = load([str(other), str(outputs)])
    assert [run.run_id for run in loaded.runs].count("aaaa1111") == 1
    assert len(next(run for run in loaded.runs if run.run_id == "aaaa1111").scored) == 2
    assert loaded.notes == ("run aaaa1111 was given twice, the fuller copy counts",)
