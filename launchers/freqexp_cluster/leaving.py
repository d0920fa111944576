"""How a process leaves when its time limit, a preemption or a requeue comes.

submitit's own handlers act at once, in the middle of whatever runs. These only ask the run to leave
after the sample in flight; when that takes too long the sample is dropped. Records are on disk and
W&B is left by then, and submitit's handler is called to requeue the job.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.errors import UserError
from freqexp.files import write_json, write_text
from freqexp.running.shares import Preempted, Share
from freqexp_cluster import lives

if TYPE_CHECKING:
    from freqexp.answering.work import PageImages
    from freqexp.config.cluster import ClusterConfig
    from freqexp.config.run import RunConfig
    from freqexp.results.record import Record
    from freqexp.results.summary import Summary

TERM_GRACE_S = 1.0
"""After SIGTERM SLURM kills soon: the sample in flight may take no longer than this."""
SECOND_SIGNAL_S = 0.5
KILLED_WITHIN_S = 120.0
TERMINATED = 128 + signal.SIGTERM


class Leaving:
    """Signal handlers of one process, and an observer of its run.

    grace_s: how long the sample in flight may take after the signal before a time limit. cluster:
    what the job was given; None: not known yet.
    """

    def __init__(self, share: Share, folder: Path) -> None:
        self.grace_s = 10.0
        self.cluster: ClusterConfig | None = None
        self._share = share
        self._folder = folder
        self._came: list[int] = []
        self._requeue: Any = None
        self._may_drop = True

    def listen(self) -> None:
        """Take the place of submitit's handlers."""
        self._requeue = signal.getsignal(signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, self._ask)
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGALRM, self._drop)

    def _ask(self, number: int, frame: Any) -> None:
        self._came.append(number)
        self._share.leaving = True
        if self._may_drop:
            grace = TERM_GRACE_S if number == signal.SIGTERM else self.grace_s
            signal.setitimer(signal.ITIMER_REAL, grace)

    def _drop(self, number: int, frame: Any) -> None:
        if self._may_drop:
            self._may_drop = False
            raise Preempted

    def disarm(self) -> None:
        """From here on nothing is interrupted."""
        self._may_drop = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def on_start(self, cfg: RunConfig, folder: Path) -> None:
        """See `Observer`."""

    def on_record(self, record: Record, images: PageImages | None) -> None:
        """See `Observer`."""

    def on_end(self, summary: Summary | None) -> None:
        """See `Observer`; the first to be told, so that nothing drops what the others do now."""
        self.disarm()

    def leave(self, environment: Any) -> None:
        """End this process; before, the first of the job requeues it if SLURM does not do so."""
        self.disarm()
        if signal.SIGUSR2 not in self._came:
            time.sleep(SECOND_SIGNAL_S)  # a preemption sends both
        told = signal.SIGUSR2 in self._came
        if self._share.rank == 0:
            names = [signal.Signals(number).name for number in self._came]
            note = {"at": _now(), "signals": names, "requeued": told}
            write_json(self._folder / "interrupted.json", note)
        if told and self._share.rank == 0:
            self._require_progress()
            self._hand_over()
        elif told and environment.cluster == "slurm":
            # Ending now could end the first process before it has requeued the job.
            time.sleep(KILLED_WITHIN_S)
        sys.exit(0 if told and environment.cluster == "local" else TERMINATED)

    def _require_progress(self) -> None:
        """Raises UserError, with advice, where a time limit leaves no time for a sample."""
        if self.cluster is None or signal.SIGTERM in self._came:
            return  # preempted: the next life may be longer
        text = lives.advice(lives.end(self._folder), self._folder, self.cluster)
        if text is not None:
            write_text(self._folder / "error.txt", f"{text}\n")
            raise UserError(text)

    def _hand_over(self) -> None:
        """Let submitit requeue, which ends this process. Raises when it must not do so again."""
        from submitit.core.utils import UncompletedJobError

        try:
            self._requeue(signal.SIGUSR2, None)
        except UncompletedJobError as error:
            text = f"{error} What was answered is kept: the same command computes the rest."
            write_text(self._folder / "error.txt", f"{text}\n")
            raise UserError(text) from None


def _now() -> str:
    from freqexp.results.provenance import now

    return now()
