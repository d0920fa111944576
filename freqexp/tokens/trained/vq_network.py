"""The network of a vector quantiser: a merge before it, codebooks of each band, the mean token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from freqexp.tokens.trained.books import Books
from freqexp.tokens.trained.codes import Codes, left_of
from freqexp.tokens.trained.fit import fitted
from freqexp.tokens.trained.index_coder import contexts_of
from freqexp.tokens.trained.merging import Merging, make_merging
from freqexp.tokens.trained.prior import prior_of
from freqexp.tokens.trained.settings import VqSettings

Grid = tuple[int, int]


class VqNetwork(nn.Module):
    """merging: of groups, None for groups of one. bands: codebooks. center_rows [rows, channels]
    and center_columns [columns, channels]: see `Codes`. begun: whether there are codebooks. frozen:
    whether these stay as they are. steps: how often they moved.
    """

    center_rows: Tensor
    center_columns: Tensor
    begun: Tensor
    frozen: Tensor
    steps: Tensor

    def __init__(self, settings: VqSettings, channels: int, grid: Grid) -> None:
        """grid: of the (merged) tokens that there is a mean for; (1, 1): one mean for all.

        Raises UserError for channels that the merge can't take.
        """
        super().__init__()
        self._settings = settings
        self.merging: Merging | None = None
        if settings.merge.size > 1:
            self.merging = make_merging(settings.merge, channels)
        joint = settings.kind == "additive"
        self.bands = nn.ModuleList(
            Books(count, settings.codes, channels, joint) for count in settings.per_band
        )
        self.register_buffer("center_rows", torch.zeros(grid[0], channels))
        self.register_buffer("center_columns", torch.zeros(grid[1], channels))
        self.register_buffer("begun", torch.tensor(False))
        self.register_buffer("frozen", torch.tensor(False))
        self.register_buffer("steps", torch.tensor(0))
        self._made: Codes | None = None

    @property
    def books(self) -> list[Books]:
        """Of each band."""
        return [band for band in self.bands if isinstance(band, Books)]

    def codes(self) -> Codes:
        """What pages are coded with now; the same object as long as nothing trains."""
        if self._made is None or self.training:
            books = tuple(band.rounded() for band in self.books)
            priors = tuple(band.prior() for band in self.books)
            self._made = Codes(self._group, self._settings.edges, books, self._center(), priors)
        return self._made

    def train(self, mode: bool = True) -> Self:
        """See `nn.Module.train`."""
        self._made = None if mode else self._made
        return super().train(mode)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """What moves and converts a module's tensors."""
        self._made = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """See `nn.Module.load_state_dict`. Raises ValueError for a prior that there is none of."""
        self._made = None
        found = super().load_state_dict(*args, **kwargs)
        if not all(band.prior().valid for band in self.books):
            raise ValueError("a class or a probability that no prior has")
        return found

    @property
    def _group(self) -> Grid:
        return self._settings.merge.rows, self._settings.merge.columns

    def _center(self) -> tuple[Tensor, Tensor] | None:
        if not self._settings.center:
            return None
        return self.center_rows.to(torch.float16), self.center_columns.to(torch.float16)

    def begin(self, pages: Sequence[Tensor], grids: Sequence[Grid]) -> None:
        """Make mean tokens, codebooks and priors of pages [n, channels] of (merged) tokens."""
        if self._settings.center:
            self._find_center(pages, grids)
        books = tuple(band.rounded() for band in self.books)
        empty = Codes(self._group, self._settings.edges, books, self._center())
        parts = [empty.split(page, grid) for page, grid in zip(pages, grids, strict=True)]
        kind, beam = self._settings.kind, self._settings.beam
        for number, band in enumerate(self.books):
            vectors = torch.cat([part[number] for part in parts])
            count, size = band.codes.shape[:2]
            if not count:
                continue
            if len(vectors) < size:
                raise ValueError(f"start: got {len(vectors)} vectors, allowed: {size} or more")
            band.codes.copy_(fitted(vectors, kind, count, size, beam))
        self.begun.fill_(True)
        self._made = None
        indices = [self.codes().assign(part, beam, kind == "additive") for part in parts]
        for number, band in enumerate(self.books):
            vectors = torch.cat([part[number] for part in parts])
            band.begin(vectors, torch.cat([found[number] for found in indices]), len(pages))
        self.count(indices, grids)

    def _find_center(self, pages: Sequence[Tensor], grids: Sequence[Grid]) -> None:
        """Mean tokens of rows and of columns, where all pages have one grid."""
        one = len(set(grids)) == 1
        rows, columns = grids[0] if one else (1, 1)
        whole = torch.cat(list(pages)).double().mean(dim=0)
        self.center_rows = whole.float().repeat(rows, 1)
        self.center_columns = torch.zeros_like(self.center_rows[:1]).repeat(columns, 1)
        if one:
            cells = torch.stack(list(pages)).double().mean(dim=0).view(rows, columns, -1)
            self.center_rows.copy_(cells.mean(dim=1))
            self.center_columns.copy_(cells.mean(dim=0) - whole)

    def count(self, indices: Sequence[Sequence[Tensor]], grids: Sequence[Grid]) -> None:
        """Make the priors of what pages were coded with, indices [n, M] of each band."""
        codes = self.codes()
        lefts = {grid: left_of(codes.bands(grid), grid[1]) for grid in grids}
        for number, band in enumerate(self.books):
            size = band.codes.shape[1]
            if not len(band.codes):
                continue
            found = [page[number].cpu().numpy() for page in indices]
            contexts = [
                contexts_of(index, lefts[grid][number], size)
                for index, grid in zip(found, grids, strict=True)
            ]
            band.set_prior(prior_of(np.concatenate(found), np.concatenate(contexts), size))
        self._made = None

    def observe(self, parts: Sequence[Tensor], indices: Sequence[Tensor]) -> None:
        """Take in what a page was coded with, unless the codebooks are frozen."""
        if not self.frozen:
            for band, part, index in zip(self.books, parts, indices, strict=True):
                band.observe(part, index)

    def step(self) -> Mapping[str, float]:
        """Move the codebooks, and say how they are used."""
        if not self.begun:
            return {}
        given = self._settings
        figures: dict[str, float] = {}
        for band in self.books:
            if not self.frozen:
                band.step(given.decay)
            for usage, perplexity in band.figures(given.expire):
                number = len(figures) // 2 + 1
                figures |= {f"usage_{number}": usage, f"perplexity_{number}": perplexity}
            if not self.frozen:
                band.replace(given.expire, int(self.steps))
        if not self.frozen:
            self.steps += 1
        return figures
