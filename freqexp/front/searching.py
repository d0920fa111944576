"""The smallest budget that costs no accuracy, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.search.outcome import Outcome


@dataclass(frozen=True, eq=False)
class Found:
    """A search at its end. folder: its sweep's, whose report has the answer."""

    outcome: Outcome
    folder: Path

    @property
    def value(self) -> float | None:
        """The smallest budget that was shown to be non-inferior; None: none was."""
        return self.outcome.answer.value if self.outcome.answer is not None else None

    def __str__(self) -> str:
        from freqexp.search.words import sentences, table

        return "\n".join([table(self.outcome), "", *sentences(self.outcome)])

    def _repr_markdown_(self) -> str:
        from freqexp.search.words import sentences, table

        said = "\n".join(f"- {sentence}" for sentence in sentences(self.outcome))
        return f"```\n{table(self.outcome)}\n```\n\n{said}\n"


def find_budget(
    overrides: Sequence[str],
    *,
    budget: Literal["keep_ratio", "keep_tokens"] = "keep_ratio",
    margin: float | None = None,
    low: float | None = None,
    high: float | None = None,
    resolution: float | None = None,
    samples: Sequence[int] | None = None,
    session: Session | None = None,
) -> Found:
    """As `python -m freqexp.search`: the smallest budget that is non-inferior to no compression.

    overrides: of the run. The others are the command's options with its defaults; session: whose
    loaded model is used. Raises ConfigError with every fault before any work, and PointsError for a
    run that failed.
    """
    from freqexp.errors import ConfigError
    from freqexp.results.stats import MARGIN
    from freqexp.search.asked import search
    from freqexp.search.plan import SAMPLES, Wanted

    wanted = Wanted(
        budget=budget,
        margin=MARGIN if margin is None else margin,
        low=low,
        high=high,
        resolution=resolution,
        samples=SAMPLES if samples is None else tuple(samples),
    )
    found = search(wanted, overrides, session=session)
    if found is None:
        raise ConfigError(["overrides: got a flag that shows something, allowed: key=value"])
    return Found(*found)
