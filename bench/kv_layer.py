"""What `bench.kv` measures: a decoder layer of GLM-4.1V with random weights, and what holds its
keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function
from transformers.cache_utils import Cache, DynamicLayer

from freqexp.composing.compose import compose
from freqexp.kv.base import KVMethod
from freqexp.nouns.cache import LayerCache
from freqexp.readers.cache_layer import CompressedLayer
from freqexp.readers.families.compressing import library_cache
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.kv import KVConfig, KVRandomConfig
from freqexp.schemas.kv_codes import KiviConfig
from freqexp.schemas.profile import ProfileConfig
from freqexp.schemas.section import option_name

QUERY_HEADS, KV_HEADS, CHANNELS = 32, 2, 128
KEEP_RATIO, DECODE_KEEP_RATIO = 0.5, 0.25
WHOLE, QUARTER, KIVI, NOTHING = "whole", "kv_random 0.25", "kivi, 4 bits", "nothing held"
UPDATE = "update of the cache"


def text_config(**sizes: Any) -> Any:
    """GLM-4.1V's decoder, with these sizes in place of its own."""
    from transformers.models.glm4v.configuration_glm4v import Glm4vTextConfig

    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    rope |= {"partial_rotary_factor": 0.5, "mrope_section": [8, 12, 12]}
    config: Any = Glm4vTextConfig(rope_parameters=rope, **sizes)
    config._attn_implementation = "sdpa"
    return config


class Layer:
    """One decoder layer with random weights in float32. sizes: see `text_config`."""

    def __init__(self, **sizes: Any) -> None:
        from transformers.models.glm4v import modeling_glm4v as glm4v

        config = text_config(**sizes)
        self._layer: Any = glm4v.Glm4vTextDecoderLayer(config, 0).eval()
        self._rotary: Any = glm4v.Glm4vTextRotaryEmbedding(config)
        self._hidden: int = config.hidden_size

    def forward(self, count: int, start: int, cache: Cache) -> Tensor:
        """`count` random tokens from place `start` on, causal, which the cache takes."""
        hidden = torch.randn(1, count, self._hidden)
        places = torch.arange(start, start + count).expand(3, 1, -1)
        angles = self._rotary(hidden, places)
        result: Tensor = self._layer(hidden, position_embeddings=angles, past_key_values=cache)
        return result


def options() -> Iterator[tuple[str, KVConfig]]:
    """Every option on the cache with its default settings, KIVI with all its bits."""
    for option in COMPRESSORS:
        if option is KiviConfig:
            yield from ((f"kivi, {bits} bits", KiviConfig(bits=bits)) for bits in (2, 4, 8))
        elif issubclass(option, KVConfig):
            yield option_name(option), option()  # type: ignore[call-arg]


def holder(config: KVConfig) -> Callable[[LayerCache], Any]:
    """What makes a layer of a cache, of a batch of one, that holds its keys and values
    compressed.
    """
    method = built(config, KEEP_RATIO)

    def hold(layer: LayerCache) -> Any:
        if method.library is not None:
            made: Any = library_cache(method.library, text_config(num_hidden_layers=1)).layers[0]
            made.update(layer.keys[None], layer.values[None])
            return made
        return holding(layer, method)

    return hold


def built(config: KVConfig, keep_ratio: float) -> KVMethod:
    """The method of an option."""
    method = config.build(keep_ratio, _no_matter())
    assert isinstance(method, KVMethod)
    return method


@cache
def _no_matter() -> ProfileConfig:
    """A profile of pages, which no method on the cache looks at."""
    return compose().profile


def holding(layer: LayerCache, method: KVMethod) -> CompressedLayer:
    """A layer of a cache that holds what `method` keeps."""
    result = CompressedLayer()
    result.update(layer.keys[None], layer.values[None])
    result.hold([method.compress(layer)])
    return result


def made_up(tokens: int, dtype: torch.dtype) -> LayerCache:
    """Random keys and values, and queries of as many tokens as a method with defaults may want."""
    keys, values = torch.randn(2, KV_HEADS, tokens, CHANNELS, dtype=dtype)
    queries = torch.randn(QUERY_HEADS, 16, CHANNELS, dtype=dtype)
    vision = torch.ones(tokens, dtype=torch.bool)
    return LayerCache(keys.clone(), values.clone(), vision, queries, CHANNELS**-0.5)


def decode_caches(tokens: int) -> dict[str, Cache]:
    """The caches that are compared, filled; `NOTHING` is what a step takes without one."""
    given = made_up(tokens, torch.float32)
    whole = DynamicLayer()
    whole.update(given.keys[None], given.values[None])
    layers: dict[str, Any] = {WHOLE: whole}
    options: dict[str, KVConfig] = {QUARTER: KVRandomConfig(), KIVI: KiviConfig(bits=4)}
    for name, config in options.items():
        layers[name] = holding(given, built(config, DECODE_KEEP_RATIO))
    layers[NOTHING] = DynamicLayer()
    return {name: Cache(layers=[layer]) for name, layer in layers.items()}


def update_peak(filled: Cache) -> int:
    """The most bytes that are allocated at once while the cache takes one token and is read, beyond
    those before. Done to a copy: the profiler sees no memory freed that it saw not allocated.
    """
    new = torch.zeros(1, KV_HEADS, 1, CHANNELS)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        copy = deepcopy(filled)
        with record_function(UPDATE):
            read = copy.update(new, new, 0)
        del read
    kineto: Any = watched.profiler
    events = sorted(kineto.kineto_results.events(), key=lambda event: event.start_ns())
    level = before = peak = 0
    for event in events:
        if event.name() == UPDATE:
            before = peak = level
        elif event.name() == "[memory]":
            level += event.nbytes()
            peak = max(peak, level)
    return peak - before
