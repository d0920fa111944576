"""Every method on vision tokens with every family: it runs, or is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from llava_checkpoint import build_checkpoint as build_llava
from reader_fixtures import Loaded

from freqexp.answering.session import Session
from freqexp.composing.compose import collect, compose
from freqexp.errors import ConfigError
from freqexp.results.summary import Summary
from freqexp.running.sweep import run_points
from freqexp.schemas.choices import DROPS_BEFORE_ENCODER, SIGNALS, Family
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.section import option_name

METHODS = [option_name(option) for option in COMPRESSORS if option.stage in ("token", "decoder")]
SIGNALLED = {
    name: compose((f"compressor={name}",)).compressor.signals
    for name in METHODS
    if compose((f"compressor={name}",)).compressor.signals
}


def run(family: Family, folder: Path, tmp_path: Path, methods: list[str]) -> list[Summary]:
    """One command over all methods, a sample each."""
    points = collect(
        [
            "-m",
            f"compressor={','.join(methods)}",
            "keep_ratio=0.5",
            f"model.family={family.value}",
            f"model.path={folder}",
            "model.max_new_tokens=3",
            "samples=1",
            "tracking=off",
            f"output_dir={tmp_path}",
        ]
    )
    return run_points([point.config for point in points], lambda cfg: (), session=Session())


def check(summaries: list[Summary], methods: list[str]) -> None:
    """All ran, the vision tokens are fewer, and nothing failed."""
    assert {summary.compressor for summary in summaries} == {"none", *methods}
    assert [summary.failed for summary in summaries] == [0] * len(summaries)


def test_all_methods_run_on_a_random_checkpoint(loaded: Loaded, tmp_path: Path) -> None:
    check(run(loaded.kind.family, loaded.folder, tmp_path, METHODS), METHODS)


def test_all_methods_run_on_llava_onevision(tmp_path: Path) -> None:
    folder = build_llava(tmp_path / "weights")
    check(run(Family.llava_onevision, folder, tmp_path, METHODS), METHODS)


@pytest.mark.parametrize("name", sorted(SIGNALLED))
@pytest.mark.parametrize("family", [Family.glm4v_remote, Family.ppocr])
def test_a_signal_the_model_cannot_give_is_refused(name: str, family: Family) -> None:
    missing = [signal for signal in SIGNALLED[name] if signal not in SIGNALS[family]]
    chosen = ["-m", f"compressor={name},none", f"model.family={family.value}"]
    if family is Family.glm4v_remote:
        chosen += [f"model.path={Path(__file__).parent}", "model.trust_remote_code=true"]
    if not missing:
        assert len(collect(chosen)) == 2
        return
    with pytest.raises(ConfigError) as caught:
        collect(chosen)
    text = f"{family.value} with compressor {name}', allowed: families that give "
    assert any(text + " and ".join(missing) in fault for fault in caught.value.faults)


@pytest.mark.parametrize("family", sorted(set(Family) - DROPS_BEFORE_ENCODER, key=str))
def test_dropping_before_an_encoder_that_cannot_is_refused(family: Family) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(
            (
                "compressor=pixel_prune",
                "compressor.where=encoder",
                f"model.family={family.value}",
                f"model.trust_remote_code={str(family is Family.glm4v_remote).lower()}",
                *([] if family is Family.ppocr else [f"model.path={Path(__file__).parent}"]),
            )
        )
    wanted = f"{family.value} with compressor pixel_prune"
    assert any(wanted in fault for fault in caught.value.faults)
