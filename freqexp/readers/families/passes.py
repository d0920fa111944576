"""A batch of prompts as the model is given it: at once, or the pages before the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from freqexp.readers.decoding import Prompt, pad_left

Padded = tuple[Tensor, Tensor, Tensor]


class Passes:
    """Prompts, padded on the left; with cuts both of their parts are.

    cuts: of each prompt the length of its first part; None: there is one part.
    parts: ids [batch, length], mask of the same shape, and positions [axes, batch, length] of each.
    padding: of each part and prompt, how many tokens of its row are none of its own.
    """

    def __init__(self, prompts: Sequence[Prompt], cuts: Sequence[int] | None = None) -> None:
        pieces = [list(prompts)]
        if cuts is not None:
            pairs = zip(prompts, cuts, strict=True)
            pieces = [list(piece) for piece in zip(*(_cut(*pair) for pair in pairs), strict=True)]
        self.lengths = [[len(prompt.ids) for prompt in piece] for piece in pieces]
        # A row is padded with its own last token: masked out as it is, unlike a common padding
        # token it adds nothing to the tokens that a repetition penalty finds in the prompt.
        fill = [int(prompt.ids[-1]) for prompt in prompts]
        self.parts = [pad_left(piece, fill) for piece in pieces]
        self.padding = [[max(part) - length for length in part] for part in self.lengths]

    @property
    def total_padding(self) -> list[int]:
        """Of each prompt, over all parts."""
        return [sum(part) for part in zip(*self.padding, strict=True)]

    def joined(self) -> Padded:
        """All parts one after the other."""
        ids, mask, positions = (torch.cat(parts, dim=-1) for parts in zip(*self.parts, strict=True))
        return ids, mask, positions


def _cut(prompt: Prompt, length: int) -> tuple[Prompt, Prompt]:
    ids, positions, places = prompt.ids, prompt.positions, prompt.places
    first, second = slice(length), slice(length, None)
    pages = replace(prompt, ids=ids[first], positions=positions[:, first], places=places[first])
    rest = replace(prompt, ids=ids[second], positions=positions[:, second], places=places[second])
    return pages, rest
