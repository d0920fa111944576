"""How many tokens of each page stay, where a count of tokens says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from freqexp.config.budget import acting_budget
from freqexp.errors import BudgetError, fault
from freqexp.nouns.vision import Signal, VisionTokens
from freqexp.schemas.compressor import adaptive_options
from freqexp.tokens.base import TokenCompressor

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig


class PageBudgets:
    """The budgets of a run's pages, by its `keep_tokens` or `keep_like`.

    acts: whether one of them says how many tokens stay. signals: what counting needs beside the
    features.
    """

    def __init__(self, cfg: RunConfig) -> None:
        budget = acting_budget(cfg)
        # A count that is not of vision tokens is of tokens in the cache.
        self._count = budget.keep_tokens if cfg.compressor.uses_budget else None
        self._like: TokenCompressor | None = None
        if budget.keep_like is not None:
            built = adaptive_options()[budget.keep_like].build(1.0, cfg.profile)
            assert isinstance(built, TokenCompressor)
            self._like = built
        self.acts = self._count is not None or self._like is not None
        self.counts = self._count is not None
        self.signals: tuple[Signal, ...] = () if self._like is None else self._like.signals

    def applied(self, vision: Sequence[VisionTokens], grids_a_page: int) -> list[VisionTokens]:
        """The grids of whole pages, `grids_a_page` each and in a row, with their budgets.

        A count for a page is spread over its grids (`spread_budget`). Raises BudgetError for a
        page with fewer tokens than that count, or more grids.
        """
        if self._like is not None:
            like = self._like
            return [replace(grid, budget=len(like.compress(grid).kept)) for grid in vision]
        if self._count is None:
            return list(vision)
        found = []
        for start in range(0, len(vision), grids_a_page):
            page = vision[start : start + grids_a_page]
            sizes = [grid.grid[0] * grid.grid[1] for grid in page]
            if not len(page) <= self._count <= sum(sizes):
                allowed = f"{len(page)} to the page's {sum(sizes)} tokens"
                raise BudgetError(fault("keep_tokens", self._count, allowed))
            shares = spread_budget(self._count, sizes)
            found += [replace(g, budget=n) for g, n in zip(page, shares, strict=True)]
        return found


def spread_budget(budget: int, sizes: Sequence[int]) -> list[int]:
    """`budget` tokens over grids of these sizes, in proportion to them and at least 1 each: the
    largest remainders are rounded up, of equal ones the first.

    The budget is at least one token a grid and at most all of them.
    """
    total = sum(sizes)
    counts = [max(1, budget * size // total) for size in sizes]
    while sum(counts) > budget:
        counts[counts.index(max(counts))] -= 1
    remainders = [budget * size - count * total for size, count in zip(sizes, counts, strict=True)]
    order = sorted(range(len(sizes)), key=lambda index: -remainders[index])
    for index in order[: budget - sum(counts)]:
        counts[index] += 1
    return counts
