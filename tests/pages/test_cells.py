"""Pages of monospaced cells."""

from __future__ import annotations

import numpy as np
import pytest

from freqexp.benchmarks.generate import generate
from freqexp.nouns.sample import Turn
from freqexp.pages.cells import CellsRenderer, wrap
from freqexp.schemas.render import CellsRender

TURNS = generate(8, 1, 0, "short")[0].turns


@pytest.fixture
def renderer() -> CellsRenderer:
    option = CellsRender()
    return CellsRenderer(
        option.columns, option.rows, option.cell_width, option.cell_height, option.font_px
    )


def test_pages_are_336_square_gray(renderer: CellsRenderer) -> None:
    pages = renderer.render(TURNS)
    assert len(pages) > 1
    for page in pages:
        assert page.pixels.shape == (336, 336)
        assert page.pixels.dtype == np.uint8
        assert page.pixels.min() < 30
        assert page.pixels.max() == 255


def test_each_character_stands_in_its_cell(renderer: CellsRenderer) -> None:
    for page in renderer.render(TURNS):
        rows = page.text.split("\n")
        cells = page.pixels.reshape(12, 28, 24, 14).swapaxes(1, 2)
        for row in range(12):
            text = rows[row] if row < len(rows) else ""
            for column in range(24):
                blank = column >= len(text) or text[column] == " "
                assert (cells[row, column].min() == 255) == blank


def test_the_lines_are_the_rows_of_cells(renderer: CellsRenderer) -> None:
    for page in renderer.render(TURNS):
        rows = len(page.text.split("\n"))
        assert page.lines == tuple((28 * row, 28 * row + 28) for row in range(rows))


def test_equal_characters_look_equal_and_others_do_not(renderer: CellsRenderer) -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'>"
    pixels = renderer.draw([alphabet[:24], alphabet[24:], alphabet[:24]])
    cells = pixels.reshape(12, 28, 24, 14).swapaxes(1, 2)
    np.testing.assert_array_equal(cells[0], cells[2])
    drawn = [cells[0, n].tobytes() for n in range(24)]
    drawn += [cells[1, n].tobytes() for n in range(len(alphabet) - 24)]
    assert len(set(drawn)) == len(alphabet)


def test_all_text_is_on_the_pages(renderer: CellsRenderer) -> None:
    drawn = "".join(page.text.replace("\n", "") for page in renderer.render(TURNS))
    assert drawn == "".join(f"> {turn.user}{turn.assistant}" for turn in TURNS)


def test_a_turn_that_fits_is_not_split(renderer: CellsRenderer) -> None:
    for page in renderer.render(TURNS):
        assert page.text.startswith("> ")


def test_a_turn_longer_than_a_page_goes_on_to_the_next(renderer: CellsRenderer) -> None:
    reply = "".join(chr(97 + n % 26) for n in range(24 * 30))
    pages = renderer.render([Turn("x", reply)])
    assert [page.text.count("\n") + 1 for page in pages] == [12, 12, 7]
    assert "".join(page.text for page in pages).replace("\n", "") == "> x" + reply


def test_the_same_to_the_pixel(renderer: CellsRenderer) -> None:
    for one, two in zip(renderer.render(TURNS), renderer.render(TURNS), strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)


@pytest.mark.parametrize(
    ("text", "rows"),
    [("abcdef", ["abcd", "ef"]), ("a\nb", ["a", "b"]), ("", [""]), ("a\n\nb", ["a", "", "b"])],
)
def test_wrap(text: str, rows: list[str]) -> None:
    assert wrap(text, 4) == rows
