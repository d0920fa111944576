"""Samples from a package outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from run_fakes import FakeReader
from their_package import install_text

from freqexp.answering.pipeline import Pipeline
from freqexp.answering.session import Session
from freqexp.answering.sources import load_samples
from freqexp.benchmarks.mrcr import grade
from freqexp.benchmarks.outside import grader
from freqexp.benchmarks.samples import samples_hash
from freqexp.composing.compose import compose
from freqexp.config.identity import all_outside, run_id
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import CompressedTokens
from freqexp.readers.base import Answer
from freqexp.schemas.needles import NeedlesConfig


def test_a_package_gives_the_samples(theirs: Path) -> None:
    cfg = compose(("needles.source=clocks", "needles.count=3", "samples=5"))
    samples = load_samples(cfg.needles, 5, cfg.seed)
    assert [sample.sample_id for sample in samples] == [f"clock-{number}" for number in range(5)]
    assert load_samples(cfg.needles, 3, cfg.seed) == samples[:3]
    assert {sample.needles for sample in samples} == {3}
    assert grade(samples[2].answer, samples[2]).score == 1
    (source,) = all_outside(cfg)
    assert source.owner == "package their-methods 1.2"
    assert source.top == theirs / "their_methods"
    assert run_id(cfg) != run_id(compose(("samples=5",)))


def test_its_code_and_its_files_are_the_data(site: Path, tmp_path: Path) -> None:
    text = "def load(needles, samples, seed): return []\n"
    for name, more in (("one", ""), ("two", "# said"), ("three", "x = 1")):
        points = {"freqexp.benchmarks": f"{name} = {name}"}
        install_text(site / name, name, f"{text}{more}", points)
    import sys

    sys.path[:0] = [str(site / name) for name in ("one", "two", "three")]
    try:
        data = tmp_path / "data.jsonl"
        data.write_text("{}")
        hashes = {
            (name, path): samples_hash(NeedlesConfig(count=2, source=name, path=path))
            for name in ("one", "two", "three")
            for path in (None, str(data))
        }
        assert len(set(hashes.values())) == 6
    finally:
        del sys.path[:3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_there", "No module named 'nothing_there'"),
        ("x = 1", "an object with `load"),
        ("def load(*a): return 3", "gives a list of Sample"),
        ("def load(*a): return []", "each with an id of its own"),
        ("def load(*a): 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_bad_benchmark_is_named(site: Path, text: str, said: str) -> None:
    install_text(site, "badly", text, {"freqexp.benchmarks": "bad = badly"})
    with pytest.raises(UserError, match=f"needles.source: got 'bad', allowed: .*{said}") as caught:
        load_samples(NeedlesConfig(count=2, source="bad"), 2, 0)
    assert "package badly 0.1" in str(caught.value)


def test_it_grades_its_answers_itself(theirs: Path, tmp_path: Path) -> None:
    given = grader("clocks")
    assert given is not None
    sample = load_samples(NeedlesConfig(count=3, source="clocks"), 3, 0)[2]
    hour = sample.answer.partition(":")[0]
    assert [given(f"{hour}:99", sample).score, given("x", sample).score] == [0.5, 0.0]

    class Tells(FakeReader):
        def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
            return replace(super().answer("sample-1?", vision), text=f"{hour}:99")

    chosen = ("needles.source=clocks", "needles.count=3", "samples=3", "compressor=none")
    cfg = compose((*chosen, f"output_dir={tmp_path}", "tracking=off"))
    session = Session(reader=lambda config: Tells())
    ((record, _), *_) = Pipeline(cfg, session).run([sample])
    assert record.error is None
    assert (record.score, record.chance, record.later_score) == (0.5, None, None)


@pytest.mark.parametrize(
    "gives", ["0.5", "Grade(1.5, True, 1.0, None)", "Grade(-1, True, 0, None)"]
)
def test_what_is_no_grade_is_the_samples_error(site: Path, gives: str) -> None:
    text = (
        "from freqexp.nouns.sample import Grade\ndef load(*a): return []\n"
        f"def grade(*a): return {gives}\n"
    )
    install_text(site, "badly", text, {"freqexp.benchmarks": "bad = badly"})
    given = grader("bad")
    assert given is not None
    with pytest.raises(UserError, match=r"a `grade` that gives a Grade .*of package badly 0\.1"):
        given("x", load_samples(NeedlesConfig(count=2), 1, 0)[0])


def test_settings_are_checked(theirs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needles\.source: got 'clock', allowed: null, .*clocks"):
        compose(("needles.source=clock",))
    with pytest.raises(ConfigError, match=r"needles\.path"):
        compose(("needles.source=clocks", f"needles.path={tmp_path / 'none'}"))
