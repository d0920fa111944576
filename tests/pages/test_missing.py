"""Characters that pages can't show as they should look are marked and counted."""

from __future__ import annotations

import pytest
from run_fakes import Counting

from freqexp.errors import UserError
from freqexp.nouns.page import Page
from freqexp.nouns.render import Renderer
from freqexp.nouns.sample import Sample, Turn
from freqexp.schemas.choices import Missing
from freqexp.schemas.render import CellsRender, GlyphRender, RenderConfig

RENDERS: list[RenderConfig] = [CellsRender(), GlyphRender()]


def pages(render: RenderConfig, text: str) -> list[Page]:
    renderer: Renderer = render.build()
    return renderer.render([Turn(text, "yes")])


def missing(render: RenderConfig, text: str) -> str:
    return "".join(page.missing for page in pages(render, text))


@pytest.mark.parametrize("render", RENDERS, ids=lambda render: render.name)
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain text, 100 %", ""),
        ("Ελληνικά και кириллица", ""),
        ("e\u0301 o\u0308 composed", ""),
        ("a\x1b[2Jb\u202ec\u200bd", ""),
        ("\u6f22\u5b57 and \u6f22", "\u6f22\u5b57\u6f22"),
        ("\U0001f680 to the moon", "\U0001f680"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("half \ud800 of a pair", ""),
    ],
)
def test_what_a_font_lacks_or_would_have_to_join_is_missing(
    render: RenderConfig, text: str, wanted: str
) -> None:
    assert missing(render, text) == wanted


@pytest.mark.parametrize("render", RENDERS, ids=lambda render: render.name)
def test_what_is_missing_is_marked_in_the_picture_and_in_the_text(render: RenderConfig) -> None:
    absent, marked = pages(render, "a\u6f22b"), pages(render, "a\ufffdb")
    assert absent[0].text == marked[0].text
    assert (absent[0].pixels == marked[0].pixels).all()
    assert marked[0].missing == ""


@pytest.mark.parametrize("render", RENDERS, ids=lambda render: render.name)
def test_every_page_says_what_is_missing_on_it(render: RenderConfig) -> None:
    long = "\n".join(["\u6f22"] * 200)
    found = pages(render, long)
    assert len(found) > 1
    assert [page.text.count("\ufffd") for page in found] == [len(page.missing) for page in found]


@pytest.mark.parametrize("option", [CellsRender, GlyphRender])
def test_a_sample_with_missing_characters_can_be_an_error(
    option: type[RenderConfig], counting: Counting
) -> None:
    strict = option(missing=Missing.error)  # type: ignore[call-arg]
    bad = Sample("s", 2, "", (Turn("\u6f22\u5b57\u6f22", "no"),), "q", "a", "p")
    good = Sample("s", 2, "", (Turn("letters", "yes"),), "q", "a", "p")
    session = counting.session()
    with pytest.raises(UserError, match=r"3 characters can't be shown"):
        session.render(strict, bad)
    assert session.render(strict, good)[0].sizes.missing_characters == 0
    sizes = session.render(option(), bad)[0].sizes  # type: ignore[call-arg]
    assert sizes.missing_characters == 3
    assert sizes.page_characters > 3
