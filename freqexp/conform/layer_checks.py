"""What every method inside the decoder must hold."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from freqexp.conform.cases import KEEP_RATIOS, Case
from freqexp.conform.expect import each_thread_count, expect
from freqexp.conform.inputs import make_view


def uses_only_the_keep_ratio(case: Case) -> None:
    """And no key of the profile."""
    expect(case.config.uses_keep_ratio, "uses_keep_ratio is false")
    expect(not case.config.uses_profile, "uses_profile is true")


def keeps_what_it_says(case: Case) -> None:
    """As many as the keep ratio or a budget says, in order, deterministic, nested where it says
    so; what it sees is left alone.
    """
    for tokens in (1, 7, 144):
        view, last = make_view(tokens), set[int]()
        for keep_ratio in KEEP_RATIOS:
            at = f"at keep_ratio {keep_ratio} of {tokens} tokens: "
            method = case.build(keep_ratio)
            layer = getattr(case.config, "layer", None)
            expect(method.layer == layer, f"layer is {method.layer}, in the schema {layer}")
            said = method.simulated == (keep_ratio == 1)
            expect(said, f"{at}simulated is {method.simulated}")
            kept = method.choose(view)
            count = max(1, math.floor(keep_ratio * tokens + 0.5))
            form = (kept.dtype, tuple(kept.shape))
            expect(form == (torch.int64, (count,)), f"{at}{form}, allowed: int64 [{count}]")
            inside = int(kept[0]) >= 0 and int(kept[-1]) < tokens
            expect(inside and (kept[1:] > kept[:-1]).all(), f"{at}not increasing places")
            again = case.build(keep_ratio)
            chosen = [again.choose(view) for _ in each_thread_count()]
            same = all(torch.equal(places, kept) for places in chosen)
            expect(same, f"{at}other places of another object, or with other threads")
            budgeted = again.choose(replace(view, budget=count))
            expect(torch.equal(budgeted, kept), f"{at}a budget of {count} gives other places")
            nested = not method.nested or last <= set(kept.tolist())
            expect(nested, f"{at}`nested`, and the sets are not")
            last = set(kept.tolist())
            for name in ("hidden", "keys", "query", "vision"):
                same = torch.equal(getattr(view, name), getattr(make_view(tokens), name))
                expect(same, f"{at}{name} was changed")


CHECKS = (uses_only_the_keep_ratio, keeps_what_it_says)
