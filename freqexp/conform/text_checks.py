"""What every method on a conversation that is given as text must hold."""

from __future__ import annotations

import math

import torch

from freqexp.conform.cases import KEEP_RATIOS, Case
from freqexp.conform.expect import expect

CONVERSATIONS = (["abc\n"], ["one\n", "twotwo\n", "three is longest\n", "4\n"])


def uses_the_keep_ratio_or_a_count(case: Case) -> None:
    """And no key of the profile."""
    config = case.config
    expect(config.uses_keep_ratio, "uses_keep_ratio is false")
    expect(config.uses_keep_tokens, "uses_keep_tokens is false")
    expect(not config.uses_budget, "uses_budget is true")
    expect(not config.uses_profile, "uses_profile is true")


def leaves_the_newest_turns(case: Case) -> None:
    """No more tokens than the keep ratio or a budget says, those of the text's end; nested."""
    for turns in CONVERSATIONS:
        whole, last = _tokenize("".join(turns)), 0
        for keep_ratio in KEEP_RATIOS:
            at = f"at keep_ratio {keep_ratio} of {len(turns)} turns: "
            method = case.build(keep_ratio)
            said = method.simulated == (keep_ratio == 1)
            expect(said, f"{at}simulated is {method.simulated}")
            kept = method.newest(turns, whole, _tokenize)
            most = max(1, math.floor(keep_ratio * len(whole) + 0.5))
            expect(1 <= len(kept) <= most, f"{at}{len(kept)} tokens, allowed: 1 to {most}")
            expect(torch.equal(kept, whole[-len(kept) :]), f"{at}not the end of the text")
            again = method.newest(turns, whole, _tokenize, most)
            expect(torch.equal(again, kept), f"{at}a budget of {most} gives other tokens")
            expect(len(kept) >= last, f"{at}fewer tokens than at a smaller one")
            last = len(kept)
        expect(last == len(whole), "at keep_ratio 1 tokens are lost")


def _tokenize(text: str) -> torch.Tensor:
    return torch.tensor([ord(letter) for letter in text], dtype=torch.int64)


CHECKS = (uses_the_keep_ratio_or_a_count, leaves_the_newest_turns)
