"""The chat template of a checkpoint, which is Jinja code that somebody else wrote."""

from __future__ import annotations

from typing import Any

from freqexp.errors import UserError
from freqexp.readers.decoding import readable
from freqexp.readers.weights import first_line


def chat_text(tokenizer: Any, question: str, pages: int) -> str:
    """The chat with so many pages and then the question, as text with a placeholder a page."""
    content = [{"type": "image"} for _ in range(pages)] + [
        {"type": "text", "text": readable(question)}
    ]
    chat = [{"role": "user", "content": content}]
    return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))


def check_template(tokenizer: Any, image_id: int) -> None:
    """Raises UserError for a template that fails, or that puts no placeholder for a page: each
    sample would.
    """
    try:
        text = chat_text(tokenizer, "?", 1)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    # Jinja's errors, and those of whatever the template does.
    except Exception as error:
        raise UserError(
            f"chat template: can't be applied: {first_line(error)} "
            "(chat_template.jinja of model.path)"
        ) from error
    placed = list(ids).count(image_id)
    if placed != 1:
        raise UserError(
            f"chat template: puts {placed} of the model's image tokens for a page, allowed: 1 "
            "(chat_template.jinja and config.json of model.path)"
        )
