"""`python -m freqexp.figures`: what the block DCT does to pages, to their spectrum and to reading.

The paper's Figures 2 and 3 (block 14; 80 and 50 % of the coefficients) on pages as Glyph takes
them, and Milestone 1's (block 16; 95, 80 and 50 %) on ConvBench conversations, or on generated ones
where ConvBench.xlsx is not at hand. The codec is the published one: a threshold, no bitstream.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from freqexp.benchmarks.convbench import load_convbench, render_conversation
from freqexp.errors import DONE, UserError, exit_code, fault
from freqexp.figures.study import Study, draw_study
from freqexp.report.drawing import Drawn

CONVERSATIONS = 4


def paper_study(conversations: int = CONVERSATIONS) -> Study:
    """The paper's Figures 2 and 3: generated conversations as Glyph's pages."""
    from freqexp.benchmarks.generate import generate
    from freqexp.schemas.render import GlyphRender

    renderer = GlyphRender().build()
    samples = generate(count=2, samples=conversations, seed=0, form="long", target_chars=8000)
    pages = [page for sample in samples for page in renderer.render(sample.turns)]
    title = f"{len(pages)} pages of generated conversations, Glyph's page"
    return Study("paper", title, tuple(pages), 14, (0.8, 0.5))


def milestone_study(xlsx: str | None, conversations: int = CONVERSATIONS) -> Study:
    """Milestone 1's figures. Raises UserError for an `xlsx` that can't be used."""
    from freqexp.benchmarks.generate import generate

    if xlsx is not None:
        found = load_convbench(xlsx, conversations)
        turns, source = [c.turns for c in found], "ConvBench"
    else:
        samples = generate(count=2, samples=conversations, seed=0, form="long", target_chars=3000)
        turns, source = [sample.turns[:3] for sample in samples], "generated"
    pages = tuple(render_conversation(each) for each in turns)
    title = f"{len(pages)} {source} conversations, Milestone 1's page"
    return Study("milestone1", title, pages, 16, (0.95, 0.8, 0.5))


def draw_paper(folder: Path, conversations: int = CONVERSATIONS) -> list[Drawn]:
    """The paper's figures. Raises UserError when they cannot be written."""
    return draw_study(paper_study(conversations), folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0 done, 2 bad input."""
    options = _parser().parse_intermixed_args(arguments)
    return exit_code(lambda: _command(options), "freqexp.figures")


def _command(options: argparse.Namespace) -> int:
    if options.conversations < 1:
        raise UserError(fault("--conversations", options.conversations, "1 or more"))
    folder = Path(options.out)
    milestone = milestone_study(options.xlsx, options.conversations)
    drawn = draw_paper(folder, options.conversations) + draw_study(milestone, folder)
    from freqexp.figures.recall import draw_recall

    drawn += draw_recall(
        milestone, folder, options.reader, options.overrides, options.conversations
    )
    for figure in drawn:
        print(f"{folder / figure.name}.png: {figure.caption}")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freqexp.figures",
        description="Pages, spectra, residuals and word recall of the block DCT.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of --reader's model")
    parser.add_argument("--xlsx", help="ConvBench.xlsx (default: generated conversations)")
    parser.add_argument("--out", default="outputs/figures", help="folder to write")
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS, help="how many")
    parser.add_argument(
        "--reader",
        default="auto",
        help="who reads the pages: tesseract, tiny (its own pages), a model of conf/model, none; "
        "auto: tesseract where it is installed, else tiny (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
