"""What token compressors with parameters share."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from freqexp.errors import ConfigError, UserError, fault
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.trained.weights import Said, differences, header, load, write

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

    method: ClassVar[str]
    """Its name, which stands in its file of weights."""

    def __init__(self, weights: str | None = None) -> None:
        """weights: the folder of a file that `save` wrote, or "bundled"; None: as it starts.

        Called when `settings` are known. Raises ConfigError for weights that can't be read, or that
        were trained with other settings.
        """
        faults = differences(weights, self.method, self.settings)
        if faults:
            raise ConfigError(faults)
        self._weights = weights
        self._network: nn.Module | None = None
        self._channels = 0

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, object]:
        """What fixes the shapes and the meaning of the parameters, by the settings' names."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """The only grid that the parameters are for; None: any."""
        return None

    @abstractmethod
    def make(self, channels: int, grid: tuple[int, int] | None) -> nn.Module:
        """A new network for tokens of so many channels, float32. Everything that training changes
        is in its `state_dict`, running statistics included.

        grid: see `grid`, of the weights that are to go in. Raises UserError for channels that do
        not suit the settings.
        """

    def network(self, channels: int) -> nn.Module:
        """Parameters and buffers for tokens of so many channels: always the same object.

        Raises UserError for other channels than those it was made for, or weights that are for
        others or damaged.
        """
        if self._network is None:
            self._network, self._channels = self._made(channels), channels
        elif channels != self._channels:
            got = f"vision tokens of {channels} channels"
            raise UserError(f"{got}: the parameters are for tokens of {self._channels}")
        return self._network

    def _made(self, channels: int) -> nn.Module:
        if self._weights is None:
            return self.make(channels, None)
        said = header(self._weights)
        if said.channels != channels:
            got = f"{self._weights} (for tokens of {said.channels} channels)"
            allowed = f"weights for tokens of {channels} channels, which the model's are"
            raise UserError(fault("compressor.weights", got, allowed))
        network = self.make(channels, said.grid)
        load(network, self._weights)
        return network

    def save(self, folder: Path) -> Path:
        """Write the parameters as `weights` takes them; returns the file.

        Raises UserError when it can't be written, and ValueError before there are any.
        """
        if self._network is None:
            raise ValueError("save: there are no parameters before tokens were seen")
        said = Said(self.method, self.settings, self._channels, self.grid)
        return write(self._network, said, folder)

    def restore(self, state: Mapping[str, Tensor], grid: tuple[int, int] | None) -> None:
        """Take up the `state_dict` of a network like this one. grid: what `grid` was then."""
        assert self._network is not None
        self._network.load_state_dict(state)

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

    def settle(self, pages: Sequence[VisionTokens], states: Tensor) -> None:
        """Before the first step: begin from real tokens what a fixed start does not suit.

        states: covariance [channels, channels] of the decoder's states at vision tokens, summed
        over its layers.
        """

    def start(self, pages: Sequence[VisionTokens]) -> None:
        """Make codebooks of these pages, as the parameters are now (k-means)."""

    def freeze(self, pages: Sequence[VisionTokens] = ()) -> None:
        """Keep codebooks as they are from now on; what is counted of them is counted on these."""

    def pending(self) -> list[Tensor]:
        """What `reduce` counted since the last step: tensors that several processes add up in
        place before `after_step`, the same ones in each.
        """
        return []

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
