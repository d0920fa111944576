"""`python -m freqexp.conform NAME`: whether a method or a reader keeps what it promises.

    python -m freqexp.conform NAME [--config-dir DIR] [key=value ...]

NAME is an option of `compressor`: of this package, of an installed one, or of a file
`DIR/compressor/NAME.py`; or a reader of an installed package. Of a method every combination of its
switches that its schema allows is built and tried; key=value, as for freqexp.run, fixes other
settings. Exit codes: 0 all holds, 1 something does not, 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.errors import DONE, FAILED, ConfigError, UserError, exit_code, fault

if TYPE_CHECKING:
    from freqexp.conform.checks import Result

ALONE = "a method that acts at one stage: on pages, on tokens, in the decoder or on the cache"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    return exit_code(lambda: _command(options), "freqexp.conform")


def _command(options: argparse.Namespace) -> int:
    from freqexp.conform.cases import cases_of
    from freqexp.conform.checks import pairs, tried
    from freqexp.outside.offered import READER

    overrides = _overrides(options)
    if options.name in READER.names():
        return _told(options.name, "reader", _of_reader(options.name, overrides))
    cases = cases_of(options.name, overrides)
    stage = cases[0].config.stage
    if stage in ("none", "combined"):
        raise UserError(fault("NAME", options.name, ALONE))
    return _told(options.name, stage, (tried(case, check) for case, check in pairs(cases)))


def _of_reader(name: str, overrides: Sequence[str]) -> Iterator[Result]:
    from freqexp.composing.compose import compose
    from freqexp.conform.checks import tried
    from freqexp.conform.reader_checks import CHECKS, reader_case
    from freqexp.schemas.outside_model import OutsideModelConfig

    config = compose(["model=outside", f"model.source={name}", *overrides]).model
    assert isinstance(config, OutsideModelConfig)
    case = reader_case(config)
    return (tried(case, check) for check in CHECKS)


def _told(name: str, what: str, results: Iterable[Result]) -> int:
    """Prints what became of the checks. Gives the exit code."""
    counts: dict[str, list[int]] = {}
    skipped: dict[str, str] = {}
    names = set[str]()
    for result in results:
        names.add(result.case)
        count = counts.setdefault(result.check, [0, 0])
        if result.skipped:
            skipped[result.check] = result.skipped
            continue
        count[0] += 1
        if result.fault:
            count[1] += 1
            print(f"FAILED {result.case}: {result.check}\n       {result.fault}", flush=True)
    for words, (made, wrong) in counts.items():
        said = f"not checked, {skipped[words]}" if words in skipped else f"{made - wrong} of {made}"
        print(f"{words:<56}{said}")
    made, failed = (sum(count[place] for count in counts.values()) for place in (0, 1))
    print(f"{name} ({what}): {len(names)} cases, {made} checks, {failed} failed")
    return FAILED if failed else DONE


def _overrides(options: argparse.Namespace) -> list[str]:
    """As `freqexp.run` takes them. Raises ConfigError for what is none, and no folder."""
    wrong = [text for text in options.overrides if "=" not in text]
    faults = [fault("override", text, "key=value") for text in wrong]
    folder = options.config_dir
    if folder is not None and not folder.is_dir():
        faults.append(fault("--config-dir", str(folder), "a folder"))
    if faults:
        raise ConfigError(faults)
    searched = [] if folder is None else [f"hydra.searchpath=['file://{folder.resolve()}']"]
    return [*searched, *options.overrides]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freqexp.conform",
        description="Check that a compression method, or a reader, keeps what it promises.",
        epilog="exit code: 0 all holds, 1 something does not, 2 bad input",
    )
    parser.add_argument("name", metavar="NAME", help="an option of compressor, or a reader")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for freqexp.run")
    parser.add_argument("--config-dir", type=Path, help="a folder with compressor/NAME.py")
    return parser


if __name__ == "__main__":
    sys.exit(main())
