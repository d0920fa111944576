"""What methods that evict tokens from the cache share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from freqexp.coding.share import check_keep_ratio, kept_count
from freqexp.errors import BudgetError, ConfigError, UserError, fault
from freqexp.kv.base import KVMethod
from freqexp.kv.checks import check_layer, check_scope, in_scope
from freqexp.kv.quantised import Quantised, check_bits
from freqexp.kv.stored import Exact, at, beside_text
from freqexp.nouns.cache import Asked, LayerCache, StoredLayer


@dataclass(frozen=True)
class Eviction:
    """What every eviction is told.

    keep_ratio: share of the tokens in scope that stay in each layer and head, in (0, 1].
    scope: "all" tokens of what is compressed, or "vision": only those of pages may leave.
    question: see `CacheCompressor`. bits: what stays in scope is quantised besides, see
    `Quantised`; None: it stays as it is.
    """

    keep_ratio: float = 0.5
    scope: str = "all"
    question: Asked = "unseen"
    bits: int | None = None

    def faults(self) -> list[str]:
        """One line for each value that is not allowed."""
        found = check_keep_ratio(self.keep_ratio) + check_scope(self.scope)
        return found + ([] if self.bits is None else check_bits(self.bits))


class Evictor(KVMethod):
    """Keeps K = floor(keep_ratio N + 0.5) of the N tokens in scope (at least 1), or as many as
    `LayerCache.budget` says: those of `always`, and of the rest the ones with the highest scores,
    each KV head its own. Ties go by place. Tokens out of scope all stay.

    Keys keep the rotation of their place in the whole prompt.
    """

    evicts = True

    holds: str = ""
    """The setting by which tokens stay whatever their score; "" where none do."""

    def __init__(self, settings: Eviction, *faults: str) -> None:
        """Keep the settings. faults: of the method's own settings.

        Raises ConfigError naming every value outside what is allowed.
        """
        found = [*settings.faults(), *faults]
        if found:
            raise ConfigError(found)
        super().__init__(settings.question)
        self.settings = settings
        self.simulated = settings.keep_ratio == 1 and settings.bits is None

    @abstractmethod
    def score(self, layer: LayerCache) -> Tensor:
        """Float [KV heads, L], the highest stay."""

    def always(self, layer: LayerCache) -> Tensor:
        """Bool [L]: tokens that stay whatever their score."""
        return torch.zeros_like(layer.vision)

    def count(self, layer: LayerCache, tokens: int) -> int:
        """K. Raises BudgetError for a budget outside 1 to N."""
        if layer.budget is None:
            return kept_count(tokens, self.settings.keep_ratio)
        if not 1 <= layer.budget <= tokens:
            allowed = f"1 to the {tokens} tokens in scope"
            raise BudgetError(fault("keep_tokens", layer.budget, allowed))
        return layer.budget

    def places(self, layer: LayerCache) -> tuple[Tensor, Tensor]:
        """int64 [KV heads, K], increasing: which tokens in scope stay; int64 [N]: the scope.

        Raises what `compress` raises.
        """
        check_layer(layer)
        scope = in_scope(layer, self.settings.scope)
        count = self.count(layer, len(scope))
        safe = self.always(layer)[scope]
        least = int(safe.sum())
        if count < least:
            share = f"keep_ratio {self.settings.keep_ratio:g} of {len(scope)} tokens"
            said = share if layer.budget is None else f"keep_tokens {layer.budget}"
            allowed = f"at least the {least} that always stay ({self.holds})"
            raise BudgetError(f"KV cache: {said} leaves {count}, allowed: {allowed}")
        scores = self.score(layer).double()
        if not torch.isfinite(scores).all():
            raise UserError("KV cache: the scores hold NaN or infinity; try a wider dtype")
        scores = scores.index_select(1, scope).masked_fill(safe, torch.inf)
        order = torch.sort(scores, dim=1, descending=True, stable=True).indices
        return scope[order[:, :count].sort(dim=1).values], scope

    def compress(self, layer: LayerCache) -> StoredLayer:
        """See `KVMethod`. Raises BudgetError for fewer tokens than always stay, besides."""
        kept, scope = self.places(layer)
        bits = self.settings.bits
        if bits is None:
            rest = torch.ones_like(layer.vision)
            rest[scope] = False
            others = rest.nonzero()[:, 0]
            everything = torch.cat([kept, others.expand(len(kept), -1)], dim=1)
            kept = everything.sort(dim=1).values
            return Exact(at(layer.keys, kept), at(layer.values, kept))
        packed = Quantised(at(layer.keys, kept), at(layer.values, kept), bits)
        return packed if self.settings.scope == "all" else beside_text(packed, layer)
