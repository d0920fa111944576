"""Quantised keys and values: fewer bits a number, no token leaves."""

from __future__ import annotations

from freqexp.errors import ConfigError, fault
from freqexp.kv.base import KVMethod
from freqexp.kv.checks import check_layer, check_scope, in_scope
from freqexp.kv.quantised import RESIDUAL, Quantised, check_groups
from freqexp.kv.stored import at, beside_text
from freqexp.nouns.cache import Asked, LayerCache, StoredLayer


class Kivi(KVMethod):
    """KIVI (arXiv 2402.02750): packed codes of `bits` bits, and for each group of numbers a step
    and the smallest of them. Groups are `group` tokens of a key's channel, and `group` channels of
    a token's value.

    Of T keys the last T mod R stay as they are, R = `residual`, of values the last R; each number
    is quantised once. values: "channel" groups them as the keys, which arXiv 2503.16257 found
    better in vision-language models. scope: of "vision" only pages' tokens are quantised, and new
    ones stay as they are. Departures from the paper's code: steps and smallest numbers are
    bfloat16, and a full window is quantised before the step that fills it is read, not after.
    """

    simulated = False

    def __init__(
        self,
        bits: int = 4,
        group: int | None = None,
        residual: int = RESIDUAL,
        values: str = "token",
        scope: str = "all",
        question: Asked = "unseen",
    ) -> None:
        """Check and keep the settings. group: None is 32 tokens, and of channels the most up to 32
        that divide a head's. Raises ConfigError naming every value outside what is allowed.
        """
        faults = check_groups(bits, group, residual)
        if values not in ("token", "channel"):
            faults.append(fault("values", values, "token, channel"))
        faults += check_scope(scope)
        if faults:
            raise ConfigError(faults)
        super().__init__(question)
        self._bits, self._group, self._residual = bits, group, residual
        self._by_channel = values == "channel"
        self._scope = scope

    def compress(self, layer: LayerCache) -> StoredLayer:
        """See `KVMethod`. Raises ConfigError for a group that does not divide the channels."""
        check_layer(layer)
        keys, values = layer.keys, layer.values
        if self._scope == "vision":
            scope = in_scope(layer, self._scope)
            keys, values = at(keys, scope), at(values, scope)
        packed = Quantised(keys, values, self._bits, self._group, self._residual, self._by_channel)
        return packed if self._scope == "all" else beside_text(packed, layer)
