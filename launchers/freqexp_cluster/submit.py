"""From checked points to one job array, or to local processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.answering.session import Session
from freqexp.codecs.external.settings import with_files
from freqexp.config.cluster import Executor
from freqexp.paths import BUNDLED
from freqexp.running.plan import plan
from freqexp.running.sweep_file import check_one_sweep, check_same_sweep, sweep_name
from freqexp_cluster import dry_run, slurm, workers
from freqexp_cluster.todo import Sweep

if TYPE_CHECKING:
    from freqexp.composing import compose
    from freqexp.config.run import RunConfig


METHOD_FILES = ("weights", "basis_path", "files", "prior")
"""Settings of methods that name a file or a folder, or several."""

METHOD_COMMANDS = ("encode", "decode")
"""Settings of methods that are commands, words of which may name a file."""


def launch(points: Sequence[compose.Point], asked: compose.Asked | None = None) -> int:
    """Compute checked points as `cluster` says. Gives the exit code of the command. asked: the
    command that they are of.

    Raises ConfigError and UserError before anything is submitted.
    """
    sweep = make_sweep(points, asked)
    if sweep.cluster.dry_run:
        return dry_run.show(sweep)
    if sweep.cluster.executor is Executor.workers:
        return workers.run(sweep)
    return slurm.run(sweep)


def make_sweep(points: Sequence[compose.Point], asked: compose.Asked | None = None) -> Sweep:
    """The sweep of these points. Raises ConfigError for points that can't go out together."""
    configs = [absolute(point.config) for point in points]
    check_one_sweep(configs, "cluster")
    session = Session()
    runs = plan(configs, session, [point.overrides for point in points])
    name = sweep_name(configs, runs)
    root = Path(configs[0].output_dir)
    check_same_sweep(root, name, runs)
    arguments = () if asked is None else asked.arguments
    hydra = None if asked is None or asked.events is None else asked.events.text()
    return Sweep(name, root, configs[0].cluster, runs, session, arguments, hydra)


def absolute(cfg: RunConfig) -> RunConfig:
    """The same run with paths that mean the same in any folder."""
    model, needles = cfg.model, cfg.needles
    # A hub id looks like a path, and is none as long as there is no such folder.
    if model.path is not None and Path(model.path).expanduser().exists():
        model = replace(model, path=_full(model.path))
    if model.adapter is not None and model.adapter not in BUNDLED:
        model = replace(model, adapter=_full(model.adapter))
    font = getattr(model.render, "font_path", None)
    if font is not None:
        render: Any = model.render
        model = replace(model, render=replace(render, font_path=_full(font)))
    if needles.path is not None:
        needles = replace(needles, path=_full(needles.path))
    return replace(
        cfg,
        model=model,
        compressor=_with_full_paths(cfg.compressor),
        needles=needles,
        output_dir=_full(cfg.output_dir),
    )


def _with_full_paths(method: Any) -> Any:
    """A method's settings, and those of its parts, with full paths of the files it reads."""
    found: dict[str, Any] = {}
    for item in fields(method):
        value = getattr(method, item.name)
        if is_dataclass(value):
            found[item.name] = _with_full_paths(value)
        elif item.name in METHOD_FILES and value not in (None, *BUNDLED):
            found[item.name] = [*map(_full, value)] if isinstance(value, list) else _full(value)
        elif item.name in METHOD_COMMANDS and value is not None:
            found[item.name] = with_files(value, _full)
    return replace(method, **found)


def _full(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
