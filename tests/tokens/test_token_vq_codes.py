"""Codes of vision tokens as bytes: round trip, prior, count, damage."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from freqexp.coding.bitstream import BitstreamError, varint
from freqexp.coding.share import PAGES, page_share
from freqexp.coding.transforms import radial_frequency
from freqexp.errors import UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.bitstream import unpack as unpack_tokens
from freqexp.tokens.container import Container
from freqexp.tokens.container import unpack as unpack_container
from freqexp.tokens.token_vq import TokenVq
from freqexp.tokens.trained.codes import Codes, left_of
from freqexp.tokens.trained.groups import merged_grid
from freqexp.tokens.trained.index_coder import contexts_of, encode
from freqexp.tokens.trained.page_codes import PageCodes, pack, store, unpack
from freqexp.tokens.trained.prior import CLASSES, MOST_CODES, Prior, prior_of
from freqexp.tokens.trained.settings import VqSettings

CHANNELS = 5


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_page(
    grid: tuple[int, int],
    group: tuple[int, int],
    books: tuple[int, ...],
    sizes: tuple[int, ...],
    shared: bool,
    seed: int = 0,
) -> PageCodes:
    """Any indices of any code words; of three bands in the DCT domain, of one in the tokens'."""
    rng, inner = np.random.default_rng(seed), merged_grid(grid, *group)
    words = tuple(
        noise(m, k, CHANNELS, seed=seed).half() for m, k in zip(books, sizes, strict=True)
    )
    edges = (1.5, 3.0) if len(books) == 3 else None
    empty = Codes(group, edges, words)
    lefts, priors, indices = left_of(empty.bands(inner), inner[1]), [], []
    for m, k, left in zip(books, sizes, lefts, strict=True):
        found = rng.integers(0, k, (len(left), m)) * rng.integers(0, 2, (len(left), m))
        indices.append(torch.from_numpy(found))
        known = prior_of(found, contexts_of(found, left, k), k) if m else Prior.flat(0, k)
        priors.append(known)
    center = (noise(inner[0], CHANNELS).half(), noise(inner[1], CHANNELS).half())
    if shared:
        empty = replace(empty, priors=tuple(priors), center=center)
    return PageCodes(grid, torch.bfloat16, empty, shared, tuple(indices))


def equal(one: PageCodes, other: PageCodes) -> bool:
    same = all(torch.equal(a, b) for a, b in zip(one.indices, other.indices, strict=True))
    return same and one.codes.data == other.codes.data and one.dtype == other.dtype


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_packed_is_unpacked(data: st.DataObject) -> None:
    side = st.integers(1, 9)
    grid, group = data.draw(st.tuples(side, side)), data.draw(st.tuples(*[st.integers(1, 4)] * 2))
    bands, shared = data.draw(st.sampled_from([1, 3])), data.draw(st.booleans())
    count = int(np.prod(merged_grid(grid, *group)))
    books = data.draw(st.tuples(*[st.integers(0, 4)] * bands))
    size = st.integers(2, 40) if shared else st.integers(1, count)
    sizes = data.draw(st.tuples(*[size] * bands))
    page = random_page(grid, group, books, sizes, shared, data.draw(st.integers(0, 99)))
    stream = pack(page)
    found = unpack(stream, page.codes if shared else None)
    assert equal(found, page)
    assert torch.equal(found.features(), page.features())
    assert pack(found) == stream
    stored, components = store(page)
    assert stored == sum(components.values())
    own = components["codebook"]
    assert own == (page_share(len(page.codes.data)) if shared else len(page.codes.data))
    assert components["header"] + components["indices"] + (0 if shared else own) == len(stream)


def test_the_codebook_is_a_file() -> None:
    page = random_page((4, 6), (1, 2), (2, 1, 0), (9, 7, 3), True)
    codes, data = page.codes, page.codes.data
    found = Codes.unpack(data, priors=True)
    assert found.data == data
    assert found.name == codes.name
    assert found.edges == codes.edges
    assert found.center is not None
    assert codes.center is not None
    for one, other in zip(
        (*found.books, *found.center), (*codes.books, *codes.center), strict=True
    ):
        assert torch.equal(one, other)
    assert page_share(len(data)) == -(-len(data) // PAGES)
    for length in range(0, len(data), 5):
        with pytest.raises(BitstreamError):
            Codes.unpack(data[:length], priors=True)
    with pytest.raises(BitstreamError):
        Codes.unpack(data + b"\0", priors=True)


def test_left_neighbours_by_plain_loops() -> None:
    grid, edges = (4, 6), (1.5, 3.0)
    bands = Codes((1, 1), edges, (torch.zeros(0, 1, 1),) * 3).bands(grid)
    frequency = radial_frequency(*grid).flatten()
    for number, (band, left) in enumerate(zip(bands, left_of(bands, 6), strict=True)):
        places = band.tolist()
        assert places == [
            p for p in range(24) if sum(float(frequency[p]) >= edge for edge in edges) == number
        ]
        for place, at in zip(places, left.tolist(), strict=True):
            inside = place % 6 and place - 1 in places
            assert at == (places.index(place - 1) if inside else -1)
    assert left_of([torch.arange(0)], 3)[0].shape == (0,)


def test_contexts_by_plain_loops() -> None:
    indices = np.random.default_rng(0).integers(0, 7, (6, 3))
    (left,) = left_of([torch.arange(6)], 3)
    found = contexts_of(indices, left, 7)
    for token in range(6):
        before = indices[token - 1, 0] if token % 3 else 7
        assert found[token].tolist() == [before, indices[token, 0], indices[token, 0]]


def chained(
    count: int, size: int = 24, seed: int = 0
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Codes of which each says much of the next, and of the second book's."""
    rng, found = np.random.default_rng(seed), [0]
    for step in rng.integers(1, 4, count - 1):
        found.append((found[-1] * 5 + int(step)) % size)
    first = np.array(found)
    return np.stack([first, (first * 7 + rng.integers(0, 2, count)) % size], axis=1)


def test_a_prior_saves_what_contexts_know() -> None:
    """About as many bytes as the contexts' own entropy, far fewer than without contexts."""
    left = np.arange(-1, 1999)
    given, page = chained(2000), chained(2000, seed=1)
    prior = prior_of(given, contexts_of(given, left, 24), 24)
    known = len(encode([page], [left], [24], [prior]))
    flat = len(encode([page], [left], [24], [None]))
    ideal = 2000 * (np.log2(3) + 1) / 8
    order_0 = 2000 * 2 * np.log2(24) / 8
    assert flat > 0.95 * order_0
    # 24 contexts in 16 classes.
    assert ideal < known < 0.5 * ideal + 0.5 * order_0
    assert prior.classes.shape == (2, 25)
    assert prior.tables.shape == (2, CLASSES, 24)
    small = chained(2000, 12)
    exact = prior_of(small, contexts_of(small, left, 12), 12)
    assert len(encode([small], [left], [12], [exact])) < 1.05 * ideal


def test_codes_that_were_never_seen_cost_bytes_and_no_error() -> None:
    left, seen = np.arange(-1, 99), np.zeros((100, 2), np.int64)
    prior = prior_of(seen, contexts_of(seen, left, 30), 30)
    assert len(encode([seen], [left], [30], [prior])) <= 8
    other = np.random.default_rng(0).integers(0, 30, (100, 2))
    assert len(encode([other], [left], [30], [prior])) < 100 * 2 * 15 / 8
    weights = prior.weights()
    assert int(weights.min()) >= 1
    many = Prior.flat(1, MOST_CODES + 1)
    assert many.tables.shape == (1, 1, MOST_CODES + 1)
    wide = np.random.default_rng(0).integers(0, 3000, (50, 1))
    known = prior_of(wide, contexts_of(wide, np.arange(-1, 49), 3000), 3000)
    assert known.tables[0, 0, wide[:, 0]].max() < known.tables.max()
    for broken in (
        replace(prior, classes=prior.classes + 16),
        replace(prior, tables=prior.tables + 29),
    ):
        assert not broken.valid
        with pytest.raises(BitstreamError, match="no prior has"):
            Prior.unpack(broken.pack(), 2, 30)


def test_a_page_needs_its_own_codebook_and_no_other() -> None:
    page = random_page((4, 6), (1, 1), (2,), (9,), True)
    other = random_page((4, 6), (1, 1), (2,), (9,), True, seed=1)
    stream = pack(page)
    for known in (None, other.codes):
        with pytest.raises(BitstreamError, match=f"needs the codebook {page.codes.name.hex()}"):
            unpack(stream, known)
    with pytest.raises(BitstreamError, match="kind 3 needs its codebook"):
        unpack_tokens(stream)
    tokens = TokenVq(VqSettings()).compress(VisionTokens(noise(4, CHANNELS), (2, 2)))
    assert tokens.stored_bytes is not None
    with pytest.raises(UserError, match="at most 65536"):
        pack(replace(page, grid=(300, 300)))


def repaired(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


@pytest.mark.parametrize("shared", [True, False])
def test_damage_is_found(shared: bool) -> None:
    page = random_page((4, 6), (1, 2), (2, 1, 1), (9, 7, 3), shared)
    stream, known = pack(page), page.codes if shared else None
    for length in range(0, len(stream), 3):
        with pytest.raises(BitstreamError):
            unpack(stream[:length], known)
    for place in range(0, len(stream), 2):
        damaged = bytearray(stream)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            unpack(bytes(damaged), known)
    with pytest.raises(BitstreamError, match="follow"):
        unpack(stream + b"\0", known)


@pytest.mark.parametrize("shared", [True, False])
def test_hostile_content_with_a_right_checksum_is_an_error_or_a_page(shared: bool) -> None:
    page = random_page((4, 6), (1, 2), (2, 1, 1), (9, 7, 3), shared)
    stream, known = pack(page), page.codes if shared else None
    rng, errors = np.random.default_rng(0), 0
    for _ in range(400):
        damaged = bytearray(stream[:-4])
        damaged[int(rng.integers(4, len(damaged)))] = int(rng.integers(256))
        try:
            found = unpack(repaired(bytes(damaged)), known)
            assert bool(torch.isfinite(found.features()).all())
        except BitstreamError:
            errors += 1
    assert errors > 100


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"\x01\x01\x01" + bytes(16), "groups or bands"),
        (b"\x05\x01\x01", "groups or bands"),
        (b"\x01\x01\x02", "groups or bands"),
        (b"\x01\x01", "not the head"),
    ],
)
def test_heads_of_codebooks_that_there_are_none_of(head: bytes, why: str) -> None:
    data = varint(len(head)) + head + varint(CHANNELS)
    with pytest.raises(BitstreamError, match=why):
        Codes.unpack(data, priors=False)


def test_claims_that_would_take_memory_are_refused() -> None:
    head = varint(3) + b"\x01\x01\x01"
    for claim in (
        varint(1 << 27) + varint(1),
        varint(CHANNELS) + varint(17) + varint(2),
        varint(CHANNELS) + varint(2) + varint(1 << 17),
        varint(1 << 20) + varint(16) + varint(1 << 16),
    ):
        with pytest.raises(BitstreamError):
            Codes.unpack(head + claim + bytes(40), priors=False)
    found = unpack_container(pack(random_page((2, 2), (1, 1), (1,), (4,), False)))
    for blocks in (
        (b"name", *found.blocks[1:]),
        (b"", b"", found.blocks[2]),
        (b"", random_page((3, 3), (1, 1), (1,), (9,), False).codes.data, found.blocks[2]),
        (b"", found.blocks[1], found.blocks[2] + bytes(4)),
        (b"", found.blocks[1], found.blocks[2][:-1]),
        (b"", found.blocks[1], b""),
    ):
        with pytest.raises(BitstreamError):
            unpack(replace(found, blocks=blocks).pack(), None)
    wide = Container(3, (1 << 10, 1 << 10), CHANNELS, torch.float32, found.blocks).pack()
    with pytest.raises(BitstreamError, match="1048576 tokens"):
        unpack(wide, None)
