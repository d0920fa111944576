"""Several runs in one process: baselines first and shared, one table at the end."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from freqexp.answering.session import Session
from freqexp.config.differing import differing
from freqexp.errors import UserError
from freqexp.files import read_json, write_text
from freqexp.results.provenance import CONFIG
from freqexp.results.summary import SUMMARY, Summary, ended_records, finished_records
from freqexp.results.table import render_table
from freqexp.running.execute import (
    Observer,
    baseline_of,
    conclude,
    execute,
    label,
    run_folder,
)
from freqexp.running.plan import Point, plan
from freqexp.running.progress import Progress, make_progress
from freqexp.running.sweep_file import (
    SWEEP,
    check_one_sweep,
    check_same_sweep,
    check_writable,
    sweep_name,
    write_overrides,
    write_sweep,
)

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

ERROR = "error.txt"

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Is told of each run that has samples left to answer, once."""

    def before(self, cfg: RunConfig, overrides: Sequence[str], folder: Path) -> None:
        """It begins."""

    def after(self, outcome: object) -> None:
        """It has ended. outcome: its summary, or the exception that ended it."""


ObserversFactory = Callable[["RunConfig"], Sequence[Observer]]


class PointsError(UserError):
    """Some points failed; the others are done, and `summaries` holds them."""

    def __init__(self, faults: Sequence[str], summaries: Sequence[Summary]) -> None:
        self.summaries = tuple(summaries)
        super().__init__("\n".join(faults))


def run_points(
    points: Sequence[RunConfig],
    observers_factory: ObserversFactory,
    overrides: Sequence[Sequence[str]] | None = None,
    *,
    arguments: Sequence[str] = (),
    session: Session | None = None,
    progress: Progress | None = None,
    watcher: Watcher | None = None,
) -> list[Summary]:
    """Run checked configurations and the baselines they need; print the table; give the summaries.

    observers_factory: the observers of one run, called once for each. overrides: for each point
    what the command set, and arguments: the command as it was typed, kept in sweep.json. watcher:
    is told of each run around everything else.
    Raises UserError before any work when the output folder cannot be written, ConfigError when
    points name several, PointsError at the end when a point failed.
    """
    session = Session() if session is None else session
    progress = make_progress() if progress is None else progress
    check_one_sweep(points)
    check_writable(Path(points[0].output_dir))
    runs = plan(points, session, overrides)
    name = sweep_name(points, runs)
    root = Path(points[0].output_dir)
    check_same_sweep(root, name, runs)
    file = write_sweep(root, name, runs, arguments)
    named = [replace(point, cfg=replace(point.cfg, sweep_name=name)) for point in runs]
    summaries, faults = execute_all(named, observers_factory, session, progress, watcher)
    show(summaries, runs, file)
    if faults:
        raise PointsError(faults, summaries)
    return summaries


def execute_all(
    runs: Sequence[Point],
    observers_factory: ObserversFactory,
    session: Session,
    progress: Progress,
    watcher: Watcher | None = None,
) -> tuple[list[Summary], list[str]]:
    """Run what was planned, one after the other, as in `run_points`. Gives the summaries of those
    that ended, and the faults of the others in words.
    """
    summaries: list[Summary] = []
    faults: list[str] = []
    for point in runs:
        cfg = point.cfg
        try:
            with watched(point, watcher) as told:
                summaries.append(execute(cfg, session, progress, observers_factory(cfg)))
                told(summaries[-1])
        except Exception as error:
            faults.append(f"{label(cfg)} (run {point.run_id}): {explain(error, point)}")
            progress.note(f"failed: {faults[-1]}")
    return summaries, faults


@contextmanager
def watched(point: Point, watcher: Watcher | None) -> Iterator[Callable[[Summary | None], None]]:
    """Around a run: its overrides are written and the watcher is told, unless it is answered from
    its files. Gives the function to call with its summary (None: another process has it).
    """
    folder = run_folder(point.cfg, point.run_id)
    if finished_records(folder, point.cfg.samples) is not None:
        log.info("%s (run %s): answered from its files", label(point.cfg), point.run_id)
        yield lambda summary: None
        return
    log.info("%s (run %s): begins", label(point.cfg), point.run_id)
    write_overrides(folder, point)
    if watcher is None:
        yield lambda summary: None
        return
    watcher.before(point.cfg, point.overrides, folder)
    try:
        yield watcher.after
    except Exception as error:
        watcher.after(error)
        raise


def explain(error: Exception, point: Point) -> str:
    """A fault in one line; for one that is not the user's, where its traceback was put."""
    if isinstance(error, UserError):
        return str(error)
    file = run_folder(point.cfg, point.run_id) / ERROR
    write_text(file, "".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {error} (traceback in {file})"


def finished(cfg: RunConfig, session: Session) -> Summary | None:
    """The summary of a run that has ended for the samples asked for, made again from its records;
    None when it has not.

    So its difference to the baseline is there as soon as both are complete. Samples may have
    failed.
    """
    records = ended_records(run_folder(cfg, session.run_id(cfg)), cfg.samples)
    return None if records is None else conclude(cfg, session, records)[0]


def complete_deltas(
    cfg: RunConfig, session: Session, output_dir: Path, name: str
) -> list[tuple[RunConfig, Path, Summary]]:
    """After a run of a sweep has ended: give every summary its difference to the baseline, in other
    sweeps that share it, too.

    A point and its baseline can end in any order, at the same time, too. Each writes its own
    summary first and looks at the other's then, so the later of them sees both. Gives the runs that
    have a difference now and had none, with their folders and what stands in summary.json.
    """
    from freqexp.config.saved import from_yaml

    if baseline_of(cfg) is not None:
        return _with_delta(cfg, session)
    own = session.run_id(cfg)
    found = []
    for entry in _sharing(own, output_dir, name):
        folder = output_dir / "runs" / entry["run_id"]
        written = read_json(folder / SUMMARY)
        if entry["baseline"] or written is None or written.get("baseline_run_id") == own:
            continue
        # What is wrong with another run is said where that one is asked for.
        with suppress(UserError):
            other = from_yaml(folder / CONFIG)
            samples = entry.get("samples", other.samples)
            other = replace(other, output_dir=str(output_dir), samples=samples)
            found += _with_delta(other, session)
    return found


def _sharing(run_id: str, output_dir: Path, name: str) -> list[dict[str, Any]]:
    """Runs of the sweeps that this baseline is part of, each once for each number of samples."""
    found: dict[tuple[str, int | None], dict[str, Any]] = {}
    for file in sorted((output_dir / "sweeps").glob(f"*/{SWEEP}")):
        entries = (read_json(file) or {}).get("runs", [])
        if file.parent.name == name or run_id in [entry["run_id"] for entry in entries]:
            found |= {(entry["run_id"], entry.get("samples")): entry for entry in entries}
    return list(found.values())


def _with_delta(cfg: RunConfig, session: Session) -> list[tuple[RunConfig, Path, Summary]]:
    """The run if making its summary again gave it a difference that it had not."""
    folder = run_folder(cfg, session.run_id(cfg))
    had = (read_json(folder / SUMMARY) or {}).get("delta")
    records = ended_records(folder, cfg.samples)
    if records is None:
        return []
    _, widest = conclude(cfg, session, records)
    return [(cfg, folder, widest)] if had is None and widest.delta is not None else []


def told_apart(summaries: Sequence[Summary], runs: Sequence[Point]) -> list[Summary]:
    """Summaries whose options also say what else the runs are not alike in, such as
    max_new_tokens.
    """
    said = differing([asdict(point.cfg) for point in runs])
    settings = {point.run_id: words for point, words in zip(runs, said, strict=True)}
    return [
        replace(each, options=",".join(filter(None, [each.options, settings.get(each.run_id)])))
        for each in summaries
    ]


def show(summaries: Sequence[Summary], runs: Sequence[Point], sweep_file: Path) -> None:
    """Print the table and where the files are."""
    if summaries:
        print(f"\n{render_table(told_apart(summaries, runs))}\n")
    folders = dict.fromkeys(str(run_folder(point.cfg, "<run>")) for point in runs)
    print(f"records and summaries: {', '.join(folders)}\nsweep: {sweep_file}")
    sys.stdout.flush()
