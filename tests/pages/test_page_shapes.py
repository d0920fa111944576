"""Pages are of a shape that every image processor takes, however little is on them."""

from __future__ import annotations

import numpy as np
import pytest

from freqexp.nouns.page import LONGEST
from freqexp.nouns.sample import Turn
from freqexp.pages.glyph import GlyphRenderer


def shapes(text: str, **settings: float | bool) -> list[tuple[int, ...]]:
    pages = GlyphRenderer(**settings).render_text(text)  # type: ignore[arg-type]
    return [page.pixels.shape for page in pages]


def within(shape: tuple[int, ...]) -> bool:
    return max(shape) <= LONGEST * min(shape)


def test_a_column_of_thin_letters_is_not_cut_too_narrow() -> None:
    (shape,) = shapes("l\n" * 380, width=400, height=3000, margin_x=0, margin_y=0, line_height_pt=7)
    assert shape == (2660, 14)
    assert within(shape)


def test_a_single_long_line_is_not_cut_too_low() -> None:
    text = "-" * 800
    (shape,) = shapes(text, width=3000, height=100, margin_x=0, margin_y=0, font_pt=9)
    assert shape[1] > 2500
    assert within(shape)


def test_what_is_not_cut_away_is_white() -> None:
    settings = {"width": 400, "height": 3000, "margin_x": 0, "margin_y": 0, "line_height_pt": 7}
    (page,) = GlyphRenderer(**settings).render_text("l\n" * 380)  # type: ignore[arg-type]
    columns = np.flatnonzero((page.pixels < 250).any(axis=0))
    assert columns.max() < 5
    assert (page.pixels[:, 5:] == 255).all()


@pytest.mark.parametrize("font_pt", [1, 2, 9, 40])
@pytest.mark.parametrize("margin", [0, 10])
@pytest.mark.parametrize("turn", [Turn("", ""), Turn("a", "b"), Turn("l " * 900, "")])
def test_every_page_is_within_the_limit(font_pt: int, margin: int, turn: Turn) -> None:
    renderer = GlyphRenderer(
        margin_x=margin, margin_y=margin, font_pt=font_pt, line_height_pt=font_pt
    )
    assert all(within(page.pixels.shape) for page in renderer.render([turn, turn]))


def test_a_page_of_short_turns_is_cut_as_ever() -> None:
    assert shapes("User: a\nAssistant: b") == [(39, 73)]
    assert shapes("l") == [(28, 22)]
