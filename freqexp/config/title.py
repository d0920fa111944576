"""What people see of what acts in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freqexp.schemas.choices import Input

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

TEXT = "text"
"""The name of text without any method, and the first of the others."""


def title_of(cfg: RunConfig) -> str:
    """The name of a run's method or the names of its parts; `text` or `text+...` where the model is
    given a conversation as text. `none` is the baseline alone: uncompressed pages.
    """
    title = cfg.compressor.title
    if cfg.model.input is Input.pages:
        return title
    return TEXT if title == "none" else f"{TEXT}+{title}"


def reads_text(title: str) -> bool:
    """Whether a run of this title was given text."""
    return title.split("+")[0] == TEXT
