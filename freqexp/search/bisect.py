"""Bisection: each probe is an ordinary run that grows until it has answered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from freqexp.answering.session import Session
from freqexp.config.run import RunConfig
from freqexp.config.title import title_of
from freqexp.results.record import first
from freqexp.results.summarize import options_of
from freqexp.results.summary import ended_records
from freqexp.running.execute import baseline_of, run_folder
from freqexp.running.plan import Point
from freqexp.running.progress import Progress
from freqexp.running.sweep import ObserversFactory, PointsError, Watcher, execute_all
from freqexp.running.sweep_file import check_same_sweep, check_writable, sweep_name, write_sweep
from freqexp.search.outcome import Look, Outcome, Probe, Scores, look_at
from freqexp.search.plan import Plan
from freqexp.search.words import look_line, note_of, write_answer


@dataclass
class Search:
    """A search of one method, checked.

    cfg: the run whose budget is looked for; overrides: what the command set for it; arguments: the
    command as typed. The others are as in `freqexp.running.sweep.run_points`.
    """

    plan: Plan
    cfg: RunConfig
    session: Session
    progress: Progress
    observers_factory: ObserversFactory
    overrides: Sequence[str] = ()
    arguments: Sequence[str] = ()
    watcher: Watcher | None = None
    name: str = field(init=False, default="")
    probes: list[Probe] = field(init=False, default_factory=list)
    _run_ids: dict[float | None, str] = field(init=False, default_factory=dict)

    def run(self) -> Outcome:
        """Search, and write the answer beside sweep.json. What was computed before is read from the
        files of its runs, so the same command continues a search.

        Raises UserError before any work when the folder can't be written or the sweep's name is
        another one's, and PointsError when a run failed.
        """
        root = Path(self.cfg.output_dir)
        check_writable(root)
        self.name = self._sweep_name()
        self.progress.note(note_of(self.plan, self.name))
        low, high = 0, len(self.plan.values)
        write_answer(root, self._outcome(), ended=False)
        while low < high:
            middle = (low + high) // 2
            self.probes.append(self._probe(self.plan.values[middle]))
            low, high = (low, middle) if self.probes[-1].passes else (middle + 1, high)
            write_answer(root, self._outcome(), ended=low == high)
        return self._outcome()

    def _sweep_name(self) -> str:
        """The sweep's: the one that was set, else one made from the search and its runs.

        Raises UserError for a name that is another sweep's.
        """
        most, values = self.plan.samples[-1], self.plan.values
        if self.cfg.sweep_name is not None:
            runs = [self._baseline(most), *(self._point(value, most) for value in values)]
            name = sweep_name([self.cfg], runs)
            check_same_sweep(Path(self.cfg.output_dir), name, runs)
            return name
        ends = (self._point(values[0], most), self._point(values[-1], most))
        words = [repr(self.plan), *(point.run_id for point in (self._baseline(most), *ends))]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]

    def _outcome(self) -> Outcome:
        options = options_of(self.cfg)
        method = f"{title_of(self.cfg)} ({options})" if options else title_of(self.cfg)
        baseline = self._baseline(self.plan.samples[0]).run_id
        return Outcome(self.plan, method, self.name, baseline, tuple(self.probes))

    def _point(self, value: float, samples: int) -> Point:
        cfg = with_value(self.cfg, self.plan.budget, value)
        cfg = replace(cfg, samples=samples)
        chosen = (f"{self.plan.budget}={value:g}", f"samples={samples}")
        return Point(cfg, self._run_id(value, cfg), (*self.overrides, *chosen))

    def _baseline(self, samples: int) -> Point:
        cfg = baseline_of(with_value(self.cfg, self.plan.budget, self.plan.values[0]))
        assert cfg is not None
        cfg = replace(cfg, samples=samples)
        return Point(cfg, self._run_id(None, cfg), added=True)

    def _run_id(self, value: float | None, cfg: RunConfig) -> str:
        """The id of a probe's run, or (None) the baseline's: the same for any number of samples."""
        if value not in self._run_ids:
            self._run_ids[value] = self.session.run_id(cfg)
        return self._run_ids[value]

    def _probe(self, value: float) -> Probe:
        """Look at a value with more and more samples, until it is decided or they are used up."""
        looks: list[Look] = []
        for number, samples in enumerate(self.plan.samples):
            base, point = self._baseline(samples), self._point(value, samples)
            held = self._grow(base, point)
            ours = _scores(point)
            looks.append(look_at(self.plan, number, ours, _scores(base)))
            self.progress.note(look_line(self.plan, value, looks[-1]))
            if looks[-1].verdict != "undecided" or held < samples:
                break
        return Probe(value, point.run_id, tuple(looks), ours)

    def _grow(self, *points: Point) -> int:
        """Compute what is missing of the baseline and a probe. Gives how many samples there are,
        fewer than were asked for where the data set holds no more.
        """
        runs = [replace(point, cfg=replace(point.cfg, sweep_name=self.name)) for point in points]
        self._write_sweep(points[-1])
        summaries, faults = execute_all(
            runs, self.observers_factory, self.session, self.progress, self.watcher
        )
        if faults:
            raise PointsError(faults, summaries)
        return summaries[-1].samples

    def _write_sweep(self, point: Point) -> None:
        """The sweep so far: every probe with as many samples as it was asked for, the baseline with
        the most of them.
        """
        values = {probe.value: probe.last.samples for probe in self.probes}
        most = max(point.cfg.samples, *values.values(), 0)
        earlier = [self._point(value, samples) for value, samples in values.items()]
        runs = [self._baseline(most), *earlier, point]
        write_sweep(Path(self.cfg.output_dir), self.name, runs, self.arguments)


def with_value(cfg: RunConfig, budget: str, value: float) -> RunConfig:
    """The same run with another budget; the keep ratio stays beside a count of tokens."""
    if budget == "keep_ratio":
        return replace(cfg, keep_ratio=value)
    return replace(cfg, keep_tokens=int(value))


def _scores(point: Point) -> Scores:
    """The scores of a run that has ended, over the samples that the point asks for."""
    records = ended_records(run_folder(point.cfg, point.run_id), point.cfg.samples)
    assert records is not None
    asked = first(records, point.cfg.samples).items()
    return {name: record.score for name, record in asked if record.score is not None}
