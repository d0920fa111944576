"""What a font lacks is drawn by the first of the others that has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import features
from run_fakes import Counting

from freqexp.nouns.page import Page, Pixels
from freqexp.nouns.sample import Sample, Turn
from freqexp.schemas.choices import Layout, Missing
from freqexp.schemas.render import CellsRender, GlyphRender, RenderConfig

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SANS, SERIF, STIX, EVERY = (
    str(FONTS / name)
    for name in ("DejaVuSans.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf", "LastResortHE-Regular.ttf")
)
# Neither main font has the first; STIX has it, and the second only the font of last resort.
PHONETIC, CHINESE = "\u1d81", "\u6f22"
RENDERS: dict[str, RenderConfig] = {"cells": CellsRender(), "glyph": GlyphRender()}
if features.check("raqm"):
    RENDERS["raqm"] = GlyphRender(layout=Layout.raqm)
ALL = pytest.mark.parametrize("render", RENDERS.values(), ids=RENDERS)


def page(render: RenderConfig, text: str, *fallback: str) -> Page:
    (only,) = replace(render, fallback=list(fallback)).build().render([Turn(text, "yes")])
    return only


def cell(pixels: Pixels, column: int) -> Pixels:
    return pixels[:28, 14 * column : 14 * (column + 1)]


@ALL
def test_a_character_of_another_font_is_drawn_and_not_missing(render: RenderConfig) -> None:
    marked, drawn = page(render, f"a{PHONETIC}b"), page(render, f"a{PHONETIC}b", STIX)
    assert (marked.missing, drawn.missing) == (PHONETIC, "")
    assert PHONETIC in drawn.text
    assert "\ufffd" in marked.text
    assert drawn.pixels.tobytes() != marked.pixels.tobytes()


@ALL
def test_what_no_font_has_stays_missing(render: RenderConfig) -> None:
    text = f"{CHINESE} {PHONETIC} {CHINESE}"
    assert page(render, text, STIX).missing == CHINESE * 2
    assert page(render, text, STIX).text.count("\ufffd") == 2
    assert page(render, text, STIX, EVERY).missing == ""


@ALL
def test_what_the_main_font_has_looks_the_same(render: RenderConfig) -> None:
    text = "plain text, \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac, 100 %"
    alone, beside = page(render, text), page(render, text, EVERY)
    assert np.array_equal(alone.pixels, beside.pixels)
    assert alone.text == beside.text


@ALL
def test_the_first_font_that_has_it_draws_it(render: RenderConfig) -> None:
    stix_first, every_first = (
        page(render, PHONETIC, STIX, EVERY),
        page(render, PHONETIC, EVERY, STIX),
    )
    assert np.array_equal(stix_first.pixels, page(render, PHONETIC, STIX).pixels)
    assert np.array_equal(every_first.pixels, page(render, PHONETIC, EVERY).pixels)
    assert stix_first.pixels.tobytes() != every_first.pixels.tobytes()


def test_a_wide_character_is_made_to_fit_its_cell() -> None:
    drawn = page(CellsRender(), f"a{CHINESE}b", EVERY).pixels
    plain = page(CellsRender(), "a b").pixels
    changed = np.flatnonzero((drawn != plain).any(axis=0))
    assert changed.min() >= 14 * 3
    assert changed.max() < 14 * 4
    ink = np.flatnonzero((cell(drawn, 3) < 200).any(axis=0))
    # Not cut off: both sides of its frame are there, as far from one edge as from the other.
    assert abs(ink.min() - (13 - ink.max())) <= 1
    assert len(ink) > 8


def test_the_same_character_is_larger_in_a_larger_cell() -> None:
    small = CellsRender(columns=12, rows=4, cell_width=9, cell_height=18, font_px=15)
    large = replace(small, cell_width=18, cell_height=36, font_px=30)
    heights = []
    for render in (small, large):
        column = slice(2 * render.cell_width, 3 * render.cell_width)
        tile = page(render, CHINESE, EVERY).pixels[: render.cell_height, column]
        heights.append(np.ptp(np.flatnonzero((tile < 200).any(axis=1))))
    assert heights[1] > 1.5 * heights[0]


def test_a_line_with_another_font_still_ends_at_the_margin() -> None:
    wide = page(GlyphRender(width=200, height=400, crop=False), f"{CHINESE} " * 60, EVERY)
    ink = np.flatnonzero((wide.pixels < 250).any(axis=0))
    assert 150 < ink.max() < 192
    assert wide.text.count(CHINESE) == 60


@ALL
def test_a_strict_sample_passes_where_another_font_helps(
    render: RenderConfig, counting: Counting
) -> None:
    strict = replace(render, missing=Missing.error, fallback=[STIX])
    sample = Sample("s", 2, "", (Turn(PHONETIC, "no"),), "q", "a", "p")
    assert counting.session().render(strict, sample)[0].sizes.missing_characters == 0
