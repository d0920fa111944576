"""ConvBench conversations as single tall pages, and how much of their words a reader finds.

ConvBench (arXiv 2403.20194; CC BY 4.0) holds three instructions with their reference answers a row,
that is six turns. The images its questions are about are not needed: the conversation is the text
to transcribe. The workbook does not come with this package; reading it needs openpyxl.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqexp.errors import UserError, fault
from freqexp.nouns.page import Page
from freqexp.nouns.sample import Turn

SHEET = "multi_turn_benchmark"
TURNS = tuple(
    (f"The_{ordinal}_turn_instruction", f"{ordinal}_turn_answer")
    for ordinal in ("first", "second", "third")
)
ID = "ID"

WIDTH_PX = 1024
MARGIN_PX = 20
FONT_PX = 18
LINE_SPACING_PX = 12
FONT = "DejaVuSansMono-Bold.ttf"

PROMPT = "Transcribe this conversation image verbatim. If blurred, guess the missing words."
TOKENS_A_WORD = 1.3
PATCH_PX = 14

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class Conversation:
    """One row: its id and its turns, instruction and reference answer each."""

    conversation_id: str
    turns: tuple[Turn, ...]

    @property
    def text(self) -> str:
        """What is drawn."""
        from freqexp.pages.layout import conversation_text

        return conversation_text(self.turns)


def load_convbench(path: str | Path, limit: int | None = None) -> list[Conversation]:
    """The rows of ConvBench.xlsx that hold all six turns, in the file's order.

    Raises UserError for a file that can't be read, without the sheet or its columns, or without one
    whole conversation.
    """
    header, rows = _sheet(Path(path).expanduser())
    # Header cells differ in case between the columns of the published file.
    places = {str(name).strip().lower(): index for index, name in enumerate(header)}
    wanted = [ID, *(name for pair in TURNS for name in pair)]
    absent = [name for name in wanted if name.lower() not in places]
    if absent:
        raise UserError(f"{path}: sheet {SHEET} lacks the columns {', '.join(absent)}")
    found = []
    for row in rows:
        texts = {name: _text(row, places[name.lower()]) for name in wanted}
        if all(texts.values()):
            turns = tuple(Turn(texts[asked], texts[told]) for asked, told in TURNS)
            found.append(Conversation(texts[ID], turns))
            if len(found) == limit:
                break
    if not found:
        raise UserError(f"{path}: sheet {SHEET} holds no whole conversation")
    return found


def _text(row: Sequence[object], place: int) -> str:
    value = row[place] if place < len(row) else None
    return "" if value is None else str(value).strip()


def _sheet(path: Path) -> tuple[Sequence[object], list[Sequence[object]]]:
    """The header and the other rows of the conversations' sheet."""
    try:
        import openpyxl
    except ImportError:
        raise UserError("reading ConvBench needs openpyxl: pip install openpyxl") from None
    from zipfile import BadZipFile

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (
        OSError,
        BadZipFile,
        KeyError,
        ValueError,
        openpyxl.utils.exceptions.InvalidFileException,
    ) as error:
        raise UserError(fault("--xlsx", str(path), f"ConvBench.xlsx ({error})")) from None
    try:
        if SHEET not in book.sheetnames:
            raise UserError(f"{path}: no sheet {SHEET}; it has {', '.join(book.sheetnames)}")
        rows: list[Any] = list(book[SHEET].iter_rows(values_only=True))
    finally:
        book.close()
    return (rows[0], rows[1:]) if rows else ((), [])


def font_path() -> Path:
    """DejaVu Sans Mono bold, as matplotlib's wheel carries it; UserError without matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("DejaVu Sans Mono comes with matplotlib: pip install matplotlib")
    root = Path(spec.submodule_search_locations[0])
    return root / "mpl-data" / "fonts" / "ttf" / FONT


def render_conversation(turns: Sequence[Turn]) -> Page:
    """All turns on one white page, gray [height, 1024] uint8, as high as its lines need.

    18 px DejaVu Sans Mono bold, margins of 20 px, 12 px between lines.
    """
    from freqexp.pages.glyph import GlyphRenderer
    from freqexp.pages.layout import conversation_text, drawable_lines, wrap
    from freqexp.pages.typeface import Typeface

    face = Typeface(font_path(), FONT_PX)
    line_px = math.ceil(face.ascent_px + face.descent_px) + LINE_SPACING_PX
    text = conversation_text(turns)
    width = WIDTH_PX - 2 * MARGIN_PX
    lines = sum(len(wrap(line, face.advance_px, width)) for line in drawable_lines(text))
    renderer = GlyphRenderer(
        width=WIDTH_PX,
        height=2 * MARGIN_PX + lines * line_px,
        margin_x=MARGIN_PX,
        margin_y=MARGIN_PX,
        font_pt=FONT_PX,
        line_height_pt=line_px,
        crop=False,
        font_path=str(font_path()),
    )
    (page,) = renderer.render_text(text)
    return page


def words(text: str) -> set[str]:
    """The distinct words of a text, lower case, without punctuation."""
    return set(_WORD.findall(text.lower()))


def word_recall(text: str, transcript: str) -> float | None:
    """Share of the text's distinct words that the transcript holds; None for a text without words.

    What Milestone 1 scored. It knows neither order nor repetition, and invented words cost nothing.
    """
    wanted = words(text)
    return len(wanted & words(transcript)) / len(wanted) if wanted else None


def estimated_text_tokens(text: str) -> float:
    """Milestone 1's estimate, 1.3 tokens a word; not a tokenizer's count."""
    return TOKENS_A_WORD * len(text.split())


def estimated_vision_tokens(height: int, width: int) -> int:
    """Milestone 1's estimate (H // 14) (W // 14), pixels; before any merging in the encoder."""
    return (height // PATCH_PX) * (width // PATCH_PX)
