"""Length buckets of MRCR, by o200k_base tokens of prompt and answer."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from freqexp.errors import UserError

ENCODING = "o200k_base"
EDGES = tuple(4096 * 2**power for power in range(9))
BUCKETS = tuple(f"{low}-{high}" for low, high in itertools.pairwise(EDGES))


def bucket_name(tokens: int) -> str:
    """The bucket `tokens` falls in: [4096, 8192], (8192, 16384], ... (524288, 1048576]; "" outside.

    Records of earlier versions may hold a "~" before it: that length was estimated.
    """
    if tokens < EDGES[0]:
        return ""
    for name, high in zip(BUCKETS, EDGES[1:], strict=True):
        if tokens <= high:
            return name
    return ""


@functools.lru_cache(maxsize=1)
def _tokenizer() -> Any:
    """The tokenizer; its table is in the package, so that no network is asked.

    Not what `bpe_openai.get_encoding` gives: that refuses texts of a million characters.
    """
    try:
        with warnings.catch_warnings():
            # The package reads its tables by a function that Python 3.11 calls deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            from bpe_openai import _bindings
    except ImportError as error:
        needed = "counting tokens needs bpe-openai: pip install bpe-openai"
        raise UserError(f"{needed} ({error})") from error
    return _bindings.tokenizer_for_encoding(ENCODING)


def count_tokens(text: str) -> int:
    """o200k_base tokens of a text; what looks like a special token is text like any other.

    Raises UserError without the package bpe-openai.
    """
    try:
        return int(_tokenizer().count(text))
    except UnicodeEncodeError:
        # Halves of surrogate pairs, which JSON can hold: as tiktoken reads them.
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return int(_tokenizer().count(whole))


def in_bucket(texts: Iterable[str], bucket: str) -> bool:
    """Whether the texts together fall in one of `BUCKETS`; of longer ones no more is counted than
    tells.
    """
    tokens, high = 0, EDGES[BUCKETS.index(bucket) + 1]
    for text in texts:
        tokens += count_tokens(text)
        if tokens > high:
            return False
    return bucket_name(tokens) == bucket


def bucket_of(texts: Sequence[str]) -> str:
    """The bucket of a prompt's messages and its answer."""
    # A character is at most four bytes and a token at least one byte: such a short text is in no
    # bucket.
    if sum(map(len, texts)) * 4 < EDGES[0]:
        return ""
    return bucket_name(sum(map(count_tokens, texts)))
