"""A learned compressor with running statistics, as a quantiser has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.schemas.method import CompressorConfig, StageName
from freqexp.schemas.profile import ProfileConfig
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.learned import LearnedCompressor, Reduced


class Statistics(nn.Module):
    """mean: a moving average of tokens. seen: how many pages made it. frozen: it moves no more."""

    mean: Tensor
    seen: Tensor
    frozen: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("frozen", torch.tensor(False))


class Centred(LearnedCompressor):
    """Every second token, each channel scaled around its moving average.

    started, froze, house: calls of `start`, `freeze` and `after_step`.
    """

    method = "centred"
    simulated = False
    adaptive = True
    quantises = True

    def __init__(self, weights: str | None = None) -> None:
        super().__init__(weights)
        self.started = self.froze = self.house = 0

    @property
    def settings(self) -> Mapping[str, object]:
        return {}

    def make(self, channels: int, grid: tuple[int, int] | None) -> nn.Module:
        return Statistics(channels)

    def reduce(self, tokens: VisionTokens) -> Reduced:
        network = self.network_at(tokens.features)
        assert isinstance(network, Statistics)
        kept = torch.arange(0, len(tokens.features), 2)
        features = tokens.features[kept]
        if network.training and not bool(network.frozen):
            with torch.no_grad():
                network.mean.lerp_(features.mean(dim=0), 0.1)
                network.seen += 1
        mean = network.mean.clone()
        found = mean + network.scale * (features - mean)
        levels = tuple(level[kept] for level in tokens.deepstack)
        return Reduced(found, kept, levels, network.scale.square().mean())

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        found = self.reduced(tokens)
        return CompressedTokens(
            found.features, found.kept, tokens.grid, deepstack=found.deepstack, stored_bytes=1
        )

    def start(self, pages: Sequence[VisionTokens]) -> None:
        network = self.network_at(pages[0].features)
        assert isinstance(network, Statistics)
        network.mean.copy_(torch.cat([page.features for page in pages]).mean(dim=0))
        self.started += 1

    def freeze(self, pages: Sequence[VisionTokens] = ()) -> None:
        assert isinstance(self._network, Statistics)
        self._network.frozen.fill_(True)
        self.froze += 1

    def after_step(self) -> Mapping[str, float]:
        self.house += 1
        assert isinstance(self._network, Statistics)
        return {"pages": float(self._network.seen)}


@dataclass
class CentredConfig(CompressorConfig):
    """Schema of `Centred`."""

    name: str = "centred"
    stage: ClassVar[StageName] = "token"

    @property
    def adaptive(self) -> bool:
        return True

    def build(self, keep_ratio: float, profile: ProfileConfig) -> TokenCompressor:
        return Centred()
