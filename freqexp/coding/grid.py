"""Numbers without their last bits, so that what is nearly equal is equal."""

from __future__ import annotations

import torch
from torch import Tensor


def on_grid(values: Tensor, bits: int = 30) -> Tensor:
    """Values of about 1 in steps of 2^-bits, so that the last bits, which depend on threads and
    device, decide nothing: what is that near is equal.
    """
    steps = 2.0**bits
    return torch.round(values * steps) / steps
