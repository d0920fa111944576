"""`python -m freqexp.report`: tables, figures and one HTML page from the files of runs."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from freqexp.errors import DONE, UserError, exit_code, fault
from freqexp.paths import OUTPUT_DIR, with_output_dir
from freqexp.report.pages import IMAGES, SECONDS, Limits
from freqexp.results.stats import MARGIN

RUNS = "runs"
"""The folder of an output folder that runs lie in."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0 done, 2 bad input."""
    typed = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(with_output_dir(typed))
    return exit_code(lambda: report(options), "freqexp.report")


def report(options: argparse.Namespace) -> int:
    """Load, compare, print, write. Raises UserError for what the user can mend."""
    from freqexp.comparing.compare import compare
    from freqexp.comparing.load import load
    from freqexp.report import published
    from freqexp.report.build import HTML, write_report
    from freqexp.report.tables import terminal

    if not 0 < options.margin < 1:
        raise UserError(fault("--margin", options.margin, "a number above 0 and below 1"))
    if options.images is not None and options.images < 0:
        raise UserError(fault("--images", options.images, "0 or more"))
    loaded = load(options.runs, options.outputs)
    comparison = compare(loaded, options.baseline, options.margin)
    print(terminal(comparison))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", loaded.name).strip("-.") or "report"
    beside = output_folder([run.folder for run in loaded.runs]) or Path(options.outputs)
    folder = Path(options.out) if options.out else beside / "reports" / name
    # Who asks for a number of images waits for them.
    limits = Limits() if options.images is None else Limits(options.images, seconds=math.inf)
    written = write_report(comparison, folder, limits)
    for note in written.notes:
        print(f"* {note}")
    if written.published:
        print(published.terminal(written.published))
    names = ", ".join((*written.files, f"{len(written.figures)} figures (PNG, SVG)"))
    print(f"\n{written.folder}: {names}\nopen {written.folder / HTML}")
    if options.wandb != "off":
        from freqexp.report.mirror import attach

        print(attach(comparison, written, options.wandb))
    return DONE


def output_folder(runs: Sequence[Path]) -> Path | None:
    """The one output folder that all these runs lie in, where it can be written; None: there is
    none.
    """
    found = {run.parent.parent for run in runs if run.parent.name == RUNS}
    if len(found) != 1 or any(run.parent.name != RUNS for run in runs):
        return None
    (folder,) = found
    return folder if os.access(folder, os.W_OK) else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freqexp.report",
        description="Tables, figures, statistics and one HTML page from the files of runs.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUNS or SWEEP",
        help="output folder, sweep or run, by folder or name; default: all of --output-dir",
    )
    parser.add_argument(
        *OUTPUT_DIR, default="outputs", dest="outputs", help="where names are looked up"
    )
    parser.add_argument(
        "--out",
        help="folder to write (default: reports/<name> in the output folder that the runs lie in)",
    )
    parser.add_argument("--baseline", help="run id to compare all runs with")
    parser.add_argument(
        "--margin", type=float, default=MARGIN, help="non-inferiority margin (default: %(default)s)"
    )
    parser.add_argument(
        "--images",
        type=int,
        help=f"most page images in the HTML page, however long they take to draw (default: "
        f"{IMAGES}, as far as they are drawn within {SECONDS:g} s; 0: none)",
    )
    parser.add_argument(
        "--wandb",
        nargs="?",
        const="auto",
        default="off",
        choices=("auto", "online", "offline", "off"),
        help="attach table and figures to the sweep's group in W&B (default: off)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
