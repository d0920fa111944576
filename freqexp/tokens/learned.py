"""What token compressors with parameters share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.base import TokenCompressor

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Reduced:
    """A page's tokens on the way to the decoder, with gradients.

    features: [kept, channels], the dtype of the page's. kept: int64 [kept], raster positions.
    deepstack: as in `CompressedTokens`. loss: scalar, to be added to the training's own, such as
    the commitment of a quantiser; None without one.
    """

    features: Tensor
    kept: Tensor
    deepstack: tuple[Tensor, ...] = ()
    loss: Tensor | None = None


class LearnedCompressor(TokenCompressor):
    """A token compressor with parameters, which `python -m freqexp.train adapt` trains.

    Its network is made when the channels are known, and starts as its class says unless there are
    weights. `compress` sees what `reduce` makes of a page in evaluation mode.
    """

    @abstractmethod
    def network(self, channels: int) -> nn.Module:
        """Parameters and buffers for tokens of so many channels, float32, always the same object.

        Everything that training changes is in its `state_dict`, running statistics included.
        Raises UserError when the weights given are of other channels or another configuration.
        """

    @abstractmethod
    def reduce(self, tokens: VisionTokens) -> Reduced:
        """One page's tokens, differentiable in the network's parameters and in the features.

        In training mode of the network running statistics are updated.
        """

    def start(self, pages: Sequence[VisionTokens]) -> None:
        """Begin from real tokens what a fixed start does not suit, such as codebooks (k-means)."""

    def after_step(self) -> Mapping[str, float]:
        """Called after each step of the optimiser: house-keeping such as the expiry of dead codes.

        Returns figures to log, by name.
        """
        return {}
