"""Letters that join and run from right to left, as libraqm shapes them."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from freqexp.nouns.page import Page, Pixels
from freqexp.pages.glyph import GlyphRenderer, default_font_path

pytestmark = pytest.mark.skipif(not features.check("raqm"), reason="no libraqm in Pillow")

EVERY = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "LastResortHE-Regular.ttf")
ARABIC = "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645"
HEBREW = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
SIZE = 24


def renderer(shapes: bool = True, width: int = 700, height: int = 400) -> GlyphRenderer:
    return GlyphRenderer(
        width=width,
        height=height,
        font_pt=SIZE,
        line_height_pt=2 * SIZE,
        crop=False,
        shapes=shapes,
    )


def drawn(text: str, shapes: bool = True) -> Page:
    (page,) = renderer(shapes).render_text(text)
    return page


def by_pillow(text: str) -> Pixels:
    """A line as Pillow and libraqm draw it by themselves, as a whole."""
    font = ImageFont.truetype(
        str(default_font_path()), SIZE * 8, layout_engine=ImageFont.Layout.RAQM
    )
    image = Image.new("L", (700 * 8, 48 * 8), 255)
    ImageDraw.Draw(image).text((10 * 8, 300), text, fill=0, font=font, anchor="ls")
    small = np.asarray(image.reduce(8))
    return trimmed(small)


def trimmed(pixels: Pixels) -> Pixels:
    rows, columns = np.nonzero(pixels < 128)
    return pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def likeness(one: Pixels, other: Pixels) -> float:
    """Correlation of two pictures, cut to the size that both have."""
    height, width = np.minimum(one.shape, other.shape)
    pair = [picture[:height, :width].astype(float).ravel() for picture in (one, other)]
    return float(np.corrcoef(*pair)[0, 1])


@pytest.mark.parametrize(
    "text",
    [
        "plain words of Latin",
        ARABIC,
        HEBREW,
        f"say {ARABIC} aloud",
        f"{HEBREW} 1990 (abc), 50 %",
        f"in {HEBREW} 12 {ARABIC}.",
    ],
)
def test_a_line_is_what_libraqm_draws_of_it(text: str) -> None:
    shaped, whole = trimmed(drawn(text).pixels), by_pillow(text)
    assert np.abs(np.subtract(shaped.shape, whole.shape)).max() <= 4
    assert likeness(shaped, whole) > 0.8


@pytest.mark.parametrize("text", [ARABIC, HEBREW])
def test_letters_by_themselves_are_another_picture(text: str) -> None:
    assert likeness(trimmed(drawn(text, shapes=False).pixels), by_pillow(text)) < 0.5


def test_nothing_that_is_shaped_is_missing() -> None:
    text = f"{ARABIC} {HEBREW}"
    assert drawn(text, shapes=False).missing == text.replace(" ", "")
    page = drawn(text)
    assert page.missing == ""
    assert page.text == text


def test_what_the_font_lacks_is_marked_and_missing() -> None:
    page = drawn(f"{HEBREW} \u6f22")
    assert page.missing == "\u6f22"
    assert page.text == f"{HEBREW} \ufffd"


def test_letters_with_their_signs_come_from_one_font() -> None:
    """DejaVu Sans has neither the vowel nor the letter that it belongs to."""
    renders = GlyphRenderer(font_pt=SIZE, line_height_pt=30, fallback=[EVERY], shapes=True)
    (page,) = renders.render_text("\u0939\u093f\u0928\u094d\u0926\u0940")
    assert page.missing == ""
    assert "\ufffd" not in page.text


def test_all_text_is_on_the_lines_in_order_and_within_the_margins() -> None:
    text = f"{ARABIC} and {HEBREW}, " * 12
    (page,) = renderer(width=300, height=1400).render_text(text)
    assert page.text.split() == text.split()
    assert len(page.lines) > 8
    columns = np.flatnonzero((page.pixels < 250).any(axis=0))
    assert columns.min() >= 8
    assert columns.max() <= 292


def test_a_word_wider_than_a_line_breaks_between_letters_and_not_before_their_signs() -> None:
    word = "\u05d1\u05b0" * 60
    (page,) = renderer(width=200, height=2000).render_text(word)
    lines = page.text.split("\n")
    assert len(lines) > 2
    assert "".join(lines) == word
    assert all(line[0] == "\u05d1" for line in lines)


def test_lines_break_and_spaces_vanish_as_without_shaping() -> None:
    text = "one  two\n\n  three " + "i" * 3 + " four"
    shaped, plain = (renderer(shapes).render_text(text)[0].text for shapes in (True, False))
    assert shaped == plain


def test_joiners_act_and_direction_marks_do() -> None:
    joined, apart = drawn("\u0628\u0628"), drawn("\u0628\u200c\u0628")
    assert joined.pixels.tobytes() != apart.pixels.tobytes()
    left, right = drawn("\u05d0!b"), drawn("\u05d0!\u200fb")
    assert left.pixels.tobytes() == right.pixels.tobytes()
    assert drawn("a\u200f!\u05d0").pixels.tobytes() != drawn("a!\u05d0").pixels.tobytes()
    assert apart.missing == ""


def test_brackets_are_mirrored() -> None:
    one, other = trimmed(drawn("\u05d0(").pixels), trimmed(drawn("\u05d0)").pixels)
    assert likeness(one, other) < 0.95
    assert likeness(trimmed(drawn("(").pixels), by_pillow("(")) > 0.8


def test_an_empty_text_is_an_empty_page() -> None:
    page = drawn("")
    assert page.text == ""
    assert (page.pixels == 255).all()
