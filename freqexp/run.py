"""`python -m freqexp.run`: compose, check, run. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from freqexp.errors import DONE, FAILED, UserError, exit_code

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.composing.compose import Asked, Point
    from freqexp.results.summary import Summary


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


if __name__ == "__main__":
    sys.exit(main())
