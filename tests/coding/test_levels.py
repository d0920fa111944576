"""The entropy coder of block transforms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqexp.codecs.block_dct import keep_largest
from freqexp.coding.bitstream import BitstreamError
from freqexp.coding.entropy import pack_bits, unpack_bits
from freqexp.coding.integer_dct import Ints, forward
from freqexp.coding.levels import CodedLevels, Tables, decode_levels, encode_levels, entropy_bits
from freqexp.nouns.page import Pixels

HIGHEST = 32000


def random_levels(seed: int, rows: int, block: int, columns: int, top: int) -> Ints:
    """Mostly zero, of all sizes up to `top`."""
    rng = np.random.default_rng(seed)
    shape = (rows, block, columns, block)
    size = rng.integers(0, top + 1, shape) >> rng.integers(0, 16, shape)
    return (size * rng.choice([-1, 1], shape) * (rng.random(shape) < 0.5)).astype(np.int16)


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 4),
    block=st.integers(1, 9),
    columns=st.integers(1, 4),
    top=st.sampled_from([0, 1, 2, 7, 300, HIGHEST]),
)
@settings(max_examples=150)
def test_round_trip(seed: int, rows: int, block: int, columns: int, top: int) -> None:
    levels = random_levels(seed, rows, block, columns, top)
    coded = encode_levels(levels)
    np.testing.assert_array_equal(decode_levels(coded, levels.shape, HIGHEST), levels)


@pytest.mark.parametrize(
    ("keep_ratio", "step"), [(0.01, 1), (0.1, 1), (0.5, 1), (1.0, 16), (0.3, 64)]
)
def test_length_is_within_two_per_cent_of_the_entropy(
    text_page: Pixels, keep_ratio: float, step: int
) -> None:
    levels = forward(text_page[:840, :588], 14, step)
    keep_largest(levels, keep_ratio)
    coded = encode_levels(levels)
    entropy = sum(entropy_bits(levels))
    symbols = 8 * (len(coded.masks) + len(coded.values))
    assert 0.999 < symbols / entropy < 1.005
    # The tables of few levels weigh more: 2.4 % of 7 KiB.
    assert symbols + 8 * len(coded.scales) < (1.02 if keep_ratio > 0.01 else 1.03) * entropy


def test_contexts_beat_the_plain_entropy_of_the_levels(text_page: Pixels) -> None:
    levels = forward(text_page[:840, :588], 14, 32)
    share = np.unique(levels, return_counts=True)[1] / levels.size
    plain = -levels.size * float((share * np.log2(share)).sum())
    assert sum(entropy_bits(levels)) < 0.95 * plain


def test_what_no_encoder_writes() -> None:
    levels = random_levels(0, 2, 8, 3, 300)
    good = encode_levels(levels)

    def refused(message: str, highest: int = HIGHEST, **change: bytes | int) -> None:
        fields = {**vars(good), **change}
        with pytest.raises(BitstreamError, match=message):
            decode_levels(CodedLevels(**fields), levels.shape, highest)

    refused("smallest level 0", smallest=0)
    refused("a level beyond 200", highest=200)
    refused("scales: truncated", scales=good.scales[:-1])
    refused("scales: too long", scales=good.scales + b"\0")
    refused("masks: 3 bytes are no whole number of words", masks=b"abc")
    refused("masks: longer than what it stores", masks=good.masks + b"\1\2\3\4\5\6\7\x08")
    refused("values: .* bytes where .* belong", values=good.values + b"\0")
    refused("values: truncated", values=good.values[:20])
    tables = Tables.unpack(good.scales)
    without = replace(tables, second=np.zeros_like(tables.second)).pack()
    refused("values: second bits of a length that has no table", scales=without)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 16)), max_size=6))
def test_bits_round_trip(groups: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    values = [rng.integers(0, 1 << width, count) for count, width in groups]
    data = pack_bits([(v, width) for v, (_, width) in zip(values, groups, strict=True)])
    for found, expected in zip(unpack_bits(data, groups, "bits"), values, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_bits_that_are_not_filled_with_zeros() -> None:
    with pytest.raises(BitstreamError, match="not filled with zeros"):
        unpack_bits(b"\xff", [(7, 1)], "bits")
