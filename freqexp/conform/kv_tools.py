"""What the checks of methods on the KV cache share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from freqexp.conform.cases import Case
from freqexp.conform.expect import expect
from freqexp.conform.inputs import make_layer
from freqexp.errors import UserError
from freqexp.kv.base import KVMethod
from freqexp.kv.evict import Evictor
from freqexp.nouns.cache import LayerCache, StoredLayer
from freqexp.schemas.choices import Question
from freqexp.schemas.kv import EvictConfig, KVConfig

LONG = 160
"""Enough tokens for every method's defaults at a ratio of `ENOUGH`."""
ENOUGH = 0.3


def kv_cases(cases: list[Case]) -> Iterator[Case]:
    """These, and of evictions each with what stays in 4 bits: that is a switch, too."""
    for case in cases:
        yield case
        if isinstance(case.config, EvictConfig) and case.config.bits is None and not case.faults:
            yield Case(f"{case.name},bits=4", replace(case.config, bits=4))


def config_of(case: Case) -> KVConfig:
    """The schema. Raises BrokenError for one that is no KVConfig."""
    config = case.config
    expect(isinstance(config, KVConfig), f"{type(config).__name__} is no subclass of KVConfig")
    assert isinstance(config, KVConfig)
    return config


def stores(case: Case) -> bool:
    """Whether the method stores layers itself, and not a library's cache. When it is called is not
    its matter.
    """
    return case.build().library is None and config_of(case).question is Question.unseen


def bits_of(case: Case) -> int | None:
    """Of a number in the method's codes; None: numbers stay as they are."""
    bits: int | None = getattr(case.config, "bits", None)
    return bits


def layer_of(
    case: Case, tokens: int = LONG, dtype: torch.dtype = torch.float32, number: int = 0
) -> LayerCache:
    """See `make_layer`, with the queries that the method asks for."""
    return make_layer(config_of(case).queries, tokens, dtype, number)


def scope_of(case: Case, layer: LayerCache) -> list[int]:
    """The places that a method may act on."""
    everything = config_of(case).scope.value == "all"
    return [place for place, seen in enumerate(layer.vision.tolist()) if seen or everything]


def same(one: StoredLayer, other: StoredLayer) -> bool:
    """Whether two layers are read as one."""
    pairs = zip(one.read(), other.read(), strict=True)
    return one.tokens == other.tokens and all(torch.equal(*pair) for pair in pairs)


def rows(*sides: torch.Tensor) -> list[list[bytes]]:
    """Each head's tokens as bytes, keys beside values."""
    whole = torch.cat(sides, dim=2).contiguous().view(torch.uint8).numpy()
    return [[row.tobytes() for row in head] for head in whole]


def stored_bytes(stored: StoredLayer) -> int:
    """Of all tensors that are named."""
    return sum(tensor.nbytes for tensors in stored.tensors().values() for tensor in tensors)


def compressed(method: KVMethod, layer: LayerCache, keep_ratio: float) -> StoredLayer | None:
    """None where the prompt is refused, as only short ones or low ratios may be, in one line, and
    by evictions only if some tokens must stay.
    """
    if len(layer.vision) >= LONG and keep_ratio >= ENOUGH:
        return method.compress(layer)
    if isinstance(method, Evictor) and not method.holds:
        return method.compress(layer)
    try:
        return method.compress(layer)
    except UserError as error:
        expect("\n" not in str(error), f"a refusal of several lines: {error}")
        return None


def tolerance(bits: int | None, *numbers: torch.Tensor) -> float:
    """How far a number may be from what is read: half a step between the smallest and the largest,
    and what bfloat16 makes of both.
    """
    if bits is None:
        return 0.0
    low, high = (float(end) for end in torch.cat(numbers, dim=1).aminmax())
    step: float = (high - low) / (2**bits - 1)
    return 0.51 * step + max(abs(low), abs(high)) * 2**-7
