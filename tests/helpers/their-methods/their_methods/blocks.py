"""A reader without a model: it tells how much of a page's blocks is ink."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.base import Answer, Reader
from freqexp.readers.check import check_tokens
from freqexp.schemas.outside_model import OutsideModelConfig


class BlockReader(Reader):
    """Answers with the mean ink of the tokens it is given. settings.side: of a block, in pixels."""

    signals = ("pixels",)

    def __init__(self, side: int, max_new_tokens: int) -> None:
        self._side, self._longest = side, max_new_tokens

    @classmethod
    def load(cls, config: OutsideModelConfig) -> BlockReader:
        return cls(int(config.settings.get("side", 28)), config.max_new_tokens)

    def encode(
        self,
        pages: Sequence[Pixels],
        signals: Sequence[Signal] = (),
        chooser: Chooser | None = None,
    ) -> list[VisionTokens]:
        if not pages:
            raise UserError("sample: got no pages, allowed: at least one")
        return [self._page(page, signals) for page in pages]

    def _page(self, page: Pixels, signals: Sequence[Signal]) -> VisionTokens:
        gray = page if page.ndim == 2 else page.mean(axis=2).astype(np.uint8)
        side = self._side
        rows, columns = (-(-size // side) for size in gray.shape)
        whole = np.full((rows * side, columns * side), 255, np.uint8)
        whole[: gray.shape[0], : gray.shape[1]] = gray
        cut = whole.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        blocks = torch.from_numpy(cut.copy())
        ink = 1 - blocks.float().flatten(1) / 255
        features = torch.stack([ink.mean(1), ink.std(1), ink.amax(1), ink.amin(1)], dim=1)
        shown = {"pixels": blocks[..., None].expand(-1, -1, -1, 3)} if signals else {}
        return VisionTokens(features, (rows, columns), signals=shown)

    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        check_tokens(vision, channels=4, deepstack=0)
        started = time.perf_counter()
        ink = torch.cat([page.features[:, 0] for page in vision]).mean()
        kept = sum(len(page.kept) for page in vision)
        words = f"{question.split()[0]} {100 * ink:.1f} % ink"
        return Answer(
            text=words[: self._longest],
            truncated=len(words) > self._longest,
            vision_tokens_in=sum(page.grid[0] * page.grid[1] for page in vision),
            vision_tokens_out=kept,
            decoder_tokens=kept + len(question.split()),
            kv_cache_bytes=None,
            prefill_ms=1000 * (time.perf_counter() - started),
            decode_ms=0.0,
            new_tokens=1,
        )
