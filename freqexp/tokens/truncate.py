"""Truncation of a conversation that is given as text: the control of all that compresses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from freqexp.coding.share import check_keep_ratio, kept_count
from freqexp.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class Truncate:
    """The newest turns that fit a budget of text tokens; older ones go, whole and the oldest first.

    The newest turn always stays: where it is longer than the budget, its last tokens do. A question
    is no turn.
    """

    def __init__(self, keep_ratio: float = 0.5) -> None:
        """keep_ratio: share of the conversation's tokens. Raises ConfigError outside (0, 1]."""
        faults = check_keep_ratio(keep_ratio)
        if faults:
            raise ConfigError(faults)
        self.simulated = keep_ratio == 1
        self._keep_ratio = keep_ratio

    def newest(
        self,
        turns: Sequence[str],
        whole: Tensor,
        tokenize: Callable[[str], Tensor],
        budget: int | None = None,
    ) -> Tensor:
        """Tokens int64 [at most the budget] of the newest turns.

        turns: their texts, oldest first. whole: int64 [n], the tokens of all of them. tokenize:
        what makes tokens of a text. budget: in tokens; None: what the keep ratio makes of `whole`.
        """
        most = kept_count(len(whole), self._keep_ratio) if budget is None else budget
        if len(whole) <= most:
            return whole
        # Fewer turns make no more tokens, so the first turn that fits is found by halves.
        few, many = 0, len(turns) - 1
        while few < many:
            middle = (few + many) // 2
            tokens = tokenize("".join(turns[middle:]))
            if len(tokens) <= most:
                many = middle
            else:
                few = middle + 1
        return tokenize("".join(turns[few:]))[-most:]
