"""One run as its files tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from freqexp.comparing.text import plain
from freqexp.config.budget import Budget
from freqexp.config.differing import conditions
from freqexp.results.record import Record, cut_off
from freqexp.results.summary import whole

CUT_APART = 0.1
"""From runs whose shares of answers cut off while thinking lie further apart nothing follows."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run as its files tell it.

    config, provenance: {} when the file is missing or unreadable. summary: None before the run's
    end. records: settled, by sample id; unreadable lines are not among them. identity: model,
    compressor, options, budget, profile and needles, under a summary's names. asked: of how
    many first samples the records are, where the run can have more; None: all there are.
    notes: what was wrong with the files, in sentences.
    """

    folder: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    records: Mapping[str, Record]
    identity: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    added: bool = False
    asked: int | None = None

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def setting(self, *path: str) -> Any:
        """A value of the saved configuration; None where it has none."""
        value: Any = self.config
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    @property
    def compressor(self) -> str:
        """The method's name; "?" when no file tells it."""
        return plain(self.identity.get("compressor") or "?")

    @property
    def model(self) -> str:
        """The model's name; "?" when no file tells it."""
        return plain(self.identity.get("model") or "?")

    @property
    def needles(self) -> str:
        """How many needles; "?" when no file tells it."""
        return plain(self.identity.get("needles") or "?")

    @property
    def options(self) -> str:
        """The method's settings that differ from their defaults; "" also when unknown."""
        return plain(self.identity.get("options") or "")

    @cached_property
    def question(self) -> str | None:
        """Whether the KV cache was compressed with the question "seen" or "unseen"; None where it
        was not compressed, and where the records do not agree.
        """
        said = {record.question for record in self.records.values()} & {"seen", "unseen"}
        return said.pop() if len(said) == 1 else None

    @cached_property
    def cut_off(self) -> int:
        """How many scored samples ended while the model was thinking."""
        said = self.setting("model", "answer_after")
        mark = said if isinstance(said, str) else None
        scored = (record for record in self.records.values() if record.score is not None)
        return sum(cut_off(record, mark) for record in scored)

    @property
    def cut_share(self) -> float:
        """The share of its scored samples that they are."""
        return self.cut_off / len(self.scored) if self.cut_off else 0.0

    @property
    def method(self) -> str:
        """The method's name. One that saw the question is another method than one that did not."""
        return f"{self.compressor}, question seen" if self.question == "seen" else self.compressor

    @property
    def is_baseline(self) -> bool:
        """Whether nothing was compressed."""
        return self.compressor == "none"

    @property
    def keep_ratio(self) -> float | None:
        """The kept share, None where the method does not use it or no file tells it."""
        value = self.identity.get("keep_ratio")
        return float(value) if isinstance(value, int | float) and 0 < value <= 1 else None

    @property
    def budget(self) -> Budget:
        """What says how much it keeps; nothing where no file tells it."""
        count, like = self.identity.get("keep_tokens"), self.identity.get("keep_like")
        count = count if isinstance(count, int) and count >= 1 else None
        return Budget(self.keep_ratio, count, plain(like) if isinstance(like, str) else None)

    @property
    def profile(self) -> str | None:
        """The profile's name, None where the method does not use it."""
        value = self.identity.get("profile")
        return None if value is None else plain(value)

    @property
    def scored(self) -> dict[str, float]:
        """Scores by sample id; failed samples are not among them."""
        return {key: r.score for key, r in self.records.items() if r.score is not None}

    @property
    def wanted(self) -> int | None:
        """How many samples it has, or is to have before it has ended for them; None when unknown.

        A data set can hold fewer than were asked for: then it is all of them.
        """
        summed, asked = self._summed
        if summed < asked:
            return summed if self.asked is None else min(summed, self.asked)
        wanted = max(asked, whole(self.config.get("samples")))
        return (wanted if self.asked is None else self.asked) or None

    @property
    def ended(self) -> bool:
        """Whether each sample it was asked for was answered, or has failed."""
        summed, asked = self._summed
        return self.summary is not None and (summed < asked or (self.wanted or 0) <= asked)

    @property
    def is_summed_up(self) -> bool:
        """Whether its summary speaks of just these samples."""
        return self.ended and self._summed[0] == self.wanted

    @property
    def _summed(self) -> tuple[int, int]:
        """Of how many samples the summary is, and how many were asked for; 0 without one."""
        samples = whole((self.summary or {}).get("samples"))
        if self.summary is None or "samples_asked" in self.summary:
            return samples, whole((self.summary or {}).get("samples_asked"))
        # Of before a run could grow: it was written when nothing was left to do.
        return samples, max(samples, whole(self.config.get("samples")))

    def title(self) -> str:
        """The method with its settings, for people."""
        words = self.budget.words()
        kept = f" keep {words}" if words else ""
        profile = "" if self.profile is None else f" {self.profile}"
        return f"{self.compressor}{kept}{profile}{self.option_words(self.options)}"

    def option_words(self, options: str) -> str:
        """As in " (seed=1)", with the question where it was seen and `options` do not say so, as
        of a method whose default that is.
        """
        silent = self.question == "seen" and "question=seen" not in options
        shown = f" ({options})" if options else ""
        return f"{shown}, question seen" if silent else shown


def same_settings(run: Run) -> str:
    """A key that runs share when only their compression differs: every setting besides, weights and
    data.

    Paths are not in it; what they name is, by its hash.
    """
    kept = {
        "model": run.model,
        "needles": run.needles,
        "settings": conditions(run.config),
        "weights": run.provenance.get("weights_hash"),
        "data": run.provenance.get("data_hash"),
    }
    return repr(kept)
