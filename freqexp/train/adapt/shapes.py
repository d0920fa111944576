"""Which conversations are taught."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freqexp.train.adapt.lessons import Shape

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.train.adapt.config import AdaptConfig


def shapes_of(config: AdaptConfig, run: RunConfig) -> list[Shape]:
    """The shapes to draw from: the training's own, or the one that `needles` says."""
    form, chars = run.needles.form.value, run.needles.target_chars
    if config.shapes:
        return [Shape(count, turns, form, chars) for count, turns in config.shapes]
    return [Shape(run.needles.count, run.needles.turns, form, chars)]
