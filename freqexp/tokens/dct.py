"""Frequency-aware quantisation and pruning of vision tokens: the paper's token-level method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freqexp.coding.quantize import MAX_BITS
from freqexp.coding.share import check_keep_ratio
from freqexp.coding.transforms import band_positions, dct2, idct2
from freqexp.errors import ConfigError, fault
from freqexp.nouns.vision import CompressedTokens, VisionTokens
from freqexp.tokens.bands import limits_of
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.bitstream import StoredTokens, store
from freqexp.tokens.coefficients import Quantised, quantise, restored
from freqexp.tokens.energy_prune import NORMS, EnergyPrune
from freqexp.tokens.kept import budget_of, check_tokens
from freqexp.tokens.scorer import highest


class TokenDct(TokenCompressor):
    """Quantise tokens by frequency band, then keep the most energetic (the paper's Algorithm 2).

    1. transform: orthonormal 2-D DCT-II of each channel over the page's own rows x columns grid.
    2. quantize: radial frequency f = sqrt(u^2 + v^2) makes three bands, low f < edges[0], mid
       edges[0] <= f < edges[1], high from there on; each is rounded to a uniform grid of
       bits[band] bits (0 bits: set to zero), one scale for each channel and band
       (scale="channel") or one for each band (scale="tensor"). Needs the transform.
    3. transform: inverse DCT.
    4. prune: the K = floor(keep_ratio rows columns + 0.5) tokens (at least 1) of the highest energy
       stay, in raster order, with the positions they have on the grid.

    Each part switches on its own. With `prune` off every token stays, whatever keep_ratio is, and
    the compressor is `simulated`: the decoder's sequence is as long as before.

    Energy. The paper's E_i = sum over (u, v) != (0, 0) of |C_i(u, v)| sums over frequencies, which
    belong to the whole grid and not to a token i, so it defines no energy of a token. Here it is
    what the token adds to the grid's average, which is what removing the DC leaves: energy="l2"
    is the squared norm of the token after step 3 less the mean token of the page, energy="l1" the
    sum of magnitudes of the same difference, the closest reading of the paper's absolute values.

    Precision. All parts compute in float64 and return the dtype of the input. So the transform
    alone gives the input back to about 1e-15 of a channel's largest value, which rounding to
    float32 or bfloat16 removes for all but values that near zero. With transform and quantize off
    the features of the kept tokens are the input's, bit for bit. Energies (their roots for l2) are
    rounded to 2^-30 of the page's largest departure plus its mean token, finer than float32 tells
    tokens apart, and ties go by raster position: rounding errors do not choose between tokens that
    are equal in fact. The ranking does not depend on keep_ratio, so kept sets are nested.
    """

    def __init__(
        self,
        keep_ratio: float = 0.5,
        bits: tuple[int, int, int] = (8, 4, 0),
        edges: tuple[float, float] = (4.0, 8.0),
        transform: bool = True,
        quantize: bool = True,
        prune: bool = True,
        energy: str = "l2",
        scale: str = "channel",
    ) -> None:
        """Check and keep the settings.

        keep_ratio: share of the tokens kept, in (0, 1]. bits: bits a coefficient of the low, mid
        and high band. edges: where mid and high begin, in radial frequency. energy: "l2" or "l1".
        scale: "channel" or "tensor".

        Raises:
            ConfigError: a value is outside what is allowed; names all such values.
        """
        faults = _faults(keep_ratio, bits, edges, energy, scale)
        if quantize and not transform:
            faults.append(fault("quantize", quantize, "true only with transform=true"))
        if faults:
            raise ConfigError(faults)
        self.simulated = not prune or keep_ratio == 1
        self._keep_ratio = keep_ratio
        self._bits = bits
        self._edges = edges
        self._transform = transform
        self._quantize = quantize
        self._prune = prune
        self._energy = EnergyPrune(keep_ratio, energy)
        self._scale_dims = (0,) if scale == "channel" else (0, 1)

    def compress(self, tokens: VisionTokens) -> CompressedTokens:
        """Compress one page's tokens; features [rows * columns, channels] -> [K, channels].

        `stored_bytes` is the length of a bitstream of the quantised coefficients of the whole grid,
        their scales and the kept positions; without quantisation, of the kept tokens in their own
        dtype, deflated. Peaks are rounded up to float32, as they are stored.

        `nominal_ratio` = (rows columns / K) (bits of the input dtype / mean bits of a coefficient):
        the mean over the grid of the band bits, or the input dtype's bits when not quantising.
        Scales and positions are not counted, and no bitstream of that size exists: the product of
        the two ratios is the paper's way of counting. None when all bits are 0.

        Raises:
            UserError: the features hold NaN or infinity.
            ValueError: the features' shape does not fit the grid, or they are not floating.
        """
        check_tokens(tokens)
        features, (rows, columns) = tokens.features, tokens.grid
        bands = band_positions(tokens.grid, self._edges)
        levels = None
        if self._transform:
            exact, levels = self._through_frequencies(features, tokens.grid, bands)
            features = exact.to(features.dtype)
        else:
            exact = features.double()
        if self._prune:
            count = budget_of(tokens, self._keep_ratio)
            kept = highest(self._energy.energies(exact), count).sort().values
            features = features.index_select(0, kept)
        else:
            kept = torch.arange(rows * columns, device=features.device)
        dtype_bits = 8 * features.element_size()
        mean_bits = float(dtype_bits)
        if self._quantize:
            counts = zip(bands, self._bits, strict=True)
            mean_bits = sum(len(band) * bits for band, bits in counts) / (rows * columns)
        ratio = rows * columns * dtype_bits / (len(kept) * mean_bits) if mean_bits else None
        data, components = self._stored(features, kept, tokens.grid, levels)
        return CompressedTokens(
            features, kept, tokens.grid, ratio, stored_bytes=len(data), components=components
        )

    def _through_frequencies(
        self, features: Tensor, grid: tuple[int, int], bands: Sequence[Tensor]
    ) -> tuple[Tensor, Quantised | None]:
        """DCT, quantisation where it is on, inverse DCT: float64 [rows * columns, channels], and
        the levels.
        """
        spectrum = dct2(features.double().reshape(*grid, -1), (0, 1)).flatten(0, 1)
        found = []
        if self._quantize:
            for band, bits in zip(bands, self._bits, strict=True):
                band = band.to(features.device)
                levels, peak = quantise(spectrum[band], bits, self._scale_dims)
                spectrum[band] = 0 if levels is None else restored(levels, peak, bits)
                found.append((levels, None if levels is None else peak))
        exact = idct2(spectrum.view(*grid, -1), (0, 1)).flatten(0, 1)
        if not found:
            return exact, None
        levels_of, peaks = zip(*found, strict=True)
        return exact, Quantised(self._bits, levels_of, peaks, limits_of(grid, self._edges))

    def _stored(
        self, features: Tensor, kept: Tensor, grid: tuple[int, int], levels: Quantised | None
    ) -> tuple[bytes, dict[str, int]]:
        """The bitstream of the page's tokens, decoded again and compared, and its components.

        features: of the kept tokens.
        """
        values = features if levels is None else None
        stored = StoredTokens(grid, features.shape[1], features.dtype, kept, levels, values)
        return store(stored)


def _faults(
    keep_ratio: float, bits: Sequence[int], edges: Sequence[float], energy: str, scale: str
) -> list[str]:
    """One line for each setting outside what is allowed."""
    faults = check_keep_ratio(keep_ratio)
    if len(bits) != 3 or not all(0 <= b <= MAX_BITS for b in bits):
        faults.append(fault("bits", bits, f"three of 0 to {MAX_BITS}"))
    if len(edges) != 2 or not 0 <= edges[0] <= edges[1]:
        faults.append(fault("edges", edges, "two, 0 <= first <= second"))
    if energy not in NORMS:
        faults.append(fault("energy", energy, ", ".join(NORMS)))
    if scale not in ("channel", "tensor"):
        faults.append(fault("scale", scale, "channel, tensor"))
    return faults
