"""A model behind a chat completions endpoint as a reader.

Pages go as PNG files, a text as text. What is inside the model can't be seen: no vision tokens, no
cache, no tokenizer. The server says how many tokens it counts.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.base import SEPARATOR, Answer, Reader, Request, Usage
from freqexp.readers.served.client import Client
from freqexp.readers.served.stream import Reply
from freqexp.schemas.served import ServedConfig

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

SEED = 0
"""Sent with every request. Greedy decoding needs none; a server may round differently all the same.
"""


class ApiReader(Reader):
    """Its "vision tokens" are the bytes of a page's PNG, one row of a grid of 1 x 1, and its "text
    tokens" characters: what a request is made of, and counted nowhere.
    """

    reads_text = True
    counts_text = False

    def __init__(self, config: ServedConfig) -> None:
        self.requests_at_once = config.concurrency
        self._config = config
        self._client = Client(config)

    @classmethod
    def load(cls, config: ModelConfig) -> ApiReader:
        """A reader that has called nobody yet. Raises RunError without the key it is to send."""
        assert isinstance(config, ServedConfig)
        return cls(config)

    @property
    def generation(self) -> Mapping[str, Any]:
        """What every request asks for."""
        usual = {"temperature": 0, "max_tokens": self._config.max_new_tokens, "seed": SEED}
        asked = {**usual, **self._config.extra_body}
        return {name: value for name, value in asked.items() if value is not None}

    def encode(
        self,
        pages: Sequence[Pixels],
        signals: Sequence[Signal] = (),
        chooser: Chooser | None = None,
    ) -> list[VisionTokens]:
        """The PNG of each page: uint8 [1, bytes]."""
        if not pages:
            raise UserError("sample: got no pages, allowed: at least one")
        return [VisionTokens(_png(page), (1, 1)) for page in pages]

    def text_ids(self, text: str) -> Tensor:
        """Code points of a text, int64 [characters]."""
        return torch.tensor([ord(character) for character in text], dtype=torch.int64)

    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        """What the server answers. Raises what `Client.ask` raises, and UserError for an answer
        that it withholds.
        """
        return self._answer(Request(question, vision))

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer]:
        """Each by itself: whoever wants several at once calls from several threads."""
        return [self._answer(request) for request in requests]

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent: one user message, first the conversation, then the question."""
        content: str | list[dict[str, Any]]
        if request.text is not None:
            text = "".join(map(chr, request.text.tolist()))
            content = f"{text}{SEPARATOR}{request.question}"
        else:
            images = [{"type": "image_url", "image_url": {"url": _url(p)}} for p in request.vision]
            content = [*images, {"type": "text", "text": request.question}]
        body = {
            "model": self._config.served,
            "messages": [{"role": "user", "content": content}],
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.generation,
        }
        without = {name for name, value in self._config.extra_body.items() if value is None}
        return {name: value for name, value in body.items() if name not in without}

    def _answer(self, request: Request) -> Answer:
        reply = self._client.ask(self.body(request))
        if reply.finish not in ("stop", "length"):
            raise UserError(f"server: the answer ended with finish_reason {reply.finish!r}")
        mark, text = self._config.answer_after, reply.text
        if mark is not None and mark in text:
            text = text.rpartition(mark)[2].lstrip()
        return Answer(
            text=text,
            truncated=reply.finish == "length",
            vision_tokens_in=None,
            vision_tokens_out=None,
            decoder_tokens=None,
            kv_cache_bytes=None,
            prefill_ms=1000 * reply.first,
            decode_ms=1000 * (reply.last - reply.first),
            raw_text=reply.text,
            usage=Usage(
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
                retries=reply.retries,
                cost=self._cost(reply),
            ),
        )

    def _cost(self, reply: Reply) -> float | None:
        """Of the answer that came; what a server charges for requests that failed is not known."""
        parts = (
            (self._config.price_in, reply.prompt_tokens),
            (self._config.price_out, reply.completion_tokens),
        )
        costs = [p * n / 1e6 for p, n in parts if p is not None and n is not None]
        return sum(costs) if len(costs) == len(parts) else None


def _png(pixels: Pixels) -> Tensor:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)[None]


def _url(page: CompressedTokens) -> str:
    data = page.features.cpu().numpy().tobytes()
    return "data:image/png;base64," + base64.b64encode(data).decode()
