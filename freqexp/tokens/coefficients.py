"""Coefficients of a page's tokens: their quantiser, and the entropy coder of their levels."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from freqexp.coding import entropy
from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.coding.quantize import MAX_BITS, step_size
from freqexp.tokens.bands import Integers, farthest, rings_of

_CODED_BITS = 8
_BANDS = 3


@dataclass(frozen=True, eq=False)
class Quantised:
    """Levels of a page's coefficients. bits: of each band. limits: see `bands.limits_of`.

    levels: int32 [n, channels] of each band, None at 0 bits and for an empty band;
    -(2^(b-1)-1) to 2^(b-1)-1, at 1 bit 0 (negative) and 1.
    peaks: float64 [1, channels] or [1, 1] of each band, the largest magnitudes.
    """

    bits: tuple[int, ...]
    levels: tuple[Tensor | None, ...]
    peaks: tuple[Tensor | None, ...]
    limits: tuple[int, ...]


def quantise(values: Tensor, bits: int, dims: tuple[int, ...]) -> tuple[Tensor | None, Tensor]:
    """Levels (int32, as `values`) of float64 values [n, channels], and their peaks.

    The quantiser is `quantize.quantize`'s with peaks rounded up to float32, as they are stored.
    """
    peak = values.abs().amax(dims, keepdim=True) if values.numel() else values.new_zeros(1, 1)
    peak = _rounded_up(peak)
    if bits == 0 or not values.numel():
        return None, peak
    if bits == 1:
        return (values >= 0).to(torch.int32), peak
    return (values / step_size(peak, bits)).round_().to(torch.int32), peak


def restored(levels: Tensor, peak: Tensor, bits: int) -> Tensor:
    """Inverse of `quantise`: float64, as `levels`."""
    step = step_size(peak, bits)
    return (levels.double() - 0.5) * step if bits == 1 else levels.double() * step


def _rounded_up(peak: Tensor) -> Tensor:
    """The least float32 not below each peak, as float64; float64 where float32 does not reach."""
    short = peak.float()
    above = torch.nextafter(short, torch.full_like(short, torch.inf))
    rounded = torch.where(short.double() < peak, above, short).double()
    return peak if bool(torch.isinf(rounded).any()) else rounded


def pack_coefficients(found: Quantised, grid: tuple[int, int]) -> tuple[bytes, bytes, bytes, int]:
    """Parameters, scales, values, and how many bytes of the values are tables."""
    rings = rings_of(grid, found.limits)
    used = [peak for peak in found.peaks if peak is not None]
    peaks = torch.cat([peak.reshape(-1) for peak in used]).cpu().numpy() if used else np.zeros(0)
    wide = bool((peaks.astype(np.float32).astype(np.float64) != peaks).any())
    sizes = (0 if peak is None else peak.numel() for peak in found.peaks)
    numbers = (*found.limits, *sizes)
    parameters = bytes([*found.bits, int(wide)]) + b"".join(map(varint, numbers))
    scales = pack_planes(torch.from_numpy(peaks if wide else peaks.astype(np.float32)))
    coder, codes, rest = entropy.Encoder(), [], []
    for bits, levels, ring in zip(found.bits, found.levels, rings, strict=True):
        if levels is None:
            continue
        shifted = _shifted(levels, bits)
        low = max(bits - _CODED_BITS, 0)
        for number in np.unique(ring):
            chosen = shifted[ring == number].ravel()
            counts = np.bincount(chosen >> low, minlength=1 << min(bits, _CODED_BITS))
            codes.append(entropy.symbol_codes(counts))
            coder.symbols((chosen >> low).astype(np.int32), codes[-1])
            rest.append((chosen & (1 << low) - 1, low))
    tables = zlib.compress(entropy.pack_rows(codes), 9)
    coded, raw = coder.data(), entropy.pack_bits(rest)
    values = varint(len(tables)) + tables + varint(len(coded)) + coded + raw
    return parameters, scales, values, len(tables)


def _shifted(levels: Tensor, bits: int) -> Integers:
    offset = 0 if bits == 1 else 2 ** (bits - 1) - 1
    return levels.cpu().numpy().astype(np.int64) + offset


def unpack_coefficients(
    parameters: bytes,
    scales: bytes,
    values: bytes,
    grid: tuple[int, int],
    channels: int,
) -> Quantised:
    """Inverse of `pack_coefficients`. Raises BitstreamError for what no encoder wrote."""
    cursor = Cursor(parameters, "tokens")
    *bits, wide = cursor.take(_BANDS + 1)
    limits = tuple(cursor.varint() for _ in range(_BANDS - 1))
    sizes = [cursor.varint() for _ in range(_BANDS)]
    cursor.end()
    if max(bits) > MAX_BITS or wide > 1 or any(size not in (0, 1, channels) for size in sizes):
        raise BitstreamError("tokens: bits or scales that no quantiser has")
    if not limits[0] <= limits[1] <= farthest(grid) + 1:
        raise BitstreamError(f"tokens: bands that begin at {limits}")
    rings = rings_of(grid, limits)
    dtype = torch.float64 if wide else torch.float32
    peaks = torch.split(unpack_planes(scales, (sum(sizes),), dtype).double(), sizes)
    if not all(bool((torch.isfinite(peak) & (peak >= 0)).all()) for peak in peaks):
        raise BitstreamError("scales: a peak that is negative or not finite")
    whole = Cursor(values, "values")
    alphabets = [
        1 << min(b, _CODED_BITS)
        for b, ring in zip(bits, rings, strict=True)
        for _ in _used(b, ring)
    ]
    tables = iter(entropy.unpack_rows(_inflate(whole.block(), 258 * len(alphabets) + 8), alphabets))
    decoder = entropy.Decoder(whole.block(), "values")
    high = [
        [decoder.symbols(int((ring == n).sum()) * channels, next(tables)) for n in _used(b, ring)]
        for b, ring in zip(bits, rings, strict=True)
    ]
    decoder.end()
    groups = [
        (len(part), max(b - _CODED_BITS, 0))
        for b, parts in zip(bits, high, strict=True)
        for part in parts
    ]
    raw = whole.take(len(whole.data) - whole.at)
    low = iter(entropy.unpack_bits(raw, groups, "values"))
    levels: list[Tensor | None] = []
    for b, ring, parts in zip(bits, rings, high, strict=True):
        found = np.zeros((len(ring), channels), dtype=np.int64)
        for number, part in zip(_used(b, ring), parts, strict=True):
            whole_level = part.astype(np.int64) << max(b - _CODED_BITS, 0) | next(low)
            found[ring == number] = whole_level.reshape(-1, channels)
        found -= 0 if b <= 1 else 2 ** (b - 1) - 1
        if b > 1 and found.size and int(found.max()) > 2 ** (b - 1) - 1:
            raise BitstreamError("values: a level beyond the quantiser's highest")
        levels.append(torch.from_numpy(found.astype(np.int32)) if b and len(ring) else None)
    if any((level is None) != (not len(p)) for level, p in zip(levels, peaks, strict=True)):
        raise BitstreamError("scales: a band without a scale, or a scale without a band")
    shaped = tuple(peak.reshape(1, -1) if len(peak) else None for peak in peaks)
    return Quantised(tuple(bits), tuple(levels), shaped, limits)


def _used(bits: int, ring: Integers) -> list[int]:
    """Rings that are coded: none at 0 bits."""
    return np.unique(ring).tolist() if bits else []


def pack_planes(values: Tensor) -> bytes:
    """Numbers as they are, all first bytes, then all second ones ..., deflated."""
    array = raw_bytes(values.detach().cpu().contiguous()).numpy()
    return zlib.compress(array.reshape(-1, values.element_size()).T.tobytes(), 1)


def unpack_planes(data: bytes, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Inverse of `pack_planes`. Raises BitstreamError for another number of bytes."""
    width = torch.empty(0, dtype=dtype).element_size()
    count = int(np.prod(shape))
    planes = _inflate(data, count * width)
    if len(planes) != count * width:
        raise BitstreamError(f"tokens: {len(planes)} bytes where {count * width} belong")
    array = np.frombuffer(planes, dtype=np.uint8).reshape(width, count).T.copy()
    if not count:
        return torch.zeros(shape, dtype=dtype)
    return torch.from_numpy(array.reshape(-1)).view(dtype).reshape(shape)


def _inflate(data: bytes, most: int) -> bytes:
    """Inverse of zlib.compress for at most `most` bytes. Raises BitstreamError."""
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise BitstreamError(f"tokens: {error}") from error
    if len(found) > most or not inflater.eof or inflater.unused_data:
        raise BitstreamError("tokens: deflated data of a wrong length")
    return found


def raw_bytes(values: Tensor) -> Tensor:
    """Numbers as they lie in memory: uint8 [n]."""
    flat = values.reshape(-1)
    # torch can't reinterpret nothing.
    return flat.view(torch.uint8) if len(flat) else torch.zeros(0, dtype=torch.uint8)
