"""What methods that rank, choose or merge a share of the tokens get from their base classes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.dct import TokenDct
from freqexp.tokens.energy_prune import EnergyPrune
from freqexp.tokens.scorer import Scorer, Selector


class Given(Scorer):
    """Scores that were handed in."""

    def __init__(self, scores: Tensor, keep_ratio: float = 0.5, *faults: str) -> None:
        super().__init__(keep_ratio, *faults)
        self._scores = scores

    def score(self, tokens: VisionTokens) -> Tensor:
        return self._scores


class Last(Selector):
    """The last tokens, in falling order, once it has seen the page's pixels."""

    signals = ("pixels",)

    def select(self, tokens: VisionTokens, count: int) -> Tensor:
        return torch.arange(len(tokens.features)).flip(0)[:count]


def page(size: int = 6, **changes: object) -> VisionTokens:
    features = torch.arange(4.0 * size).view(size, 4)
    return VisionTokens(features, (1, size), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
def test_the_highest_stay_and_ties_go_to_the_lower_place(dtype: torch.dtype) -> None:
    scores = torch.tensor([0, 1, 0, 1, 1, 0]).to(dtype)
    for budget, kept in ((1, [1]), (2, [1, 3]), (3, [1, 3, 4]), (4, [0, 1, 3, 4])):
        result = Given(scores).compress(page(budget=budget))
        assert result.kept.tolist() == kept
        assert torch.equal(result.features, page().features[kept])
        assert result.stored_bytes is not None
        assert result.nominal_ratio == 6 / budget


def test_infinite_scores_are_scores_and_nan_is_none() -> None:
    scores = torch.tensor([0.0, -torch.inf, torch.inf, 1.0, -torch.inf, 2.0])
    assert Given(scores).compress(page()).kept.tolist() == [2, 3, 5]
    scores[0] = torch.nan
    with pytest.raises(UserError, match="the scores hold NaN"):
        Given(scores).compress(page())
    for wrong in (torch.zeros(5), torch.zeros(6, 1), torch.zeros(())):
        with pytest.raises(ValueError, match=r"scores: got shape \[.*\], allowed: \[6\]"):
            Given(wrong).compress(page())


def test_faults_come_out_at_once_and_a_whole_share_is_simulated() -> None:
    with pytest.raises(ConfigError) as caught:
        Given(torch.zeros(6), 1.5, "seed: got -1, allowed: 0 or more")
    assert len(caught.value.faults) == 2
    assert not Given(torch.zeros(6), 0.99).simulated
    whole = Given(torch.full((6,), torch.nan), 1.0)
    assert whole.simulated
    assert whole.compress(page()).kept.tolist() == list(range(6))


def test_signals_are_asked_for_before_the_choice() -> None:
    with pytest.raises(ValueError, match="got no signals, allowed: those with pixels"):
        Last().compress(page())
    given = page(signals={"pixels": torch.zeros(6, 1, 1, 3, dtype=torch.uint8)})
    assert Last(0.3).compress(given).kept.tolist() == [4, 5]


@pytest.mark.parametrize("energy", ["l2", "l1"])
def test_energy_pruning_is_that_of_token_alone(energy: str) -> None:
    features = torch.randn(35, 8, generator=torch.Generator().manual_seed(0))
    tokens = VisionTokens(features, (5, 7))
    for ratio in (0.1, 0.5, 1.0):
        one = EnergyPrune(ratio, energy).compress(tokens)
        other = TokenDct(ratio, transform=False, quantize=False, energy=energy).compress(tokens)
        assert torch.equal(one.kept, other.kept)
        assert torch.equal(one.features, other.features)
        assert one.stored_bytes == other.stored_bytes
    with pytest.raises(ConfigError, match="energy: got 'l3', allowed: l2, l1"):
        EnergyPrune(0.5, "l3")
