"""`python -m freqexp.run`: compose, check, run. Nothing heavy is imported before it is needed.

The module can be called, as `freqexp.run([...])`: see `compute`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import TYPE_CHECKING

from freqexp.errors import DONE, FAILED, ConfigError, UserError, exit_code, fault

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.composing.compose import Asked, Point
    from freqexp.config.run import RunConfig
    from freqexp.results.summary import Summary
    from freqexp.running.results import Results


def main() -> int:
    """The command. Returns its exit code: 0 done, 1 a run failed, 2 bad input, 130 Ctrl-C."""
    return exit_code(_command, again="the same command continues where it stopped")


def _command() -> int:
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        return show_help()
    if "--version" in arguments:
        return show_version()
    from freqexp.composing.compose import ask

    return answer(ask(arguments))


def answer(asked: Asked) -> int:
    """Compute what a command asks for; nothing where a flag only asked to show something."""
    if not asked.points:
        return DONE
    with nullcontext() if asked.events is None else asked.events.command():
        return run(asked.points, asked)


def run(points: Sequence[Point], asked: Asked | None = None) -> int:
    """Compute checked points. asked: the command that they are of."""
    if any(point.config.cluster.executor.value != "local" for point in points):
        # Found beside the package in a checkout (`prepare`), as a package of its own in a wheel.
        from freqexp_cluster.submit import launch

        return launch(points, asked)
    if points[0].config.cluster.dry_run:
        raise UserError("cluster.dry_run: cluster=local submits nothing; cluster=workers or slurm")
    from freqexp.running.sweep import PointsError

    try:
        run_here(points, asked)
    except PointsError as error:
        done = f"{len(error.summaries)} of the runs are complete, these failed:"
        print(f"freqexp: {done}\n{error}", file=sys.stderr)
        return FAILED
    return DONE


def run_here(
    points: Sequence[Point], asked: Asked | None = None, session: Session | None = None
) -> list[Summary]:
    """Compute checked points in this process. Gives the summaries, baselines included.

    Raises what `freqexp.running.sweep.run_points` raises.
    """
    from freqexp.running.sweep import run_points
    from freqexp.tracking.mirror import Mirrors

    events = None if asked is None else asked.events
    return run_points(
        [point.config for point in points],
        Mirrors(),
        [point.overrides for point in points],
        arguments=() if asked is None else asked.arguments,
        session=session,
        watcher=events if events is not None and events.acts else None,
    )


def compute(
    what: str | RunConfig | Iterable[str | RunConfig] = (), *, session: Session | None = None
) -> Results:
    """Compute runs and their baselines as the command does, and give what came of them.

    what: overrides, values with commas being a sweep (`["compressor=none,token", "samples=8"]`),
    with flags such as `--config-dir` where they are needed; or runs that `compose` gave, changed
    with `dataclasses.replace` or not. session: keeps the loaded model for the calls that follow.

    With `cluster=slurm` it returns when all is submitted; the ids of what has not ended are in
    `pending`. Raises ConfigError before any work, and PointsError, which holds the summaries of the
    others, when a run failed.
    """
    from freqexp.answering.session import Session
    from freqexp.running.results import results_of

    session = Session() if session is None else session
    asked = _asked([what] if not isinstance(what, Iterable) or isinstance(what, str) else [*what])
    configs = [point.config for point in asked.points]
    if not configs:
        return results_of([], session)
    summaries = None
    with nullcontext() if asked.events is None else asked.events.command():
        if all(cfg.cluster.executor.value == "local" for cfg in configs):
            summaries = run_here(asked.points, asked, session)
        else:
            run(asked.points, asked)
    return results_of(configs, session, summaries)


def _asked(what: Sequence[str | RunConfig]) -> Asked:
    """The points of overrides or of composed runs. Raises ConfigError."""
    from freqexp.composing.compose import Asked, ask, points_of
    from freqexp.composing.explain import merge_faults
    from freqexp.config.check import check
    from freqexp.config.run import RunConfig

    words = [text for text in what if isinstance(text, str)]
    configs = [cfg for cfg in what if isinstance(cfg, RunConfig)]
    if len(words) == len(what):
        return ask(words if "-m" in words or "--multirun" in words else ["-m", *words])
    if len(configs) < len(what):
        other = next(value for value in what if not isinstance(value, RunConfig))
        raise ConfigError([fault("run", other, "overrides alone, or composed runs alone")])
    faults = merge_faults([((f"run {n}",), check(cfg)) for n, cfg in enumerate(configs, start=1)])
    if faults:
        raise ConfigError(faults)
    return Asked([point for cfg in configs for point in points_of(cfg)])


def show_help() -> int:
    """Print what can be asked for."""
    from freqexp.composing.help import help_text
    from freqexp.paths import conf_dir

    print(help_text(conf_dir()))
    return DONE


def show_version() -> int:
    """Print the version."""
    from freqexp import __version__

    print(f"freqexp {__version__}")
    return DONE


class _Callable(ModuleType):
    """`freqexp.run` is this module, however it was imported, and what it does when called."""

    def __call__(
        self,
        what: str | RunConfig | Iterable[str | RunConfig] = (),
        *,
        session: Session | None = None,
    ) -> Results:
        return compute(what, session=session)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())
