"""Which pages are studied: the paper's and Milestone 1's, with their blocks and keep ratios."""

from __future__ import annotations

from pathlib import Path

from freqexp.benchmarks.convbench import load_convbench, render_conversation
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
