"""Keys and values in few bits, against a list of groups that is filled a token at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from freqexp.errors import ConfigError
from freqexp.kv.packing import dequantise, quantise
from freqexp.kv.quantised import Quantised, value_group
from freqexp.nouns.cache import CACHE_COMPONENTS

HEADS, CHANNELS = 2, 24
SETTINGS = [
    (2, 4, 0, False),
    (2, 8, 16, True),
    (4, 8, 16, False),
    (4, 4, 0, True),
    (8, 8, 16, False),
    (8, 4, 8, True),
]


def cache(
    tokens: int, dtype: torch.dtype = torch.float32, channels: int = CHANNELS
) -> tuple[Tensor, Tensor]:
    """Keys and values, [HEADS, tokens, channels]."""
    generator = torch.Generator().manual_seed(tokens)
    keys, values = torch.randn(2, HEADS, tokens, channels, generator=generator)
    return (3 * keys + 5).to(dtype), values.to(dtype)


def by_loop(numbers: Tensor, bits: int, group: int, residual: int, by_channel: bool) -> Tensor:
    """What is to be read of [HEADS, tokens, channels], a token at a time: a window that is emptied
    in whole blocks, or that gives its oldest token away.
    """
    block = max(residual, group)
    done: list[Tensor] = []
    window: list[Tensor] = []
    for token in numbers.unbind(dim=1):
        window.append(token)
        if by_channel and len(window) == block:
            for start in range(0, block, group):
                part = torch.stack(window[start : start + group], dim=2)
                levels = dequantise(quantise(part, group, bits), bits, numbers.dtype)
                done += levels.unbind(dim=2)
            window = []
        elif not by_channel and len(window) > residual:
            done.append(dequantise(quantise(window.pop(0), group, bits), bits, numbers.dtype))
    return torch.stack(done + window, dim=1)


def held(stored: Quantised) -> dict[str, list[Tensor]]:
    return {name: [t.clone() for t in parts] for name, parts in stored.tensors().items()}


@pytest.mark.parametrize(("bits", "group", "residual", "by_channel"), SETTINGS)
@pytest.mark.parametrize("tokens", [1, 15, 16, 45])
def test_prompt_and_new_tokens_are_the_loop(
    bits: int, group: int, residual: int, by_channel: bool, tokens: int
) -> None:
    """However many of the tokens came with the prompt, and in which steps the others."""
    keys, values = cache(70)
    stored = Quantised(keys[:, :tokens], values[:, :tokens], bits, group, residual, by_channel)
    at = tokens
    for step in (0, 1, 1, 3, 1, 17, 1, 1):
        assert stored.tokens == at
        read = stored.read()
        assert torch.equal(read[0], by_loop(keys[:, :at], bits, group, residual, True))
        assert torch.equal(read[1], by_loop(values[:, :at], bits, group, residual, by_channel))
        stored.append(keys[:, at : at + step], values[:, at : at + step])
        at += step


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tokens_are_read_in_the_dtype_they_came_in(dtype: torch.dtype) -> None:
    keys, values = cache(45, dtype)
    stored = Quantised(keys, values, 4, 8, 16)
    read = stored.read()
    assert [part.dtype for part in read] == [dtype, dtype]
    assert torch.equal(read[0], by_loop(keys, 4, 8, 16, True))
    assert torch.equal(read[1], by_loop(values, 4, 8, 16, False))


@pytest.mark.parametrize("tokens", [7, 8, 15, 16, 31, 32, 33, 50])
@pytest.mark.parametrize("by_channel", [False, True])
def test_which_tokens_wait(tokens: int, by_channel: bool) -> None:
    """Keys: T mod R, the rest quantised. Values: the last R, or as the keys."""
    stored = Quantised(*cache(tokens), 4, 8, 16, by_channel)
    keys, values = stored.tensors()["window"]
    assert keys.shape[1] == tokens % 16
    assert values.shape[1] == (tokens % 16 if by_channel else min(tokens, 16))


@pytest.mark.parametrize(("bits", "group", "residual", "by_channel"), SETTINGS)
def test_codes_never_change_once_written(
    bits: int, group: int, residual: int, by_channel: bool
) -> None:
    keys, values = cache(70)
    stored = Quantised(keys[:, :20], values[:, :20], bits, group, residual, by_channel)
    axes = (2, 2 if by_channel else 1)
    for at in range(20, 70):
        before = held(stored)
        stored.append(keys[:, at : at + 1], values[:, at : at + 1])
        for name in ("codes", "scales", "zeros"):
            for old, new, axis in zip(before[name], held(stored)[name], axes, strict=True):
                assert torch.equal(new.narrow(axis, 0, old.shape[axis]), old)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_the_hand_sum(bits: int, dtype: torch.dtype) -> None:
    """Of 45 tokens, groups of 8, R = 16: 32 quantised keys and 29 quantised values a channel."""
    stored = Quantised(*cache(45, dtype), bits, 8, 16)
    expected = {
        "codes": HEADS * (32 + 29) * CHANNELS * bits // 8,
        "scales": HEADS * (32 // 8 * CHANNELS + 29 * CHANNELS // 8) * 2,
        "zeros": HEADS * (32 // 8 * CHANNELS + 29 * CHANNELS // 8) * 2,
        "window": HEADS * (13 + 16) * CHANNELS * dtype.itemsize,
    }
    found = stored.tensors()
    assert set(found) <= set(CACHE_COMPONENTS)
    for name, tensors in found.items():
        assert sum(tensor.nbytes for tensor in tensors) == expected[name]
        assert sum(tensor.untyped_storage().nbytes() for tensor in tensors) == expected[name]


def test_default_groups_are_32_tokens_and_the_most_channels_that_divide() -> None:
    stored = Quantised(*cache(64, channels=48), 4)
    keys, values = stored.tensors()["scales"]
    assert keys.shape == (HEADS, 48, 2)
    assert values.shape == (HEADS, 32, 48 // 24)
    assert [value_group(channels, None, 4) for channels in (8, 64, 128, 80)] == [8, 32, 32, 20]


@pytest.mark.parametrize("by_channel", [False, True])
def test_a_window_longer_than_everything_changes_nothing(by_channel: bool) -> None:
    keys, values = cache(45, torch.bfloat16)
    stored = Quantised(keys[:, :40], values[:, :40], 2, 8, 64, by_channel)
    stored.append(keys[:, 40:], values[:, 40:])
    read = stored.read()
    assert torch.equal(read[0], keys)
    assert torch.equal(read[1], values)
    assert sum(t.nbytes for name in ("codes", "scales") for t in stored.tensors()[name]) == 0


def test_the_prompt_is_neither_changed_nor_held() -> None:
    keys, values = cache(45)
    before = keys.clone(), values.clone()
    stored = Quantised(keys, values, 4, 8, 16)
    assert torch.equal(keys, before[0])
    assert torch.equal(values, before[1])
    read = [part.clone() for part in stored.read()]
    keys.zero_()
    values.zero_()
    assert all(torch.equal(*pair) for pair in zip(stored.read(), read, strict=True))


@pytest.mark.parametrize(
    ("bits", "group", "residual", "message"),
    [
        (3, 8, 16, "bits: got 3, allowed: 2, 4, 8"),
        (2, 6, 12, "group: got 6, allowed: 1 or more that fill whole bytes at 2 bits"),
        (4, 0, 16, "group: got 0"),
        (4, 8, 12, "residual: got 12, allowed: 0 or a multiple of the group of 8"),
        (4, None, 16, "residual: got 16, allowed: 0 or a multiple of the group of 32"),
        (4, 8, -8, "residual: got -8"),
        (4, 16, 16, "compressor.group: got 16, allowed: a divisor of the 24 channels"),
    ],
)
def test_groups_that_do_not_divide_are_refused(
    bits: int, group: int | None, residual: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Quantised(*cache(45), bits, group, residual)


def test_channels_that_no_group_divides_into_whole_bytes() -> None:
    with pytest.raises(ConfigError, match="a divisor of the 5 channels"):
        Quantised(*cache(45, channels=5), 2)
