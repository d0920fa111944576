"""Queries of a transformers decoder, which it shows to nobody."""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from torch import Tensor


def query_module(attention: Any) -> Any:
    """The module whose output are the queries before their rotation; of the families' queries only
    Qwen3's are normed after their projection.
    """
    return getattr(attention, "q_norm", attention.q_proj)


def rotated(attention: Any, queries: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Queries [batch, n, ...] of the last n tokens, as `query_module` gives them, after the
    rotation: [batch, heads, n, channels].

    angles: cosine and sine [batch, length, ...] of the sequence they end.
    """
    batch, count = queries.shape[:2]
    queries = queries.reshape(batch, count, -1, attention.head_dim).transpose(1, 2)
    cos, sin = (angle[:, -count:].to(queries.device) for angle in angles)
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb
    result: Tensor = rotate(queries, queries, cos, sin)[0]
    return result


def now_ms(on: Tensor) -> float:
    """Milliseconds of a clock, once a GPU has done what it was given."""
    if on.is_cuda:
        torch.cuda.synchronize(on.device)
    return time.perf_counter() * 1000
