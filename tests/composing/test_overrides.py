"""What is typed, as Hydra needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from freqexp.composing.compose import collect, compose


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("2026_11_25", "2026_11_25"),
        ("1e5", "1e5"),
        ("007", "007"),
        ("true", "true"),
        ("实验", "实验"),
        ("runs/split=test", "runs/split=test"),
        ("a b (c) #1", "a b (c) #1"),
        ("it's", "it's"),
        ("~/out", "~/out"),
        ("'a,b'", "a,b"),
        ('"1e5"', "1e5"),
    ],
)
def test_text_is_what_was_typed(typed: str, text: str) -> None:
    assert compose([f"output_dir={typed}"]).output_dir == text


def test_text_may_be_swept_interpolated_and_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEWHERE", "/tmp/there")
    assert compose(["output_dir=${oc.env:SOMEWHERE}/x"]).output_dir == "/tmp/there/x"
    assert compose(["sweep_name=null"]).sweep_name is None
    assert compose(["notes=first, and second"]).notes == "first, and second"
    points = collect(["-m", "output_dir=1_0,2e1", "keep_ratio=0.5"])
    assert [point.config.output_dir for point in points] == ["1_0", "2e1"]


def test_a_range_has_the_numbers_that_it_says() -> None:
    points = collect(["-m", "compressor=token", "keep_ratio=range(0.3,0.8,0.2)"])
    assert [point.config.keep_ratio for point in points] == [0.3, 0.5, 0.7]
    assert compose(["compressor=token", "keep_ratio=0.123456789012"]).keep_ratio == 0.123456789012


def test_commas_divide_no_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep over the two halves of a path is nothing that anybody means."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one, two").mkdir()
    for typed in ("one, two", str(tmp_path / "one, two")):
        (point,) = collect(["-m", f"output_dir={typed}"])
        assert point.config.output_dir == typed
    points = collect(["-m", "output_dir=one,three"])
    assert [point.config.output_dir for point in points] == ["one", "three"]
