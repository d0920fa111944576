"""A saved result computed again, and what is said when something is not as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import freqexp
from freqexp.composing.compose import collect
from freqexp.reproduce.__main__ import main
from freqexp.run import run

ROOT = Path(freqexp.__file__).parents[1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the bundled reader, baseline beside it."""
    outputs = tmp_path_factory.mktemp("saved")
    points = collect(
        ["compressor=token", "samples=2", "model.batch_size=2", "tracking=off",
         f"output_dir={outputs}"]
    )  # fmt: skip
    assert run(points) == 0
    for folder in (outputs / "runs").iterdir():
        if yaml.safe_load((folder / "config.yaml").read_text())["compressor"]["name"] == "token":
            return folder
    raise AssertionError


@pytest.fixture(scope="module")
def again(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a first reproduction, so that later ones have nothing to compute."""
    outputs = tmp_path_factory.mktemp("again")
    assert main([str(saved), "--outputs", str(outputs)]) == 0
    return outputs


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """The saved run, to be changed."""
    folder = tmp_path / "runs" / saved.name
    shutil.copytree(saved.parent, tmp_path / "runs")
    return folder


def change(file: Path, edit: Callable[[dict[str, object]], None]) -> None:
    value = json.loads(file.read_text())
    edit(value)
    file.write_text(json.dumps(value))


def edit_records(folder: Path, **values: object) -> None:
    file = folder / "records.jsonl"
    lines = [{**json.loads(line), **values} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def scores(folder: Path) -> dict[str, float]:
    lines = map(json.loads, (folder / "records.jsonl").read_text().splitlines())
    return {line["sample_id"]: line["score"] for line in lines}


def test_the_same_again_is_reproduced(
    saved: Path, again: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(saved), "--outputs", str(again)]) == 0
    text = capsys.readouterr().out
    assert "identical on 2 samples" in text
    assert "same: weights, data, code, versions" in text
    outcome = json.loads((again / "reproductions" / saved.name / "reproduction.json").read_text())
    assert outcome["verdict"] == "reproduced"
    assert {cell["figure"] for cell in outcome["cells"]} >= {"accuracy", "decoder_tokens"}
    done = again / "reproductions" / saved.name / "runs" / saved.name
    assert scores(done) == scores(saved)


def test_its_sweep_and_its_id_are_targets(
    saved: Path, again: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(saved.parents[1], outputs)
    done = again / "reproductions" / saved.name
    (sweep,) = [path for path in (outputs / "sweeps").iterdir() if path.name != "latest"]
    for name, target in ((saved.name, saved.name[:8]), (sweep.name, sweep.name)):
        shutil.copytree(done, outputs / "reproductions" / name)
        assert main([target, "--outputs", str(outputs)]) == 0
    assert "none, 2 needles" in capsys.readouterr().out


@pytest.mark.slow
def test_a_fresh_checkout_elsewhere_gives_identical_scores(saved: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for folder in ("freqexp", "conf", "launchers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, checkout / folder, ignore=ignored)
    config = tmp_path / "sent" / "config.yaml"
    config.parent.mkdir()
    for name in ("config.yaml", "records.jsonl", "summary.json", "provenance.json"):
        shutil.copy(saved / name, config.parent / name)
    path = os.pathsep.join([str(checkout), str(checkout / "launchers")])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "freqexp.reproduce", str(config)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical on 2 samples" in done.stdout
    (folder,) = (tmp_path / "outputs" / "reproductions" / "sent" / "runs").glob(f"{saved.name}*")
    assert scores(folder) == scores(saved)


def test_a_configuration_alone_has_nothing_to_compare_with(
    saved: Path, again: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    shutil.copy(saved / "config.yaml", file)
    shutil.copytree(again / "reproductions" / saved.name, tmp_path / "o" / "reproductions" / "mine")
    assert main([str(file), "--outputs", str(tmp_path / "o")]) == 3
    assert "no results were saved with it" in capsys.readouterr().out


def test_fewer_samples_are_compared_on_what_is_shared(
    saved: Path, again: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(saved), "samples=1", "--outputs", str(again)]) == 0
    text = capsys.readouterr().out
    assert "samples: 2 -> 1" in text
    assert "on the 1 samples in common, of 2" in text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"score": 0.001}, "accuracy"),
        ({"decoder_tokens": 7}, "decoder_tokens"),
    ],
)
def test_edited_records_differ(
    copy: Path,
    again: Path,
    values: dict[str, object],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_records(copy, **values)
    assert main([str(copy), "--outputs", str(again)]) == 1
    (line,) = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("token") and f" {said} " in line and "differs" in line
    ]
    assert "2 of 2 samples differ" in line


def test_other_versions_are_said_and_their_image_sizes_not_compared(
    copy: Path, again: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(value: dict[str, object]) -> None:
        value["versions"] = {"torch": "1.0"}
        value["code_hash"] = "0" * 64
        value["commit"] = "1234567890abcdef"

    change(copy / "provenance.json", edit)
    edit_records(copy, png_bytes=5)
    assert main([str(copy), "--outputs", str(again)]) == 3
    text = capsys.readouterr().out
    assert "torch 1.0 -> " in text
    assert "code: 000000000000 then, " in text
    assert "commit 1234567890ab" in text
    assert "written by other library versions" in text
    assert "identical on 2 samples" in text


def test_other_weights_are_not_computed(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in copy.parent.iterdir():
        change(folder / "provenance.json", lambda value: value.update(weights_hash="0" * 64))
    assert main([str(copy), "--outputs", str(tmp_path / "o")]) == 3
    assert "other weights than the saved run's; nothing was computed" in capsys.readouterr().out
    assert not list((tmp_path / "o").rglob("records.jsonl"))


def test_another_experiment_is_not_computed(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(saved), "keep_ratio=0.7", "seed=5", "--outputs", str(tmp_path)]) == 3
    text = capsys.readouterr().out
    assert "another experiment; nothing was computed" in text
    assert "keep_ratio: 0.5 -> 0.7" in text
    assert "seed: 0 -> 5" in text
    assert not list(tmp_path.rglob("records.jsonl"))


def test_an_older_schema_says_what_to_check_out(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["compressor"]["strength"] = 3
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    change(copy / "provenance.json", lambda value: value.update(commit="abcdef0123456789"))
    assert main([str(copy), "--outputs", str(tmp_path / "o")]) == 2
    text = capsys.readouterr().err
    assert "nothing was computed" in text
    assert "strength" in text
    assert "check out abcdef0123456789" in text


def test_execution_settings_of_another_version_do_not_matter(copy: Path, again: Path) -> None:
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["cluster"] = {"name": "theirs", "queue": "long"}
    config["tracking"] = "always"
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    assert main([str(copy), "--outputs", str(again)]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "paper_table1"),
        (["paper_table1", "model"], "key=value"),
        (["paper_table1", "keep_ratio=2"], "a number above 0 and at most 1"),
        (["{saved}", "keep_ratio=2"], "a number above 0 and at most 1"),
        (["{saved}", "keep=2"], "keep=2"),
        (["{saved}", "samples=many"], "samples=many"),
        (["{empty}"], "runs"),
        (["{text}"], "the config.yaml of a run"),
        (["{broken}"], "no YAML"),
    ],
)
def test_bad_input_is_one_clear_message(
    arguments: list[str],
    said: str,
    saved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.yaml").write_text("just text")
    (tmp_path / "broken.yaml").write_text("a: [")
    places = {
        "saved": saved,
        "empty": tmp_path / "empty",
        "text": tmp_path / "text.yaml",
        "broken": tmp_path / "broken.yaml",
    }
    given = [text.format(**places) for text in arguments]
    assert main([*given, "--outputs", str(tmp_path / "o")]) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "o").rglob("records.jsonl"))
