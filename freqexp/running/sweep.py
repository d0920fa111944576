"""Several runs in one process: baselines first and shared, one table at the end."""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.answering.session import Session
from freqexp.errors import UserError, fault
from freqexp.files import read_json, write_json, write_text
from freqexp.results.provenance import CONFIG
from freqexp.results.record import RECORDS, load_records, settle
from freqexp.results.summary import SUMMARY, Summary, summarize, write_summary
from freqexp.results.table import render_table
from freqexp.running.execute import (
    Observer,
    baseline_of,
    baseline_records,
    execute,
    label,
    run_folder,
)
from freqexp.running.progress import Progress, make_progress

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

SWEEP = "sweep.json"
ERROR = "error.txt"

ObserversFactory = Callable[["RunConfig"], Sequence[Observer]]


@dataclass(frozen=True)
class Point:
    """One run to do. overrides: what the command set for it. added: a baseline nobody asked for."""

    cfg: RunConfig
    run_id: str
    overrides: tuple[str, ...] = ()
    added: bool = False


class PointsError(UserError):
    """Some points failed; the others are done, and `summaries` holds them."""

    def __init__(self, faults: Sequence[str], summaries: Sequence[Summary]) -> None:
        self.summaries = tuple(summaries)
        super().__init__("\n".join(faults))


def plan(
    points: Sequence[RunConfig], session: Session, overrides: Sequence[Sequence[str]] | None = None
) -> list[Point]:
    """The runs that `points` need, each once, in the order in which they share most.

    Runs of one model and data set come together, so that a model is loaded once; within them the
    baselines come first (so that every delta is there when its run ends), the rest as given. Points
    that differ only in what their compressor does not use are one run.
    """
    groups: dict[str, tuple[dict[str, Point], dict[str, Point]]] = {}
    for index, cfg in enumerate(points):
        key = repr((cfg.model, cfg.needles, cfg.samples, cfg.seed))
        baselines, others = groups.setdefault(key, ({}, {}))
        own = tuple(overrides[index]) if overrides is not None else ()
        point = Point(cfg, session.run_id(cfg), own)
        other = baseline_of(cfg)
        if other is None:
            earlier = baselines.get(point.run_id)
            if earlier is None or earlier.added:
                baselines[point.run_id] = point
            continue
        others.setdefault(point.run_id, point)
        if cfg.baseline:
            run_id = session.run_id(other)
            baselines.setdefault(run_id, Point(other, run_id, added=True))
    models: dict[str, list[Point]] = {}
    for baselines, others in groups.values():
        for point in (*baselines.values(), *others.values()):
            models.setdefault(repr(point.cfg.model), []).append(point)
    return [point for same_model in models.values() for point in same_model]


def run_points(
    points: Sequence[RunConfig],
    observers_factory: ObserversFactory,
    overrides: Sequence[Sequence[str]] | None = None,
    *,
    session: Session | None = None,
    progress: Progress | None = None,
) -> list[Summary]:
    """Run checked configurations and the baselines they need; print the table; give the summaries.

    observers_factory: the observers of one run, called once for each. overrides: for each point
    what the command set, kept in sweep.json.
    Raises UserError before any work when the output folder cannot be written, PointsError at the
    end when a point failed.
    """
    session = Session() if session is None else session
    progress = make_progress() if progress is None else progress
    for folder in dict.fromkeys(cfg.output_dir for cfg in points):
        check_writable(Path(folder))
    runs = plan(points, session, overrides)
    name = sweep_name(points, runs)
    check_same_sweep(Path(points[0].output_dir), name, runs)
    file = write_sweep(Path(points[0].output_dir), name, runs)
    summaries: list[Summary] = []
    faults: list[str] = []
    for point in runs:
        cfg = replace(point.cfg, sweep_name=name)
        try:
            summaries.append(execute(cfg, session, progress, observers_factory(cfg)))
        except Exception as error:
            faults.append(f"{label(cfg)} (run {point.run_id}): {explain(error, point)}")
            progress.note(f"failed: {faults[-1]}")
    show(summaries, runs, file)
    if faults:
        raise PointsError(faults, summaries)
    return summaries


def explain(error: Exception, point: Point) -> str:
    """A fault in one line; for one that is not the user's, where its traceback was put."""
    if isinstance(error, UserError):
        return str(error)
    file = run_folder(point.cfg, point.run_id) / ERROR
    write_text(file, "".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {error} (traceback in {file})"


def check_writable(folder: Path) -> None:
    """Raise UserError unless files can be made in `folder`, which is made if missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            fault("output_dir", str(folder), f"a folder that can be written ({error.strerror})")
        ) from None


def sweep_name(points: Sequence[RunConfig], runs: Sequence[Point]) -> str:
    """The name that was set, else one made from the run ids: the same command has the same name.

    Raises UserError for a name that cannot be a folder's.
    """
    name = points[0].sweep_name
    if name is None:
        ids = "\n".join(sorted(point.run_id for point in runs))
        return hashlib.sha256(ids.encode()).hexdigest()[:12]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        allowed = "1 to 100 letters, digits, dots, dashes and underscores, not starting with a dot"
        raise UserError(fault("sweep_name", name, allowed))
    return name


def check_same_sweep(output_dir: Path, name: str, runs: Sequence[Point]) -> None:
    """Raise UserError when the name is already that of another sweep.

    The same sweep again, a part of it, or one that contains it, is no other sweep.
    """
    file = output_dir / "sweeps" / name / SWEEP
    earlier = {entry["run_id"] for entry in (read_json(file) or {}).get("runs", [])}
    now = {point.run_id for point in runs}
    if earlier <= now or now <= earlier:
        return
    raise UserError(
        fault(
            "sweep_name",
            name,
            f"a name that is not yet that of another sweep ({len(earlier - now)} of its "
            f"{len(earlier)} runs are not in this one, {len(now - earlier)} here are not in it; a "
            "change of code, weights or data makes other runs, too). Choose another sweep_name, or "
            f"give that one up: remove {file}; its runs stay",
        )
    )


def finished(cfg: RunConfig, session: Session) -> Summary | None:
    """The summary of a run that has ended, made again from its records; None when it has not.

    So its difference to the baseline is there as soon as both are complete. Samples may have
    failed.
    """
    run_id = session.run_id(cfg)
    folder = run_folder(cfg, run_id)
    written = read_json(folder / SUMMARY)
    if written is None:
        return None
    records = settle(load_records(folder / RECORDS))
    if len(records) != written.get("samples"):
        return None
    summary = summarize(cfg, run_id, records, baseline_records(cfg, session))
    write_summary(folder, summary)
    return summary


def complete_deltas(cfg: RunConfig, session: Session, output_dir: Path, name: str) -> None:
    """After a run of a sweep has ended: give every summary its difference to the baseline.

    A point and its baseline can end in any order, at the same time, too. Each writes its own
    summary first and looks at the other's then, so the later of them sees both.
    """
    from freqexp.config.saved import from_yaml

    if baseline_of(cfg) is not None:
        finished(cfg, session)
        return
    own = session.run_id(cfg)
    entries = (read_json(output_dir / "sweeps" / name / SWEEP) or {}).get("runs", [])
    for entry in entries:
        folder = output_dir / "runs" / entry["run_id"]
        written = read_json(folder / SUMMARY)
        if entry["baseline"] or written is None or written.get("baseline_run_id") == own:
            continue
        finished(replace(from_yaml(folder / CONFIG), output_dir=str(output_dir)), session)


def write_sweep(output_dir: Path, name: str, runs: Sequence[Point]) -> Path:
    """Write sweeps/<name>/sweep.json; runs of earlier commands of the same name stay in it."""
    file = output_dir / "sweeps" / name / SWEEP
    entries: dict[str, Any] = {}
    earlier = read_json(file)
    for entry in (earlier or {}).get("runs", []):
        entries[entry["run_id"]] = entry
    for point in runs:
        entries[point.run_id] = {
            "run_id": point.run_id,
            "overrides": list(point.overrides),
            "baseline": baseline_of(point.cfg) is None,
            "added": point.added,
        }
    write_json(file, {"name": name, "runs": list(entries.values())})
    return file


def show(summaries: Sequence[Summary], runs: Sequence[Point], sweep_file: Path) -> None:
    """Print the table and where the files are."""
    if summaries:
        print(f"\n{render_table(summaries)}\n")
    folders = dict.fromkeys(str(run_folder(point.cfg, "<run>")) for point in runs)
    print(f"records and summaries: {', '.join(folders)}\nsweep: {sweep_file}")
    sys.stdout.flush()
