"""What token compressors with parameters share."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from freqexp.errors import UserError
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

    _network: nn.Module | None = None
    _channels: int = 0

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, object]:
        """What fixes the shapes and the meaning of the parameters, as JSON has it."""

    @abstractmethod
    def make(self, channels: int) -> nn.Module:
        """A new network for tokens of so many channels, float32. Everything that training changes
        is in its `state_dict`, running statistics included.

        Raises UserError for channels that do not suit the settings.
        """

    def network(self, channels: int) -> nn.Module:
        """Parameters and buffers for tokens of so many channels: always the same object.

        Raises UserError for other channels than those it was made for.
        """
        if self._network is None:
            self._network, self._channels = self.make(channels), channels
        elif channels != self._channels:
            got = f"vision tokens of {channels} channels"
            raise UserError(f"{got}: the parameters are for tokens of {self._channels}")
        return self._network

    def network_at(self, features: Tensor) -> nn.Module:
        """The network of these features' channels, on their device."""
        network = self.network(features.shape[1])
        held = next(itertools.chain(network.parameters(), network.buffers()), None)
        if held is not None and held.device != features.device:
            network.to(features.device)
        return network

    @abstractmethod
    def reduce(self, tokens: VisionTokens) -> Reduced:
        """One page's tokens, differentiable in the network's parameters and in the features.

        In training mode of the network running statistics are updated.
        """

    def reduced(self, tokens: VisionTokens) -> Reduced:
        """What `reduce` makes of a page in evaluation mode, without gradients."""
        with evaluating(self.network_at(tokens.features)):
            return self.reduce(tokens)

    def start(self, pages: Sequence[VisionTokens]) -> None:
        """Begin from real tokens what a fixed start does not suit, such as codebooks (k-means)."""

    def freeze(self, frozen: bool) -> None:
        """Keep codebooks and their statistics as they are from now on, or no longer."""

    def after_step(self) -> Mapping[str, float]:
        """Called after each step of the optimiser: house-keeping such as the expiry of dead codes.

        Returns figures to log, by name.
        """
        return {}


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation mode and without gradients; the mode is put back."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
