"""freqexp: measure what compressing a vision-language model's input truly saves and costs.

    import freqexp

    results = freqexp.run(["compressor=block_dct,token", "keep_ratio=0.3,0.5", "samples=8"])
    table = freqexp.load_runs("outputs")        # a pandas.DataFrame, one row a run

The names below are all that is meant to be imported from elsewhere; docs/python.md shows them.
Each is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from freqexp.answering.session import Session as Session
    from freqexp.codecs.base import Codec as Codec
    from freqexp.codecs.base import CodecResult as CodecResult
    from freqexp.comparing.frame import load_runs as load_runs
    from freqexp.composing.compose import compose as compose
    from freqexp.config.run import RunConfig as RunConfig
    from freqexp.errors import ConfigError as ConfigError
    from freqexp.errors import UserError as UserError
    from freqexp.front.searching import find_budget as find_budget
    from freqexp.front.views import compare_runs as compare_runs
    from freqexp.front.views import draw_pages as draw_pages
    from freqexp.front.views import repeat_runs as repeat_runs
    from freqexp.kv.base import KVMethod as KVMethod
    from freqexp.nouns.page import Page as Page
    from freqexp.nouns.render import Renderer as Renderer
    from freqexp.nouns.sample import Grade as Grade
    from freqexp.nouns.sample import Sample as Sample
    from freqexp.nouns.sample import Turn as Turn
    from freqexp.nouns.vision import CompressedTokens as CompressedTokens
    from freqexp.nouns.vision import VisionTokens as VisionTokens
    from freqexp.readers.base import Reader as Reader
    from freqexp.results.record import Record as Record
    from freqexp.results.summary import Summary as Summary
    from freqexp.run import compute as run
    from freqexp.running.results import Results as Results
    from freqexp.tokens.base import TokenCompressor as TokenCompressor
    from freqexp.tokens.layer_base import LayerMethod as LayerMethod

_WHERE = {
    "Codec": "codecs.base",
    "CodecResult": "codecs.base",
    "CompressedTokens": "nouns.vision",
    "ConfigError": "errors",
    "Grade": "nouns.sample",
    "KVMethod": "kv.base",
    "LayerMethod": "tokens.layer_base",
    "Page": "nouns.page",
    "Reader": "readers.base",
    "Record": "results.record",
    "Renderer": "nouns.render",
    "Results": "running.results",
    "RunConfig": "config.run",
    "Sample": "nouns.sample",
    "Session": "answering.session",
    "Summary": "results.summary",
    "TokenCompressor": "tokens.base",
    "Turn": "nouns.sample",
    "UserError": "errors",
    "VisionTokens": "nouns.vision",
    "compare_runs": "front.views",
    "compose": "composing.compose",
    "draw_pages": "front.views",
    "find_budget": "front.searching",
    "load_runs": "comparing.frame",
    "repeat_runs": "front.views",
}
"""The module of this package that each name comes from."""

__all__ = ["__version__", "run", *_WHERE]


def __getattr__(name: str) -> Any:
    if name == "run":
        # The module, which can be called: its name is that of the command.
        return import_module("freqexp.run")
    if name not in _WHERE:
        raise AttributeError(f"module 'freqexp' has no attribute {name!r}")
    found = getattr(import_module(f"freqexp.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
