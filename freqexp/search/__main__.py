"""`python -m freqexp.search`: the smallest budget that is non-inferior to no compression.

    python -m freqexp.search compressor=token --margin 0.02 --samples 32,64,128,256

Everything that is no option of this command goes to `freqexp.run`, which composes and checks the
run whose budget is looked for. Exit codes: 0 searched, 1 a run failed, 2 bad input, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from freqexp.errors import DONE, FAILED, exit_code
from freqexp.results.stats import MARGIN
from freqexp.search.plan import HIGH, LOW, RESOLUTION, SAMPLES, Wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    options, others = _parser().parse_known_args(typed)
    return exit_code(
        lambda: _command(options, others, typed),
        "freqexp.search",
        "the same command continues where it stopped",
    )


def _command(options: argparse.Namespace, others: Sequence[str], typed: Sequence[str]) -> int:
    from freqexp.running.sweep import PointsError
    from freqexp.search.asked import searched

    wanted = Wanted(
        budget=options.budget,
        margin=options.margin,
        low=options.low,
        high=options.high,
        resolution=options.resolution,
        samples=options.samples,
    )
    try:
        searched(wanted, others, typed)
    except PointsError as error:
        print(f"freqexp.search: a run failed:\n{error}", file=sys.stderr)
        return FAILED
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freqexp.search",
        usage="%(prog)s [options] [key=value ...]",
        description="The smallest keep_ratio that is non-inferior to no compression within a "
        "margin: bisection over runs that grow until they have answered. key=value and other "
        "options are those of freqexp.run.",
        epilog="exit code: 0 searched, 1 a run failed, 2 bad input",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--budget",
        choices=("keep_ratio", "keep_tokens"),
        default="keep_ratio",
        help="what is searched (default: %(default)s)",
    )
    parser.add_argument(
        "--margin", type=float, default=MARGIN, help="non-inferiority margin (default: %(default)s)"
    )
    parser.add_argument("--low", type=float, help=f"smallest value (keep_ratio: {LOW:g})")
    parser.add_argument("--high", type=float, help=f"largest value (keep_ratio: {HIGH:g})")
    parser.add_argument(
        "--resolution", type=float, help=f"from one value to the next (keep_ratio: {RESOLUTION:g})"
    )
    parser.add_argument(
        "--samples",
        default=",".join(map(str, SAMPLES)),
        help="how many samples a probe has at each look at it (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
