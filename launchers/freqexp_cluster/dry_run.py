"""`cluster.dry_run=true`: what would be submitted, and what it may cost."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Collection, Sequence

from freqexp.config.cluster import Executor
from freqexp.errors import ConfigError, UserError
from freqexp.running.execute import label
from freqexp.running.plan import Point
from freqexp_cluster import gpus, partitions, queue
from freqexp_cluster.estimate import doubt_of_gpu, estimate
from freqexp_cluster.executors import sbatch_text, workers_at_once
from freqexp_cluster.todo import Sweep, Todo, noted_clusters, sort_out

DONE = 0
SHOWN_POINTS = 40
CODE = "code-<hash>"


def show(sweep: Sweep) -> int:
    """Print grid, cost and batch text; nothing is written or submitted.

    Raises ConfigError for what the cluster or this machine can't give.
    """
    on_slurm = sweep.cluster.executor is Executor.slurm
    active: Collection[str] = ()
    if on_slurm:
        try:
            partitions.require_slurm(sweep.cluster)
            active = queue.active_jobs(noted_clusters(sweep))
        except ConfigError:
            raise
        except UserError as error:
            # A plan can be made on a laptop, too.
            _say(f"not checked against the cluster: {error}")
    doubt = doubt_of_gpu(sweep.cluster)
    if doubt is not None and sweep.runs[0].cfg.model.path is not None:
        _say(doubt)
    todo = sort_out(sweep, active)
    parts = [grid(sweep, todo), estimate(sweep, todo.submit)]
    if on_slurm:
        parts.append(batch(sweep, len(todo.submit)))
    else:
        gpus.of_workers(sweep.cluster)
        parts.append(f"workers: {workers_at_once(sweep.cluster, _cores())} points at once")
    print("\n\n".join(parts))
    return DONE


def _say(text: str) -> None:
    print(f"freqexp: {text}\n", file=sys.stderr, flush=True)


def grid(sweep: Sweep, todo: Todo) -> str:
    """Every run and what would become of it."""
    state = {id(point): "done already" for point in todo.done}
    state |= {id(point): f"job {job}" for point, job in todo.queued}
    state |= {id(point): "left out (never started)" for point in todo.left}
    state |= {id(point): "with a larger one" for point in todo.parts}
    rows = [
        (point.run_id, label(point.cfg), _overrides(point), state.get(id(point), "to submit"))
        for point in sweep.runs
    ]
    counts = Counter(row[-1] if not row[-1].startswith("job ") else "queued" for row in rows)
    summary = ", ".join(f"{count} {what}" for what, count in counts.items())
    lines = [f"sweep {sweep.name}: {len(rows)} runs ({summary})", *_table(rows[:SHOWN_POINTS])]
    if len(rows) > SHOWN_POINTS:
        lines.append(f"  ... {len(rows) - SHOWN_POINTS} more")
    return "\n".join(lines)


def batch(sweep: Sweep, count: int) -> str:
    """The sbatch text."""
    if not count:
        return "nothing to submit"
    text = sbatch_text(sweep.cluster, sweep.name, sweep.jobs, sweep.folder / CODE, count)
    return f"sbatch text\n{text}".rstrip()


def _overrides(point: Point) -> str:
    if point.added:
        return "(baseline)"
    shown = (text for text in point.overrides if not text.startswith(("cluster", "hydra.")))
    return " ".join(shown).replace("'", "") or "the defaults"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0))
