"""LLaVA-OneVision (arXiv 2408.03326): pages at any resolution, one position a token.

A page becomes two grids, two entries of what `encode` gives, in this order:
- the base grid: the whole page squeezed into one square crop, so its shape is the same for every
  page.
- the detail grid: the page at the best of the model's resolutions, cut into crops, put together
  again without the padding, and made smaller where it exceeds the model's limit. Its rows and
  columns follow the page's shape.
A compressor thus always sees a rectangular grid whose neighbours are neighbours on the page, and
its keep ratio holds for each of the two grids.

The model ends every row of the detail grid with one learned newline vector. It is not an image
feature, so no compressor sees it: a row's newline stays while a token of the row does. Counted as
vision tokens it is, before and after, because the decoder's sequence holds it.

Every page is cut this way, however many there are: what the family's own processor does with a
flat list of images. Handed a nested list, it gives each of several images the base grid alone,
at which no page of text can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freqexp.errors import UserError, fault
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.base import Request
from freqexp.readers.check import check_tokens
from freqexp.readers.decoding import Prompt
from freqexp.readers.families.crops import looks, pixels, tap
from freqexp.readers.families.hf import HfReader
from freqexp.readers.families.signals import of_attention
from freqexp.readers.weights import Parts, load_parts

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig


class LlavaOnevisionReader(HfReader):
    """A `LlavaOnevisionForConditionalGeneration`."""

    grids_a_page = 2

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        super().__init__(parts, config)
        vision = self.model.config.vision_config
        side = int(vision.image_size) // int(vision.patch_size)
        self.base_grid = (side, side)
        self._check_resolutions()

    @classmethod
    def load(cls, config: ModelConfig) -> LlavaOnevisionReader:
        """Load `config.path`. Raises UserError, see `load_parts`, and for page limits, which the
        model's resolutions leave no room for.
        """
        from transformers import LlavaOnevisionForConditionalGeneration
        from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
            LlavaOnevisionImageProcessorPil,
        )

        for field in ("min_pixels", "max_pixels"):
            if getattr(config, field) is not None:
                allowed = "null for LLaVA-OneVision, which brings every page to its resolutions"
                raise UserError(fault(f"model.{field}", getattr(config, field), allowed))
        parts = load_parts(
            config,
            ["llava_onevision"],
            LlavaOnevisionForConditionalGeneration,
            LlavaOnevisionImageProcessorPil,
        )
        return cls(parts, config)

    def _check_resolutions(self) -> None:
        """The model cuts off crops without a word when its processor made others than it expects.

        Raises UserError.
        """
        size = self.processor.size
        crop = [size["height"], size["width"]] if "height" in size else [size["shortest_edge"]] * 2
        expected = [int(self.model.config.vision_config.image_size)] * 2
        pairs = [
            ("crops", crop, expected),
            (
                "resolutions",
                [list(pair) for pair in self.processor.image_grid_pinpoints],
                [list(pair) for pair in self.model.config.image_grid_pinpoints],
            ),
        ]
        for name, own, wanted in pairs:
            if own != wanted:
                raise UserError(
                    f"model.path: the image processor's {name} {own} differ from the model's "
                    f"{wanted}"
                )

    def encode_page(
        self, page: Pixels, signals: Sequence[Signal], chooser: Chooser | None
    ) -> list[VisionTokens]:
        """Base and detail grid of one page [height, width] or [height, width, 3] uint8."""
        height, width = page.shape[:2]
        color = page[..., None].repeat(3, axis=-1) if page.ndim == 2 else page
        model = self.model.model
        try:
            inputs = self.processor(
                images=[color], return_tensors="pt", input_data_format="channels_last"
            ).to(self.device)
            crops, sizes = inputs["pixel_values"], inputs["image_sizes"]
            with tap(model) if of_attention(signals) else nullcontext() as seen:
                output = model.get_image_features(crops.to(self.model.dtype), sizes)
            grids = self._unpack(output.pooler_output[0])
        except torch.OutOfMemoryError:
            raise
        except (ValueError, RuntimeError, ZeroDivisionError) as error:
            allowed = "a page that leaves tokens at the model's resolutions"
            raise UserError(f"got {width} x {height} px, allowed: {allowed} ({error})") from error
        found: list[dict[Signal, Tensor]] = [{}, {}]
        if seen is not None:
            found = looks(model, seen, sizes, signals)
        if "pixels" in signals:
            squares = pixels(model, self.processor, crops[0], sizes)
            for own, grid in zip(found, squares, strict=True):
                own["pixels"] = grid
        return [replace(grid, signals=own) for grid, own in zip(grids, found, strict=True)]

    def _unpack(self, packed: Tensor) -> list[VisionTokens]:
        """Base and detail grid of packed [base + rows * (columns + 1), channels].

        The shape is read off where the newlines are, not computed again.
        Raises ValueError unless they make a grid.
        """
        count = self.base_grid[0] * self.base_grid[1]
        base, detail = packed[:count], packed[count:]
        newline = self.model.model.image_newline.to(packed)
        ends = (detail == newline).all(dim=-1).nonzero()[:, 0]
        rows = len(ends)
        columns = int(ends[0]) if rows else 0
        expected = torch.arange(1, rows + 1, device=ends.device) * (columns + 1) - 1
        if columns < 1 or len(detail) != rows * (columns + 1) or not torch.equal(ends, expected):
            raise ValueError(f"{len(detail)} vectors with {rows} newlines make no grid")
        features = detail.view(rows, columns + 1, -1)[:, :-1].flatten(0, 1)
        return [VisionTokens(base, self.base_grid), VisionTokens(features, (rows, columns))]

    def positions(self, ids: Tensor, vision: Sequence[CompressedTokens]) -> Tensor:
        """Place in the full sequence [1, length]."""
        return torch.arange(len(ids), device=ids.device)[None]

    def position_ids(self, positions: Tensor) -> Tensor:
        """Positions [batch, length] of [1, batch, length]."""
        return positions[0]

    def encoder_output(self, vision: Sequence[CompressedTokens]) -> Any:
        """Kept features of each page in the order of its placeholders, newlines among them."""
        newline = self.model.model.image_newline
        pages = []
        for base, detail in _pairs(vision):
            places, ends = _detail_places(detail)
            lines = newline.to(detail.features).expand(len(ends), -1)
            order = torch.cat([places, ends]).argsort()
            pages.append(torch.cat([base.features, torch.cat([detail.features, lines])[order]]))
        return SimpleNamespace(pooler_output=tuple(pages))

    def pages_prompt(self, request: Request) -> Prompt:
        """The shortened sequence of a request, every token at its place in the full one."""
        self._check(request.vision)
        pairs = _pairs(request.vision)
        sizes = [_size(base) + _size(detail, newlines=True) for base, detail in pairs]
        ids = self.prompt_ids(request.question, sizes)
        is_image = ids == self.image_id
        stays, content = ~is_image, torch.zeros_like(is_image)
        for place, (base, detail) in zip(is_image.nonzero()[:, 0].split(sizes), pairs, strict=True):
            places, ends = (_size(base) + inside for inside in _detail_places(detail))
            content[place[torch.cat([base.kept, places]).to(place.device)]] = True
            stays[place[ends.to(place.device)]] = True
        stays |= content
        short = ids[stays]
        self._check_length(len(short), len(ids))
        kept = int((short == self.image_id).sum())
        positions = self.positions(ids, request.vision)[:, stays]
        content = content[stays].nonzero()[:, 0]
        end = int((short == self.image_id).nonzero()[-1]) + 1
        return Prompt(short, positions, sum(sizes), kept, content, stays.nonzero()[:, 0], end)

    def prompt_tokens(self, request: Request) -> int | None:
        """Length of the sequence the decoder would see, without tokenizing twice."""
        if request.text is not None:
            return super().prompt_tokens(request)
        self._check(request.vision)
        pairs = _pairs(request.vision)
        kept = [
            len(base.kept) + sum(len(places) for places in _detail_places(detail))
            for base, detail in pairs
        ]
        return len(self.prompt_ids(request.question, [0] * len(pairs))) + sum(kept)

    def _check(self, vision: Sequence[CompressedTokens]) -> None:
        check_tokens(vision, self.model.config.get_text_config().hidden_size, 0)
        grids = [grid.grid for grid in vision]
        if len(vision) % 2 or any(grid != self.base_grid for grid in grids[::2]):
            rows, columns = self.base_grid
            raise UserError(
                f"sample: got grids {grids}, allowed: for each page a base grid of {rows} x "
                f"{columns} and a detail grid"
            )


def _pairs(
    vision: Sequence[CompressedTokens],
) -> list[tuple[CompressedTokens, CompressedTokens]]:
    """Base and detail grid of each page."""
    return list(zip(vision[::2], vision[1::2], strict=True))


def _size(tokens: CompressedTokens, newlines: bool = False) -> int:
    rows, columns = tokens.grid
    return rows * (columns + newlines)


def _detail_places(detail: CompressedTokens) -> tuple[Tensor, Tensor]:
    """Among the placeholders [rows * (columns + 1)] of a detail grid: where its kept tokens are
    [kept], and where the newlines of their rows.
    """
    columns = detail.grid[1]
    row = torch.div(detail.kept, columns, rounding_mode="floor")
    return detail.kept + row, (row.unique() + 1) * (columns + 1) - 1
