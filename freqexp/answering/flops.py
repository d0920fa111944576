"""Floating point operations of encoder, token compressor and prefill, counted by torch.

`torch.utils.flop_counter` counts two for a multiplication with its addition: matrix products,
convolutions, and scaled_dot_product_attention by torch's formula, which takes every query with
every key, masked or not. Elementwise operations, norms, softmax, sorting and gathering count
nothing. Each shape is counted once, on calls of its own, so that no measured time is another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import CompressedTokens, keep_all
from freqexp.readers.base import Answer, Request

if TYPE_CHECKING:
    from freqexp.readers.base import Reader

QUESTIONS = ("?", "? " * 20, "? " * 40)
"""Questions of three lengths: every counted operation grows with the length of the sequence or with
its square, so three lengths say it for all."""

log = logging.getLogger(__name__)


class Flops:
    """What a reader's stages take. Of a reader that has no torch model everything is None."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[Hashable, int | None] = {}
        self._parabola: tuple[Fraction, Fraction, Fraction] | None = None
        self._fitted = False

    def encode(self, pages: Sequence[Pixels]) -> int | None:
        """Of the vision encoder, for whole pages: each is encoded by itself."""
        if not self._reader.warms_up or not pages:
            return None
        self._fit(lambda: [Request(text, self._tokens(pages[0])) for text in QUESTIONS])
        found = [self._once(("page", page.shape), self._encoding(page)) for page in pages]
        return None if None in found else sum(count or 0 for count in found)

    def text(self) -> int | None:
        """Of a conversation as text, which no encoder sees: none. Called for `prefill` to know the
        decoder where there are no pages.
        """
        if not self._reader.warms_up:
            return None
        ids = self._reader.text_ids
        self._fit(lambda: [Request("?", [], text=ids(text)) for text in QUESTIONS])
        return 0 if self._parabola is not None else None

    def compress(self, key: Hashable, work: Callable[[], object]) -> int | None:
        """Of a token compressor. key: what its shapes follow from. work: calls it."""
        return self._once(("compress", key), work) if self._reader.warms_up else None

    def prefill(self, answer: Answer, pruned: bool) -> int | None:
        """Of the decoder's layers over the prompt, without padding and without the projection onto
        the vocabulary. pruned: tokens left inside the decoder, so layers see different lengths.
        """
        if self._parabola is None or answer.decoder_tokens is None:
            return None
        lengths = answer.cache_tokens if pruned else (answer.decoder_tokens,)
        if not lengths:
            return None
        constant, linear, square = self._parabola
        each = [constant + linear * n + square * n * n for n in lengths]
        return round(sum(each) / len(each))

    def _encoding(self, page: Pixels) -> Callable[[], object]:
        return lambda: self._reader.encode([page])

    def _once(self, key: Hashable, work: Callable[[], object]) -> int | None:
        if key not in self._known:
            self._known[key] = counted(work)
        return self._known[key]

    def _tokens(self, page: Pixels) -> list[CompressedTokens]:
        return [keep_all(grid) for grid in self._reader.encode([page])]

    def _fit(self, requests: Callable[[], Sequence[Request]]) -> None:
        """Count the decoder over sequences of three lengths, once."""
        decoder = getattr(self._reader, "text_model", None)
        if decoder is None or self._fitted:
            return
        self._fitted = True
        try:
            found = [_first_pass(decoder, self._reader, request) for request in requests()]
        except Exception as error:
            log.debug("operations of the decoder are not counted: %s", error)
            return
        if len(dict(found)) == len(QUESTIONS):
            self._parabola = parabola(found)


def counted(work: Callable[[], object]) -> int | None:
    """Operations of a call; None when it fails."""
    counter = _counter()
    try:
        with counter:
            work()
    except Exception as error:
        log.debug("operations are not counted: %s", error)
        return None
    return int(counter.get_total_flops())


def parabola(points: Sequence[tuple[int, int]]) -> tuple[Fraction, Fraction, Fraction]:
    """Constant, linear and square coefficient through three points of different abscissae."""
    (a, fa), (b, fb), (c, fc) = points
    first = Fraction(fb - fa, b - a)
    square = (Fraction(fc - fb, c - b) - first) / (c - a)
    linear = first - square * (a + b)
    return fa - linear * a - square * a * a, linear, square


def _first_pass(decoder: Any, reader: Reader, request: Request) -> tuple[int, int]:
    """Length of the sequence and operations of the decoder's first pass over it."""
    counter, found = _counter(), list[tuple[int, int]]()

    def before(module: Any, args: Any, kwargs: Any) -> None:
        if not found:
            counter.__enter__()

    def after(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if not found:
            counter.__exit__(None, None, None)
            length = int(kwargs["inputs_embeds"].shape[1])
            found.append((length, int(counter.get_total_flops())))

    hooks = (
        decoder.register_forward_pre_hook(before, with_kwargs=True),
        decoder.register_forward_hook(after, with_kwargs=True),
    )
    try:
        reader.warm_up(request)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0]


def _counter() -> Any:
    """Torch's counter, with the attention that it has no formula for: that of a CPU."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query: Any, key: Any, value: Any, *args: Any, out_shape: Any, **more: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={on_cpu: attention})
