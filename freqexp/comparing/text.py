"""Text from files made harmless for where it is shown. Whatever a model answered is only text."""

from __future__ import annotations

import html
import json
import re
from typing import Any

# C0 and C1 control characters, and those that reorder or hide text: a terminal obeys them.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#!|~&$:@])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "−": r"$-$",
    "→": r"$\to$",
}
_MINUS = re.compile(r"(?<![\w)}])-(?=\d)")
_FORMULA = re.compile(r"^[=+\-@\t\r]")
_NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$")


def plain(text: object, limit: int = 500) -> str:
    r"""One line that a terminal shows and does not obey; control characters become `\x1b` and the
    like, and what is longer than `limit` characters is cut.
    """
    shown = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(text)[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def markdown(text: object) -> str:
    """`text` as Markdown (GitHub's) shows it literally, also in a cell of a table."""
    return _MARKDOWN.sub(r"\\\1", plain(text)).replace(r"\<", "&lt;").replace(r"\>", "&gt;")


def latex(text: object) -> str:
    """`text` as LaTeX prints it; characters outside Latin-1 that no table here needs become ?."""
    escaped = (_LATEX.get(character, character) for character in plain(text))
    shown = "".join(part if part.isascii() or ord(part) < 256 else "?" for part in escaped)
    return _MINUS.sub("$-$", shown)


def html_text(text: object) -> str:
    """`text` for HTML, between tags or in a quoted attribute."""
    return html.escape(plain(text), quote=True)


def csv_cell(value: object) -> object:
    """A cell that a spreadsheet does not take for a formula; numbers stay numbers."""
    if value is None or isinstance(value, int | float):
        return value
    text = plain(value, limit=32_000)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def script_json(value: Any) -> str:
    """JSON that can stand in an HTML script element: no character of it ends the element.

    Raises ValueError for NaN or infinity, which are not JSON.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
