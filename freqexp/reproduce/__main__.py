"""`python -m freqexp.reproduce`: run a result again and compare it, cell by cell.

TARGET is a saved config.yaml, a run (folder or id), a sweep, or an experiment of `conf/experiment`,
whose published numbers stand in `conf/published`. Exit codes: 0 reproduced, 1 something differs,
2 bad input, 3 something could not be compared, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from freqexp.errors import exit_code
from freqexp.paths import OUTPUT_DIR, with_output_dir
from freqexp.reproduce.again import reproduce


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    typed = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_intermixed_args(with_output_dir(typed))
    return exit_code(lambda: _command(options), "freqexp.reproduce", "the same command continues")


def _command(options: argparse.Namespace) -> int:
    from freqexp.published.text import terminal, write

    outcome, folder = reproduce(
        options.target, options.overrides, options.outputs, options.config_dir
    )
    print(f"\n{terminal(outcome)}\n{write(outcome, folder)}")
    return int(outcome.verdict.value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freqexp.reproduce",
        description="Run a saved result or a published table again and compare it cell by cell.",
        epilog="exit code: 0 reproduced, 1 differs, 2 bad input, 3 not (all) comparable",
    )
    parser.add_argument(
        "target", help="config.yaml, run folder or id, sweep, or experiment such as paper_table1"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for freqexp.run")
    parser.add_argument(
        *OUTPUT_DIR,
        default="outputs",
        dest="outputs",
        help="where names are looked up and results are written",
    )
    parser.add_argument(
        "--config-dir", help="a folder of yours with options, and methods that the runs used"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
