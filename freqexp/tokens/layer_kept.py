"""What methods that leave a share of the vision tokens inside the decoder share."""

from __future__ import annotations

import torch
from torch import Tensor

from freqexp.coding.grid import on_grid
from freqexp.coding.share import check_keep_ratio
from freqexp.errors import ConfigError, UserError, fault
from freqexp.nouns.vision import LayerView
from freqexp.tokens.kept import staying
from freqexp.tokens.layer_base import LayerMethod


class SharePruner(LayerMethod):
    """Leaves T = floor(keep_ratio N + 0.5) of a request's N vision tokens (at least 1), over all of
    its pages together, or as many as `LayerView.budget` says.
    """

    def __init__(self, keep_ratio: float = 0.5, layer: int = 2) -> None:
        """Check and keep the settings.

        keep_ratio: share of the vision tokens kept, in (0, 1]. layer: see `LayerPruner`.

        Raises:
            ConfigError: a value is outside what is allowed; names all such values.
        """
        faults = check_keep_ratio(keep_ratio)
        if layer < 1:
            faults.append(fault("layer", layer, "1 or more"))
        if faults:
            raise ConfigError(faults)
        self.simulated = keep_ratio == 1
        self.layer = layer
        self._keep_ratio = keep_ratio

    def count(self, view: LayerView) -> int:
        """T. Raises ValueError for a view without vision tokens and a budget beyond them."""
        tokens = len(view.vision)
        if not tokens:
            raise ValueError("vision: got no tokens, allowed: at least one")
        return staying(tokens, view.budget, self._keep_ratio, "request")


def check_finite(**scores: Tensor) -> None:
    """Raises UserError, by name, for scores that hold NaN or infinity."""
    for name, values in scores.items():
        if not torch.isfinite(values).all():
            raise UserError(f"decoder: the {name} hold NaN or infinity; try a wider dtype")


def highest(scores: Tensor, count: int) -> Tensor:
    """Where the `count` highest of `scores` float64 [n] are, highest first; ties by place."""
    largest = scores.abs().amax().clamp_min(torch.finfo(torch.float64).tiny)
    return torch.sort(on_grid(scores / largest), descending=True, stable=True).indices[:count]
