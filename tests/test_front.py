"""The front door: what `import freqexp` gives, and what it costs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from run_fakes import Counting

import freqexp
from freqexp.errors import ConfigError, UserError
from freqexp.results.summary import Summary
from freqexp.running.sweep import PointsError

HEAVY = (
    "hydra",
    "matplotlib",
    "numpy",
    "omegaconf",
    "pandas",
    "PIL",
    "submitit",
    "torch",
    "transformers",
    "wandb",
    "yaml",
)


def typed_names() -> set[str]:
    """The names that type checkers are told of."""
    tree = ast.parse(Path(freqexp.__file__).read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        name.asname or name.name
        for node in ast.walk(checked)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def test_the_import_is_light() -> None:
    script = (
        "import sys, freqexp; freqexp.run; dir(freqexp); freqexp.UserError;"
        f"heavy = set({HEAVY}) & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_name_is_there_typed_and_listed() -> None:
    names = set(freqexp.__all__) - {"__version__"}
    assert names == typed_names()
    assert names <= set(dir(freqexp))
    for name in names:
        assert (getattr(freqexp, name).__doc__ or "").strip()
    with pytest.raises(AttributeError, match="module 'freqexp' has no attribute 'nothing'"):
        _ = freqexp.nothing


def test_base_classes_are_those_of_their_rooms() -> None:
    from freqexp.codecs.base import Codec
    from freqexp.tokens.base import TokenCompressor

    assert (freqexp.Codec, freqexp.TokenCompressor) == (Codec, TokenCompressor)
    assert inspect.isabstract(freqexp.Reader)


def test_run_is_the_command_and_can_be_called() -> None:
    import freqexp.run

    assert freqexp.run is sys.modules["freqexp.run"]
    assert callable(freqexp.run)
    assert callable(freqexp.run.main)


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    return [f"output_dir={tmp_path}/outputs", "tracking=off", "samples=4"]


def test_overrides_with_commas_are_a_sweep(counting: Counting, settings: list[str]) -> None:
    line = ["compressor=token,block_dct", "keep_ratio=0.3,0.5", *settings]
    results = freqexp.run(line, session=counting.session())
    assert [(s.compressor, s.keep_ratio) for s in results.summaries] == [
        ("none", None),
        ("token", 0.3),
        ("token", 0.5),
        ("block_dct", 0.3),
        ("block_dct", 0.5),
    ]
    assert set(results.records) == {summary.run_id for summary in results.summaries}
    for records in results.records.values():
        assert [record.index for record in records] == [0, 1, 2, 3]
    assert results.pending == ()
    assert counting.loaded == ["tiny"]


def test_composed_runs_are_run_and_answered_from_their_files(
    counting: Counting, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = freqexp.compose(["compressor=token", *settings])
    session = counting.session()
    first = freqexp.run([replace(cfg, keep_ratio=keep) for keep in (0.3, 0.5)], session=session)
    again = freqexp.run(replace(cfg, keep_ratio=0.5, samples=2), session=session)
    assert [summary.samples for summary in first.summaries] == [4, 4, 4]
    assert [summary.samples for summary in again.summaries] == [2, 2]
    assert {len(records) for records in again.records.values()} == {2}
    assert counting.data_loaded == 1


def test_bad_runs_are_refused_before_any_work(counting: Counting, settings: list[str]) -> None:
    cfg = freqexp.compose(settings)
    bad: list[Any] = [
        ([replace(cfg, keep_ratio=2.0), cfg], r"keep_ratio: got 2.0.*\(in 1 of 2 points: run 1\)"),
        (["keep_ratio=2", "foo=1"], "foo: no such key"),
        ([cfg, "seed=1"], "run: got 'seed=1', allowed: overrides alone, or composed runs alone"),
        ([3], "run: got 3"),
        (["hydra/launcher=joblib"], "cluster=workers"),
    ]
    for what, said in bad:
        with pytest.raises(ConfigError, match=said):
            freqexp.run(what, session=counting.session())
    assert counting.loaded == []


def test_a_run_that_fails_leaves_the_others(counting: Counting, settings: list[str]) -> None:
    def grade(answer: str, sample: Any) -> Any:
        raise RuntimeError("no grade")

    with pytest.raises(PointsError, match="all 4 samples failed"):
        freqexp.run(["compressor=none", *settings], session=counting.session(grade=grade))


def test_runs_are_a_table(counting: Counting, settings: list[str], tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    line = ["compressor=token", "keep_ratio=0.3,0.5", *settings, "tags=[a,b]", "notes=why"]
    results = freqexp.run(line, session=counting.session())
    frame = freqexp.load_runs(tmp_path / "outputs")
    assert isinstance(frame, pd.DataFrame)
    assert set(frame.index) == set(results.records)
    assert {item.name for item in fields(Summary)} - set(frame.columns) == {"run_id"}
    for summary in results.summaries:
        row = frame.loc[summary.run_id]
        assert row.accuracy == summary.accuracy
        assert (row.complete, row.tags, row.notes) == (True, "a, b", "why")
        assert (row.delta == summary.delta) or summary.delta is None
    assert frame.accuracy.dtype == "float64"
    assert frame.peak_memory_bytes.dtype == "float64"


def test_a_run_under_way_is_a_row_over_what_it_has(
    counting: Counting, settings: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("pandas")
    (summary,) = freqexp.run(["compressor=none", *settings], session=counting.session()).summaries
    folder = tmp_path / "outputs" / "runs" / summary.run_id
    lines = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    (folder / "records.jsonl").write_text("".join(lines[:3]))
    (folder / "summary.json").unlink()
    (row,) = freqexp.load_runs(folder).itertuples()
    assert (row.samples, row.samples_asked, row.complete, row.compressor) == (3, 4, False, "none")


def test_without_pandas_the_table_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        freqexp.load_runs("outputs")


def test_a_comparison_shows_itself(counting: Counting, settings: list[str], tmp_path: Path) -> None:
    freqexp.run(["compressor=token", *settings], session=counting.session())
    compared = freqexp.compare_runs(str(tmp_path / "outputs"))
    assert "| token |" in compared._repr_markdown_()
    assert "compressor" in str(compared)


def test_a_search_in_python_is_that_of_the_command(
    counting: Counting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = freqexp.find_budget(
        ["compressor=norm_prune", f"output_dir={tmp_path}", "tracking=off"],
        margin=0.9,
        low=0.5,
        high=1,
        resolution=0.5,
        samples=[4, 8],
        session=counting.session(),
    )
    assert found.value == 0.5
    assert {probe.value for probe in found.outcome.probes} >= {0.5}
    assert counting.loaded == ["tiny"]
    assert (found.folder / "search.json").is_file()
    assert "keep_ratio" in str(found)
    assert str(found).splitlines()[0] in found._repr_markdown_()


def test_a_search_in_python_refuses_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        freqexp.find_budget(
            ["compressor=nothing", f"output_dir={tmp_path}"], margin=2, samples=[8, 4]
        )
    said = str(caught.value)
    assert all(word in said for word in ("--margin", "--samples", "nothing"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="a flag that shows something"):
        freqexp.find_budget(["compressor=token", "--cfg", "job"])
