"""Targets run again and compared: experiments with what was published, runs with what was saved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.errors import ConfigError, UserError, fault

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.comparing.run import Run
    from freqexp.config.run import RunConfig
    from freqexp.published.numbers import Published
    from freqexp.published.text import Outcome
    from freqexp.reproduce.saved import Saved

FOLDER = "reproductions"


def reproduce(
    target: str, overrides: Sequence[str], outputs: str, config_dir: str | None = None
) -> tuple[Outcome, Path]:
    """What became of TARGET, and the folder for what is written about it.

    config_dir: a folder of the user's own with options and methods.
    Raises UserError and ConfigError for what the user can mend.
    """
    from freqexp.published.numbers import experiments

    for text in overrides:
        if "=" not in text:
            raise ConfigError([fault("override", text, "key=value")])
    if target in experiments():
        return reproduce_experiment(target, overrides, outputs, config_dir)
    known = Path(target).exists() or (Path(outputs) / "sweeps" / target).is_dir()
    if not known and not _run_ids(target, outputs):
        allowed = f"a file or folder, a run or sweep in {outputs}, or an experiment: "
        raise UserError(fault("TARGET", target, allowed + ", ".join(experiments())))
    return reproduce_saved(target, overrides, outputs, config_dir)


def _run_ids(target: str, outputs: str) -> list[Path]:
    """Folders of runs whose id begins so."""
    if not re.fullmatch(r"[0-9a-f]{4,16}", target):
        return []
    return list((Path(outputs) / "runs").glob(f"{target}*"))


def reproduce_experiment(
    name: str, overrides: Sequence[str], outputs: str, config_dir: str | None = None
) -> tuple[Outcome, Path]:
    """An experiment beside what was published of it."""
    from freqexp.answering.session import Session
    from freqexp.composing.compose import collect
    from freqexp.published.numbers import load_published
    from freqexp.published.text import Outcome
    from freqexp.run import run

    published = load_published(name)
    if not any(text.startswith("output_dir=") for text in overrides):
        overrides = [*overrides, f"output_dir={outputs}"]
    flags = ["-m"] if config_dir is None else ["-m", f"--config-dir={config_dir}"]
    points = collect([*flags, f"experiment={name}", *overrides])
    configs = [point.config for point in points]
    failed = run(points)
    outcome = Outcome(title=name, then="published")
    if failed:
        outcome.notes.append("some runs failed or are not finished; the same command goes on")
    folder = Path(configs[0].output_dir) / FOLDER / name
    if published is None:
        outcome.notes.append("nothing is published for this experiment: nothing to compare with")
        return outcome, folder
    outcome.title = f"{name}: {published.title}"
    outcome.surroundings = [published.source, *_here(configs[0], Session())]
    _fill(outcome, name, published, configs)
    if published.figures:
        from freqexp.figures.studies import draw_paper

        drawn = draw_paper(folder)
        outcome.notes += [f"{figure.caption}: {folder / figure.name}.png" for figure in drawn]
    return outcome, folder


def _here(cfg: RunConfig, session: Session) -> list[str]:
    """On what the numbers of this machine rest."""
    from freqexp.answering.measure import host_kind
    from freqexp.results.provenance import code_state, versions

    hashes = session.hashes(cfg)
    commit, dirty = code_state()
    data = cfg.needles.path or "generated samples"
    found = versions()
    return [
        f"model {cfg.model.name}, weights {hashes['weights_hash'][:12]}",
        f"{data}, data {hashes['data_hash'][:12]}, {cfg.samples} samples a run asked for",
        f"commit {(commit or 'unknown')[:12]}{' with changes' if dirty else ''}, "
        f"torch {found.get('torch')}, transformers {found.get('transformers')}, "
        f"{host_kind(cfg.model)}",
    ]


def _fill(outcome: Outcome, name: str, published: Published, configs: Sequence[RunConfig]) -> None:
    from freqexp.answering.session import Session
    from freqexp.comparing.compare import compare
    from freqexp.comparing.load import load_runs
    from freqexp.published.beside import beside
    from freqexp.running.execute import run_folder
    from freqexp.running.plan import plan

    runs = plan(configs, Session())
    folders = {run_folder(point.cfg, point.run_id): point.cfg.samples for point in runs}
    begun = {folder: samples for folder, samples in folders.items() if folder.is_dir()}
    if not begun:
        outcome.notes.append("no run has begun yet")
        return
    comparison = compare(load_runs(begun), margin=published.margin)
    found = beside(name, published, comparison)
    outcome.cells, outcome.parts = list(found.cells), list(found.parts)
    outcome.findings = list(found.findings)
    outcome.notes += found.notes
    outcome.notes += [*comparison.loaded.notes, *comparison.notes]


def reproduce_saved(
    target: str, overrides: Sequence[str], outputs: str, config_dir: str | None = None
) -> tuple[Outcome, Path]:
    """Saved runs computed again in a folder of their own, beside what was saved."""
    from freqexp.answering.session import Session
    from freqexp.published.text import Outcome
    from freqexp.reproduce.runs import compare_runs, no_cell
    from freqexp.reproduce.saved import find, read_config, surroundings

    found = find(target, outputs)
    name = found[0].name if len(found) == 1 else Path(target).resolve().name
    folder = Path(outputs) / FOLDER / re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    folders = [] if config_dir is None else [config_dir]
    configs = [read_config(saved, overrides, str(folder), folders) for saved in found]
    outcome, session = Outcome(title=f"Again: {target}", then="saved"), Session()
    wanted = []
    for saved, cfg in zip(found, configs, strict=True):
        around = surroundings(saved, cfg, session)
        said, refusal = _refusal(saved, cfg, around.other_weights, folders)
        lines = [f"same: {', '.join(around.same)}"] if around.same else []
        lines += [*around.changed, *said]
        where = "" if len(found) == 1 else f"{saved.name}: "
        outcome.surroundings += [f"{where}{line}" for line in lines]
        wanted.append((saved, cfg, around, refusal))
    _run([cfg for _, cfg, _, refusal in wanted if not refusal])
    for saved, cfg, around, refusal in wanted:
        now = None if refusal else _computed(cfg, session)
        if now is None or saved.run is None:
            title = saved.name if saved.run is None else saved.run.title()
            reason = refusal or ("no results were saved with it" if now else "it was not computed")
            outcome.cells.append(no_cell(title, reason))
            continue
        outcome.cells += compare_runs(saved.run, now, around)
        outcome.notes += [f"{saved.name}: {note}" for note in saved.run.notes]
    outcome.notes.append("milliseconds and memory are one start's and are not compared")
    return outcome, folder


def _refusal(
    saved: Saved, cfg: RunConfig, other_weights: bool, folders: Sequence[str]
) -> tuple[list[str], str]:
    """Settings that overrides changed, and why a run is not worth computing again ("": it is)."""
    from freqexp.reproduce.runs import changed_settings
    from freqexp.reproduce.saved import parse_config

    said, other = changed_settings(parse_config(saved, folders), cfg)
    if other:
        return said, "overrides make it another experiment; nothing was computed"
    if other_weights:
        return said, "other weights than the saved run's; nothing was computed"
    return said, ""


def _run(configs: Sequence[RunConfig]) -> None:
    """Compute what is missing; a failed run stays without results and is said so later."""
    from freqexp.composing.compose import Point
    from freqexp.run import run

    if configs:
        run([Point((), cfg) for cfg in configs])


def _computed(cfg: RunConfig, session: Session) -> Run | None:
    from freqexp.comparing.run_files import load_run
    from freqexp.running.execute import run_folder

    return load_run(run_folder(cfg, session.run_id(cfg)), cfg.samples)
