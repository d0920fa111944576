"""What every method that drops vision tokens inside the decoder shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from freqexp.nouns.vision import LayerView

if TYPE_CHECKING:
    from torch import Tensor


class LayerMethod(ABC):
    """A `LayerPruner`, one request at a time."""

    simulated: bool
    """True when no layer's sequence gets shorter (every token is kept)."""

    layer: int
    """See `LayerPruner`."""

    nested: bool = True
    """Whether what is kept of a request at a smaller count is among what is kept at a larger."""

    @abstractmethod
    def choose(self, view: LayerView) -> Tensor:
        """See `LayerPruner`. Deterministic; the view is not changed."""
