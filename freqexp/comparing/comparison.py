"""What a comparison holds: a row a run, with estimates and the difference to its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freqexp.comparing.load import Loaded
from freqexp.comparing.run import Run


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; the interval is None below two samples."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A run against its baseline on the `pairs` samples that both scored.

    accuracy, prefix_miss: differences of the means. p_value: paired permutation test of the
    accuracy; p_holm: corrected for all comparisons of the report. verdict: non-inferiority at the
    margin. needed_non_inferior: samples that would call no difference non-inferior; needed_loss:
    that would see a loss of the margin; both None where these samples have answered. lost, gained:
    samples that flipped.
    """

    pairs: int
    accuracy: Estimate
    prefix_miss: Estimate | None
    p_value: float
    p_holm: float | None
    verdict: str
    needed_non_inferior: int | None
    needed_loss: int | None
    lost: int
    gained: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run with everything the report says about it.

    parts, mix: what the scores are made of and what the answers are, by `RATES` and `KINDS` of
    `freqexp.results.mix`.
    group: index of the runs it may be compared with. means: of the scored samples where measured.
    total_ms, median_ms: compress + encode + prefill + decode, of the means and of the medians; None
    when one of them is not known.
    delta: None for a baseline and for a run without one. notes: what must not be missed.
    """

    run: Run
    group: int
    baseline: Run | None
    samples: int
    failed: int
    truncated: int
    accuracy: Estimate | None
    prefix_miss: Estimate | None
    similarity: float | None
    chance: float | None
    parts: Mapping[str, float | None]
    mix: Mapping[str, int]
    means: Mapping[str, float | None]
    total_ms: float | None
    median_ms: float | None
    simulated: bool | None
    delta: Delta | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows by group, baselines first; groups: what the runs of each have in common."""

    loaded: Loaded
    rows: tuple[Row, ...]
    groups: tuple[str, ...]
    margin: float
    notes: tuple[str, ...]

    def of_group(self, group: int) -> list[Row]:
        """The rows of one group."""
        return [row for row in self.rows if row.group == group]
