from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqexp.comparing.text import csv_cell, html_text, latex, markdown, plain, script_json


@given(st.text())
def test_plain_text_holds_nothing_a_terminal_obeys(text: str) -> None:
    shown = plain(text, limit=10_000)
    assert all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in shown)
    assert not set(shown) & set("\u202a\u202e\u2066\u2069\u200b\u2028")


def test_control_characters_are_shown_not_sent() -> None:
    assert plain("a\x1b[31mb\nc\u202e") == r"a\x1b[31mb\nc\u202e"
    assert plain("x" * 600) == "x" * 497 + "..."


@given(st.text(alphabet="<>&\"'`ab"))
def test_html_text_has_no_markup(text: str) -> None:
    assert not set(html_text(text)) & set("<>\"'")


@given(st.text(alphabet="</script!->ab&\u2028"))
def test_json_in_a_script_never_ends_it_and_means_the_same(text: str) -> None:
    written = script_json({"text": text})
    assert "<" not in written
    assert json.loads(written) == {"text": text}


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


@pytest.mark.parametrize("text", [r"\input{/etc/passwd}", "50 % & more_#$^~", "{a}\\\\", "é☃"])
def test_latex_runs_no_command(text: str) -> None:
    written = latex(text)
    for command in ("textbackslash", "textasciicircum", "textasciitilde"):
        written = written.replace(f"\\{command}{{}}", "")
    for escaped in (r"\{", r"\}", r"\$", r"\&", r"\#", r"\%", r"\_"):
        written = written.replace(escaped, "")
    assert not set(written) & set("\\{}$&#%_^~☃")


def test_a_minus_before_a_number_is_one() -> None:
    assert latex("-0.5 [-0.6, +0.1] block-dct 1-2") == "$-$0.5 [$-$0.6, +0.1] block-dct 1-2"


def test_markdown_shows_what_is_written() -> None:
    assert markdown("a|b <i> [x](y) *z* `c`") == r"a\|b &lt;i&gt; \[x\](y) \*z\* \`c\`"


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd", "-cmd|' /C calc'!A0"])
def test_a_spreadsheet_runs_no_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


def test_numbers_stay_numbers() -> None:
    assert csv_cell(-0.5) == -0.5
    assert csv_cell("-0.5") == "-0.5"
    assert csv_cell(None) is None
