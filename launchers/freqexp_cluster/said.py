"""What is said of a sweep that was submitted: what is queued, and how to watch and cancel it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from freqexp.config.cluster import SUBMITS, ClusterConfig
from freqexp.config.saved import from_yaml
from freqexp.errors import UserError
from freqexp.results.provenance import CONFIG
from freqexp.running.plan import Point
from freqexp_cluster.queue import Job
from freqexp_cluster.todo import Sweep, Todo

ASKED = (*SUBMITS, "gpus_per_node", "time", "processes", "shard", "max_parallel")
"""Keys of `cluster` that decide whether and where a queued job can start."""


def report(sweep: Sweep, todo: Todo, jobs: Sequence[str], active: Mapping[str, Job]) -> list[str]:
    """What was submitted, what was not and why, and how to watch."""
    lines = [f"sweep {sweep.name}: {len(sweep.runs)} runs"]
    if jobs:
        lines.append(f"  submitted {len(jobs)} as {counted(jobs)}")
    if todo.done:
        lines.append(f"  {len(todo.done)} are done")
    if todo.queued:
        lines.append(f"  {len(todo.queued)} are queued or running already")
        lines += [f"    {line}" for line in _queued(sweep, todo, active)]
    for count, what in (
        (len(todo.parts), "are the first samples of another one, and done with it"),
        (len(todo.left), "were never started (cluster.retry=failed leaves them)"),
    ):
        if count:
            lines.append(f"  {count} {what}")
    lines += [
        f"watch:   python -m freqexp.status {sweep.folder} --watch",
        f"logs:    {sweep.jobs}",
        *(f"cancel:  {line}" for line in cancel_lines(jobs)),
        "again:   the same command submits what is missing",
    ]
    return lines


def _queued(sweep: Sweep, todo: Todo, active: Mapping[str, Job]) -> list[str]:
    """Of each array that computes runs of the sweep: how its tasks are, and what it was asked for
    that this command would ask for otherwise.
    """
    arrays_of: dict[str, list[tuple[Point, str]]] = {}
    for point, key in todo.queued:
        job, at, cluster = key.partition("@")
        arrays_of.setdefault(f"{job.split('_')[0]}{at}{cluster}", []).append((point, key))
    lines = []
    for name, members in arrays_of.items():
        states = []
        for _, key in members:
            found = active[key]
            waits = found.reason not in ("", "None") and found.state == "PENDING"
            state = found.state.lower()
            states.append(f"{state} ({found.reason})" if waits else state)
        counts = ", ".join(f"{states.count(each)} {each}" for each in dict.fromkeys(states))
        lines.append(f"job {name}: {counts}")
        changed = asked_otherwise(sweep.cluster, sweep.run_folder(members[0][0]))
        if changed:
            lines.append(f"  was submitted with {'; '.join(changed)}")
            cancel = "; ".join(cancel_lines([key for _, key in members]))
            lines.append(f"  to submit them anew: {cancel}; then the same command again")
    return lines


def asked_otherwise(cluster: ClusterConfig, folder: Path) -> list[str]:
    """As in "cluster.mem_gb=900, now 64": what a run was submitted with and is not typed now."""
    try:
        earlier = from_yaml(folder / CONFIG).cluster
    except UserError:
        return []
    return [
        f"cluster.{name}={_shown(getattr(earlier, name))}, now {_shown(getattr(cluster, name))}"
        for name in ASKED
        if getattr(earlier, name) != getattr(cluster, name)
    ]


def _shown(value: object) -> str:
    return "null" if value is None else str(value)


def counted(jobs: Collection[str]) -> str:
    """As in "job 7, 9"."""
    return f"job {', '.join(dict.fromkeys(key.split('_')[0] for key in sorted(jobs)))}"


def cancel_lines(jobs: Collection[str]) -> list[str]:
    """What cancels these jobs, a line for each cluster; arrays as a whole."""
    by_cluster: dict[str, dict[str, None]] = {}
    for key in jobs:
        job, _, cluster = key.partition("@")
        by_cluster.setdefault(cluster, {})[job.split("_")[0]] = None
    return [
        " ".join(["scancel", *(["-M", cluster] if cluster else []), *ids])
        for cluster, ids in by_cluster.items()
    ]
