"""The bitstream of a page's codes. The blocks of the container (`tokens.container`) are the name of
the codebook where it is shared, the codebook where it is the page's own, and the indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freqexp.coding.bitstream import BitstreamError
from freqexp.coding.share import page_share
from freqexp.errors import UserError
from freqexp.tokens.container import CODES, Container
from freqexp.tokens.container import unpack as unpack_container
from freqexp.tokens.trained.codes import Codes, left_of
from freqexp.tokens.trained.groups import groups_of, merged_grid
from freqexp.tokens.trained.index_coder import decode, encode
from freqexp.tokens.trained.prior import Prior

MAX_PLACES = 1 << 16
"""Most tokens of a page that are coded: what decoding costs grows with what a header claims."""


@dataclass(frozen=True, eq=False)
class PageCodes:
    """A page as codes. dtype: of its tokens. shared: whether `codes` are more than this page's.
    indices: int64 [n, M] of each band, on the CPU.
    """

    grid: tuple[int, int]
    dtype: torch.dtype
    codes: Codes
    shared: bool
    indices: tuple[Tensor, ...]

    @property
    def kept(self) -> Tensor:
        """Raster positions int64 [n] of the tokens that there are."""
        return groups_of(self.grid, *self.codes.group).amin(dim=1)

    def features(self) -> Tensor:
        """The tokens [n, channels], in float64."""
        return self.codes.restore(self.indices, merged_grid(self.grid, *self.codes.group))


def store(page: PageCodes) -> tuple[int, dict[str, int]]:
    """Bytes of a page's bitstream, decoded again and compared, with the page's share of a shared
    codebook, and by component (`codecs.base.COMPONENTS`). Raises UserError for a page of too many
    tokens.
    """
    data = pack(page)
    again = unpack(data, page.codes if page.shared else None)
    # What the model sees is a function of codebook, grid and indices, so equal ones are the
    # decoding.
    same = [torch.equal(*pair) for pair in zip(again.indices, page.indices, strict=True)]
    if not all(same) or again.codes.data != page.codes.data or again.grid != page.grid:
        raise RuntimeError("token codes: decode to other numbers than were stored")
    found = unpack_container(data)
    _, own, indices = (len(block) for block in found.blocks)
    codebook = page_share(len(page.codes.data)) if page.shared else own
    counts = {
        "header": len(data) - own - indices,
        "indices": indices,
        "codebook": codebook,
    }
    return sum(counts.values()), counts


def pack(page: PageCodes) -> bytes:
    """The bitstream. Raises UserError for a page of too many tokens."""
    codes, grid = page.codes, merged_grid(page.grid, *page.codes.group)
    if grid[0] * grid[1] > MAX_PLACES:
        raise UserError(f"token codes: a page of {grid[0]} x {grid[1]}, at most {MAX_PLACES}")
    left = left_of(codes.bands(grid), grid[1])
    bands = [index.numpy() for index in page.indices]
    indices = encode(bands, left, _sizes(codes), _priors(codes))
    blocks = (codes.name, b"", indices) if page.shared else (b"", codes.data, indices)
    return Container(CODES, page.grid, codes.channels, page.dtype, blocks).pack()


def unpack(data: bytes, shared: Codes | None) -> PageCodes:
    """Inverse of `pack`. shared: the codebook that pages may name.

    Raises BitstreamError for what is no whole and intact bitstream of codes, or one of another
    codebook.
    """
    found = unpack_container(data)
    if found.kind != CODES:
        raise BitstreamError(f"token codes: kind {found.kind}, codes are {CODES}")
    name, own, indices = found.blocks
    if name and own:
        raise BitstreamError("token codes: a codebook of its own and a name")
    if name and (shared is None or name != shared.name):
        known = "none" if shared is None else shared.name.hex()
        raise BitstreamError(f"token codes: needs the codebook {name.hex()}, here is {known}")
    codes = shared if name and shared is not None else Codes.unpack(own, priors=False)
    grid = merged_grid(found.grid, *codes.group)
    count = grid[0] * grid[1]
    if codes.channels != found.channels or not codes.fits(grid) or count > MAX_PLACES:
        raise BitstreamError(f"token codes: {count} tokens that the codebook is not for")
    if own and any(book.shape[1] > max(count, 1) for book in codes.books):
        raise BitstreamError("token codes: more code words of its own than the page has tokens")
    left = left_of(codes.bands(grid), grid[1])
    books = [book.shape[0] for book in codes.books]
    bands = decode(indices, left, books, _sizes(codes), _priors(codes))
    # A range decoder reads zeros behind its data, and may not miss what was put in or left out.
    if encode(bands, left, _sizes(codes), _priors(codes)) != indices:
        raise BitstreamError("indices: not the bytes of an encoder")
    tensors = tuple(torch.from_numpy(band) for band in bands)
    return PageCodes(found.grid, found.dtype, codes, bool(name), tensors)


def _sizes(codes: Codes) -> list[int]:
    return [book.shape[1] for book in codes.books]


def _priors(codes: Codes) -> Sequence[Prior | None]:
    return [None] * len(codes.books) if codes.priors is None else codes.priors
