"""Text to pages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from freqexp.nouns.page import Page
    from freqexp.nouns.sample import Turn


class Renderer(ABC):
    """Draws a conversation on pages, the same to the pixel for the same text, settings, font and
    Pillow version.

    marks: what stands before a request and before a reply, each at the start of a line.
    """

    marks: ClassVar[tuple[str, str]] = ("", "")

    @abstractmethod
    def render(self, turns: Sequence[Turn]) -> list[Page]:
        """The conversation as pages, in reading order; all of its text is on them."""

    def texts(self, turns: Sequence[Turn]) -> list[str]:
        """Each turn as text with the same marks, every message from a new line: what pages show, as
        it is before lines break.
        """
        user, reply = self.marks
        return [f"{user}{turn.user}\n{reply}{turn.assistant}\n" for turn in turns]
