"""The adapters that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

import freqexp
from freqexp.composing.compose import compose
from freqexp.paths import BUNDLED, adapted_dir
from freqexp.readers.adapter_file import base_of
from freqexp.readers.bundled import weights_hash

MOST = 3_000_000
"""Bytes of one."""


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_each_is_small_and_for_the_bundled_weights(name: str) -> None:
    assert sum(file.stat().st_size for file in adapted_dir(name).iterdir()) < MOST
    assert base_of(name).weights_hash == weights_hash(compose().model)


def test_pages_are_read_at_half_of_their_tokens(tmp_path: Path) -> None:
    """Adapted to the learned merge the reader answers, where it does not as it was."""
    own = [f"output_dir={tmp_path}", "tracking=off", "samples=12", "baseline=false"]
    arm = "arm=merged_adapted"
    assert compose([arm]).compressor.weights == "bundled_half"  # type: ignore[attr-defined]
    adapted = freqexp.run([*own, arm])
    plain = freqexp.run([*own, arm, "model.adapter=null"])
    (now,), (before,) = adapted.summaries, plain.summaries
    assert (now.vision_tokens_in, now.vision_tokens_out) == (288, 144)
    assert now.accuracy is not None
    assert before.accuracy is not None
    assert now.accuracy > before.accuracy + 0.2
