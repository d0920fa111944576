"""What the pages or tokens of a sample take after a method, counted over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from freqexp.codecs.base import COMPONENTS, CodecResult
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import CompressedTokens, VisionTokens


@dataclass(frozen=True)
class Stored:
    """nominal_ratio: all input over all kept, the harmonic mean weighted by page size.
    stored_bytes: summed. Each None when one page has none.
    components: fields of a record that split stored_bytes; without it, empty.
    """

    nominal_ratio: float | None
    stored_bytes: int | None
    components: Mapping[str, int] = field(default_factory=dict)


def stored_pages(before: Sequence[Pixels], results: Sequence[CodecResult]) -> Stored:
    """Figures of pages that went through a codec."""
    ratios = [result.nominal_ratio for result in results]
    kept = [
        None if ratio is None else page.size / ratio
        for page, ratio in zip(before, ratios, strict=True)
    ]
    total = _total(
        sum(page.size for page in before), kept, [result.stored_bytes for result in results]
    )
    if total.stored_bytes is None:
        return total
    counts = {
        f"{name}_bytes": sum(result.components.get(name, 0) for result in results)
        for name in COMPONENTS
    }
    return replace(total, components=counts)


def stored_tokens(before: Sequence[VisionTokens], results: Sequence[CompressedTokens]) -> Stored:
    """Figures of tokens after a compressor.

    Deep-stack features pass it uncompressed: those of the kept tokens count as they are.
    """
    kept: list[float | None] = []
    stored: list[int | None] = []
    for page, result in zip(before, results, strict=True):
        numbers = sum(level.nelement() for level in result.deepstack)
        size_bytes = sum(level.nelement() * level.element_size() for level in result.deepstack)
        ratio = result.nominal_ratio
        kept.append(None if ratio is None else page.features.nelement() / ratio + numbers)
        stored.append(None if result.stored_bytes is None else result.stored_bytes + size_bytes)
    whole = sum(level.nelement() for page in before for level in (page.features, *page.deepstack))
    total = _total(whole, kept, stored)
    if total.stored_bytes is None:
        return total
    counts = {
        f"{name}_bytes": sum(result.components.get(name, 0) for result in results)
        for name in COMPONENTS
    }
    counts["values_bytes"] += total.stored_bytes - sum(counts.values())
    return replace(total, components=counts)


def _total(whole: int, kept: Sequence[float | None], stored: Sequence[int | None]) -> Stored:
    kept_total = sum(value for value in kept if value is not None)
    return Stored(
        whole / kept_total if None not in kept and kept_total else None,
        None if None in stored else sum(value for value in stored if value is not None),
    )


def keep_deepstack(page: VisionTokens, result: CompressedTokens) -> CompressedTokens:
    """`result` with the deep-stack features of the tokens it kept.

    These enter early decoder layers at the places of their tokens, so they go where those go; a
    compressor that sees to them itself is left alone. Those of tokens that were dropped before the
    encoder are not there.
    """
    if not page.deepstack or result.deepstack:
        return result
    if page.places is not None:
        return replace(result, deepstack=page.deepstack)
    kept = result.kept
    return replace(result, deepstack=tuple(level[kept] for level in page.deepstack))


def kept_bitmaps(results: Sequence[CompressedTokens]) -> str | None:
    """Which tokens of each page remain: grid and bitmap in hex, first position highest, as in
    "2x2:a 2x2:f"; None when all do.
    """
    if all(len(result.kept) == result.grid[0] * result.grid[1] for result in results):
        return None
    return " ".join(map(_bitmap, results))


def kept_of(pages: Sequence[CompressedTokens], chosen: Sequence[int]) -> list[CompressedTokens]:
    """The pages with what is left of them, numbered over all of their tokens in turn."""
    import torch

    numbers, left = torch.tensor(chosen), []
    for page in pages:
        own = numbers[(numbers >= 0) & (numbers < len(page.kept))].to(page.kept.device)
        left.append(replace(page, kept=page.kept[own]))
        numbers = numbers - len(page.kept)
    return left


def _bitmap(result: CompressedTokens) -> str:
    rows, columns = result.grid
    digits = -(-rows * columns // 4)
    bits = ["0"] * (4 * digits)
    for position in result.kept.tolist():
        bits[position] = "1"
    return f"{rows}x{columns}:{int(''.join(bits), 2):0{digits}x}"
