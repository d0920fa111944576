"""Pages with Glyph's settings."""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from freqexp.benchmarks.generate import generate
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.render import Renderer
from freqexp.nouns.sample import Turn
from freqexp.pages.glyph import GlyphRenderer, default_font_path, font_hash

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
TURNS = generate(2, 1, 0, "long", target_chars=30_000)[0].turns


def ink_box(pixels: Pixels) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is darker than 250; right and bottom exclusive."""
    rows, columns = np.nonzero(pixels < 250)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_every_word_is_on_the_pages_in_order() -> None:
    pages = GlyphRenderer().render(TURNS)
    assert len(pages) > 4
    drawn = [word for page in pages for word in page.text.split()]
    said = [
        word for turn in TURNS for word in f"User: {turn.user} Assistant: {turn.assistant}".split()
    ]
    assert drawn == said


def test_every_line_of_text_is_ink_on_its_page() -> None:
    for page in GlyphRenderer(crop=False).render(TURNS):
        for number, line in enumerate(page.text.split("\n")):
            band = page.pixels[10 + 10 * number : 20 + 10 * number]
            assert (band.min() < 128) == bool(line.strip())


@pytest.mark.parametrize("settings", [{}, {"crop": False}, {"dpi": 96, "margin_y": 0}])
def test_the_lines_are_where_their_ink_is(settings: dict[str, int]) -> None:
    for page in GlyphRenderer(**settings).render(TURNS[:3]):  # type: ignore[arg-type]
        text = page.text.split("\n")
        assert len(page.lines) == len(text)
        assert page.lines[-1][1] <= page.pixels.shape[0]
        for (top, bottom), line in zip(page.lines, text, strict=True):
            band = page.pixels[round(top) : round(bottom)]
            assert (band.size > 0 and band.min() < 128) == bool(line.strip())


def test_geometry_of_the_default() -> None:
    renderer = GlyphRenderer(crop=False)
    pages = renderer.render(TURNS)
    assert all(page.pixels.shape == (842, 595) for page in pages)
    assert all(page.pixels.dtype == np.uint8 for page in pages)
    assert all(page.text.count("\n") == 81 for page in pages[:-1])
    assert renderer.lines_per_page == 82
    left, top, right, bottom = ink_box(pages[0].pixels)
    assert 10 <= left <= 12
    assert 9 <= top <= 13
    assert 560 < right <= 586
    assert 820 < bottom <= 834
    assert pages[0].pixels.min() < 30
    assert pages[0].pixels.max() == 255


@pytest.mark.parametrize(
    ("dpi", "shape"), [(72, (842, 595)), (96, (1123, 793)), (120, (1403, 992))]
)
def test_dpi_scales_the_page_and_keeps_the_lines(dpi: int, shape: tuple[int, int]) -> None:
    page = GlyphRenderer(dpi=dpi, crop=False).render(TURNS)[0]
    assert page.pixels.shape == shape
    left, _, right, _ = ink_box(page.pixels)
    assert left == pytest.approx(10 * dpi / 72, abs=1.5)
    assert right <= 586 * dpi / 72


def test_crop_keeps_the_margins() -> None:
    plain = GlyphRenderer(crop=False).render([Turn("a short one", "indeed")])[0].pixels
    cropped = GlyphRenderer().render([Turn("a short one", "indeed")])[0].pixels
    _, _, right, bottom = ink_box(plain)
    assert cropped.shape == (bottom + 10, right + 10)
    np.testing.assert_array_equal(cropped, plain[: bottom + 10, : right + 10])


def test_only_the_last_page_is_cropped_in_height() -> None:
    *full, last = GlyphRenderer().render(TURNS)
    assert all(page.pixels.shape[0] == 842 for page in full)
    assert last.pixels.shape[0] < 842
    assert all(page.pixels.shape[1] <= 595 for page in full)


def test_the_same_to_the_pixel() -> None:
    first, second = GlyphRenderer(), GlyphRenderer()
    second.render([Turn("something else first", "so that the caches differ")])
    for one, two in zip(first.render(TURNS), second.render(TURNS), strict=True):
        assert one.text == two.text
        np.testing.assert_array_equal(one.pixels, two.pixels)


def test_letters_look_as_an_independent_drawing_does() -> None:
    """Against the same line drawn 16 times as large in one go and averaged down."""
    text = "User: The tapirs walk home, quickly & jumping 0123"
    zoom = 16
    font = ImageFont.truetype(
        str(FONTS / "DejaVuSans.ttf"), 9 * zoom, layout_engine=ImageFont.Layout.BASIC
    )
    page = GlyphRenderer(crop=False).render_text(text)[0].pixels[:30, :300].astype(float)
    errors = []
    for baseline in range(14, 24):
        large = Image.new("L", (300 * zoom, 30 * zoom), 255)
        draw = ImageDraw.Draw(large)
        draw.text((10 * zoom, baseline * zoom), text, fill=0, font=font, anchor="ls")
        reference = np.asarray(large, dtype=float).reshape(30, zoom, 300, zoom).mean(axis=(1, 3))
        errors.append(np.abs(page - reference).mean())
    # One baseline fits; the others show what a wrong drawing would measure.
    assert min(errors) < 2
    assert np.median(errors) > 5


def test_characters_the_font_lacks_show_as_replacement() -> None:
    (page,) = GlyphRenderer().render_text("caf\u00e9 \u4e2d\u6587 \u2192")
    assert page.text == "caf\u00e9 \ufffd\ufffd \u2192"
    shown = GlyphRenderer().render_text("caf\u00e9 \ufffd\ufffd \u2192")[0]
    np.testing.assert_array_equal(page.pixels, shown.pixels)


def test_a_font_without_the_replacement_shows_question_marks() -> None:
    font = str(FONTS / "cmr10.ttf")
    assert GlyphRenderer(font_path=font).render_text("ok \u4e2d")[0].text == "ok ?"


def test_ink_beyond_the_page_is_cut_off() -> None:
    renderer = GlyphRenderer(
        40, 30, margin_x=0, margin_y=0, font_pt=20, line_height_pt=9, crop=False
    )
    pages = renderer.render_text("\u0301ggg Wjy\nWWW \ufdfd")
    assert all(page.pixels.shape == (30, 40) for page in pages)
    assert all(page.pixels.min() == 0 for page in pages)


def test_no_turns_no_pages_and_empty_text_an_empty_page() -> None:
    assert GlyphRenderer().render([]) == []
    (page,) = GlyphRenderer().render_text("")
    assert page.pixels.shape == (842, 595)
    assert page.pixels.min() == 255


def test_other_font_other_page() -> None:
    serif = GlyphRenderer(font_path=str(FONTS / "DejaVuSerif.ttf")).render(TURNS[:1])[0]
    sans = GlyphRenderer().render(TURNS[:1])[0]
    assert serif.text.split() == sans.text.split()
    assert not np.array_equal(serif.pixels, sans.pixels)
    assert isinstance(GlyphRenderer(), Renderer)


@pytest.mark.parametrize("name", ["missing.ttf", "text.ttf", "."])
def test_unusable_font_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.ttf").write_text("not a font", encoding="utf-8")
    with pytest.raises(UserError, match=r"font_path: got .*, allowed: a TrueType or OpenType"):
        GlyphRenderer(font_path=str(tmp_path / name))


def test_margins_must_leave_room() -> None:
    with pytest.raises(ConfigError) as caught:
        GlyphRenderer(width=30, height=30, margin_x=12, margin_y=12)
    assert caught.value.faults == (
        "margin_x: got 12, allowed: room for a letter on 30 points",
        "margin_y: got 12, allowed: room for a line on 30 points",
    )


def test_font_hash_is_of_the_file(tmp_path: Path) -> None:
    copy = tmp_path / "other name.ttf"
    copy.write_bytes(default_font_path().read_bytes())
    assert font_hash(str(copy)) == font_hash(None)
    assert font_hash(str(FONTS / "DejaVuSerif.ttf")) != font_hash(None)
    with pytest.raises(UserError, match=r"font_path: got .*missing"):
        font_hash(str(tmp_path / "missing"))


def test_pages_take_tenths_of_a_second_at_most() -> None:
    renderer = GlyphRenderer()
    start = time.process_time()
    pages = renderer.render(TURNS)
    assert (time.process_time() - start) / len(pages) < 0.5
