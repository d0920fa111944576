from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch

from freqexp.answering.budget import PageBudgets, spread_budget
from freqexp.composing.compose import compose
from freqexp.errors import BudgetError
from freqexp.nouns.vision import VisionTokens
from freqexp.schemas.compressor import adaptive_options


def grid(rows: int, columns: int) -> VisionTokens:
    generator = torch.Generator().manual_seed(rows)
    pixels = torch.randint(0, 2, (rows * columns, 2, 2, 3), generator=generator)
    pixels[::2] = 0
    features = torch.randn(rows * columns, 4, generator=generator)
    return VisionTokens(features, (rows, columns), signals={"pixels": pixels.to(torch.uint8)})


def test_a_count_is_spread_in_proportion() -> None:
    for sizes in itertools.product((1, 4, 9, 30), repeat=2):
        for budget in range(2, sum(sizes) + 1):
            counts = spread_budget(budget, sizes)
            assert sum(counts) == budget
            for size, count in zip(sizes, counts, strict=True):
                assert 1 <= count <= size
                share = Fraction(budget * size, sum(sizes))
                if min(Fraction(budget * s, sum(sizes)) for s in sizes) >= 1:
                    assert abs(count - share) < 1


def test_each_page_gets_the_count_and_a_smaller_page_is_refused() -> None:
    budgets = PageBudgets(compose(["compressor=pool", "keep_tokens=10"]))
    assert [g.budget for g in budgets.applied([grid(4, 4), grid(3, 8)], 1)] == [10, 10]
    assert [g.budget for g in budgets.applied([grid(2, 4), grid(4, 8)], 2)] == [2, 8]
    with pytest.raises(BudgetError, match=r"keep_tokens: got 10, allowed: 1 to the page's 9 token"):
        budgets.applied([grid(4, 4), grid(3, 3)], 1)


def test_each_page_gets_the_count_of_an_adaptive_method() -> None:
    cfg = compose(["compressor=pool", "keep_like=blank_prune"])
    budgets = PageBudgets(cfg)
    assert budgets.signals == ("pixels",)
    pages = [grid(4, 4), grid(3, 8)]
    like = adaptive_options()["blank_prune"].build(1.0, cfg.profile)
    expected = [len(like.compress(page).kept) for page in pages]  # type: ignore[union-attr, arg-type]
    assert [page.budget for page in budgets.applied(pages, 1)] == expected
