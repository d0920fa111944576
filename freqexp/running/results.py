"""What came of runs, for whoever asked for them in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.results.record import Record, first
from freqexp.results.summary import Summary, ended_records
from freqexp.running.execute import run_folder
from freqexp.running.plan import plan
from freqexp.running.sweep import finished

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.config.run import RunConfig


@dataclass(frozen=True, eq=False)
class Results:
    """Runs that have ended, their baselines first.

    summaries: one of each run. records: by run id, a sample each in the order of the data set, over
    as many samples as were asked for. pending: ids of runs that have not ended, as those that are
    queued on a cluster.
    """

    summaries: tuple[Summary, ...]
    records: Mapping[str, tuple[Record, ...]]
    pending: tuple[str, ...] = ()


def results_of(
    configs: Sequence[RunConfig], session: Session, summaries: Sequence[Summary] | None = None
) -> Results:
    """What the files of these runs and of their baselines hold.

    summaries: as they were made; None: of the files. Raises UserError for a corrupt record file.
    """
    points = plan(configs, session)
    known = {(summary.run_id, summary.samples_asked): summary for summary in summaries or ()}
    made: list[Summary] = []
    records: dict[str, tuple[Record, ...]] = {}
    pending: list[str] = []
    for point in points:
        ended = ended_records(run_folder(point.cfg, point.run_id), point.cfg.samples)
        if ended is None:
            pending.append(point.run_id)
            continue
        summary = known.get((point.run_id, point.cfg.samples)) or finished(point.cfg, session)
        assert summary is not None
        made.append(summary)
        of_these = first(ended, point.cfg.samples).values()
        records[point.run_id] = tuple(sorted(of_these, key=_place))
    return Results(tuple(made), records, tuple(pending))


def _place(record: Record) -> tuple[int, str]:
    return record.index or 0, record.sample_id
