"""A conversation as text in place of pages, in the same chat.

The conversation is tokenized by itself and put into the chat where its pages would be. So its
tokens are as many whatever is asked, questions behind it share them, and a method on the KV cache
knows where it ends.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from freqexp.errors import UserError
from freqexp.readers.base import SEPARATOR
from freqexp.readers.decoding import Prompt, readable

_SLOT = "\ufdd0"
"""Stands for the conversation while the chat is written; Unicode gives it to no text."""


class _Asked(Protocol):
    """What of a reader is needed here, see `HfReader`."""

    tokenizer: Any
    image_id: int

    @property
    def device(self) -> torch.device: ...

    def positions(self, ids: Tensor, vision: Any) -> Tensor: ...


def tokens_of(tokenizer: Any, text: str) -> Tensor:
    """Tokens int64 [n] of a text by itself, without special tokens, however long it is."""
    # `verbose` warns of texts beyond the context, which nobody may be about to read.
    ids = tokenizer(readable(text), add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(ids, dtype=torch.int64)


def around(tokenizer: Any, question: str) -> tuple[Tensor, Tensor]:
    """Tokens int64 [n] of the chat before and behind the conversation.

    Raises UserError for a chat template that doesn't write what it is given.
    """
    content = [{"type": "text", "text": f"{_SLOT}{SEPARATOR}{readable(question)}"}]
    text = str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    )
    parts = text.split(_SLOT)
    if len(parts) != 2:
        raise UserError(
            f"question: must not contain U+{ord(_SLOT):04X}, and the chat template must write a "
            f"text once; it wrote it {len(parts) - 1} times"
        )
    head, tail = (tokens_of(tokenizer, part) for part in parts)
    return head, tail


def text_prompt(reader: _Asked, question: str, text: Tensor) -> Prompt:
    """The sequence of a question about a text of tokens int64 [n], in the chat.

    Raises UserError for a conversation or a question that stands for an image.
    """
    head, tail = around(reader.tokenizer, question)
    check_text(torch.cat([text.cpu(), tail]), reader.tokenizer, reader.image_id)
    ids = torch.cat([head, text.cpu(), tail]).to(reader.device)
    places = torch.arange(len(ids), device=ids.device)
    end = len(head) + len(text)
    return Prompt(
        ids=ids,
        positions=reader.positions(ids, ()),
        vision_in=0,
        vision_out=0,
        vision=places[len(head) : end],
        places=places,
        end=end,
    )


def check_text(text: Tensor, tokenizer: Any, image_id: int) -> None:
    """Raises UserError where tokens [n] of a text have the placeholder of an image among them."""
    if bool((text == image_id).any()):
        placeholder = tokenizer.convert_ids_to_tokens(image_id)
        raise UserError(f"sample: conversation and question must not contain {placeholder!r}")
