"""A layer's keys and values in few bits, with a window of new tokens as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from freqexp.errors import ConfigError, fault
from freqexp.kv.packing import BITS, Groups, dequantise, quantise
from freqexp.kv.stored import alone
from freqexp.nouns.cache import Component

GROUP = 32
RESIDUAL = 32


def check_bits(bits: int) -> list[str]:
    """One line for a number of bits that is not offered."""
    return [] if bits in BITS else [fault("bits", bits, ", ".join(map(str, BITS)))]


def check_groups(bits: int, group: int | None, residual: int) -> list[str]:
    """One line for each number that is not offered, or does not go with the others."""
    found = check_bits(bits)
    if not found and group is not None and (group < 1 or group * bits % 8):
        found.append(fault("group", group, f"1 or more that fill whole bytes at {bits} bits"))
    tokens = max(1, group or GROUP)
    if residual < 0 or residual % tokens:
        found.append(fault("residual", residual, f"0 or a multiple of the group of {tokens}"))
    return found


def value_group(channels: int, group: int | None, bits: int) -> int:
    """How many channels of a token share a step: `group`; None: the most up to 32 that divide them
    into whole bytes.

    Raises ConfigError when there is no such number.
    """
    sizes = range(min(GROUP, channels), 0, -1) if group is None else (group,)
    for size in sizes:
        if channels % size == 0 and size * bits % 8 == 0:
            return size
    allowed = f"a divisor of the {channels} channels of a head that fills whole bytes"
    raise ConfigError([fault("compressor.group", group, allowed)])


class Quantised:
    """Keys and values [KV heads, tokens, channels] in `bits` bits (arXiv 2402.02750).

    by_channel: numbers that share a step are `group` following tokens of one channel, quantised
    once `residual` new ones are there (at least a group); else neighbouring channels of one token,
    and the newest `residual` tokens stay as they are. Codes are never quantised again.
    """

    def __init__(
        self,
        keys: Tensor,
        values: Tensor,
        bits: int,
        group: int | None = None,
        residual: int = RESIDUAL,
        values_by_channel: bool = False,
    ) -> None:
        """Quantise. Raises ConfigError for what `check_groups` names, and for a group that does not
        divide the channels.
        """
        faults = check_groups(bits, group, residual)
        if faults:
            raise ConfigError(faults)
        self._keys: _Side = _ByChannel(keys, bits, group or GROUP, residual)
        if values_by_channel:
            self._values: _Side = _ByChannel(values, bits, group or GROUP, residual)
        else:
            size = value_group(values.shape[2], group, bits)
            self._values = _ByToken(values, bits, size, residual)

    @property
    def tokens(self) -> int:
        """See `StoredLayer`."""
        return self._keys.tokens

    def append(self, keys: Tensor, values: Tensor) -> None:
        """See `StoredLayer`."""
        self._keys.append(keys)
        self._values.append(values)

    def read(self) -> tuple[Tensor, Tensor]:
        """See `StoredLayer`."""
        return self._keys.read(), self._values.read()

    def tensors(self) -> Mapping[Component, Sequence[Tensor]]:
        """See `StoredLayer`."""
        sides = (self._keys, self._values)
        return {
            "codes": [side.groups.codes for side in sides],
            "scales": [side.groups.scales for side in sides],
            "zeros": [side.groups.zeros for side in sides],
            "window": [side.window for side in sides],
        }


class _Side(ABC):
    """Keys, or values. groups: tokens along `axis`. window: [KV heads, n, channels]."""

    groups: Groups
    axis: int

    def __init__(self, numbers: Tensor, bits: int, group: int, residual: int) -> None:
        self._bits, self._group, self._residual = bits, group, residual
        self.groups = self._quantised(numbers[:, :0])
        self.window = numbers[:, :0]
        self.append(numbers)

    @property
    @abstractmethod
    def tokens(self) -> int:
        """In groups and in the window."""

    @abstractmethod
    def _quantised(self, numbers: Tensor) -> Groups:
        """Of [KV heads, n, channels]."""

    @abstractmethod
    def _ripe(self, waiting: int) -> int:
        """How many of `waiting` tokens are to be quantised."""

    def append(self, numbers: Tensor) -> None:
        window = torch.cat([self.window, numbers], dim=1)
        ripe = self._ripe(window.shape[1])
        if ripe:
            new = self._quantised(window[:, :ripe])
            parts = zip(self.groups, new, strict=True)
            self.groups = Groups(*(torch.cat(part, dim=self.axis) for part in parts))
        self.window = alone(window[:, ripe:])

    def read(self) -> Tensor:
        return torch.cat([self._dequantised(), self.window], dim=1)

    @abstractmethod
    def _dequantised(self) -> Tensor:
        """[KV heads, n, channels]."""


class _ByChannel(_Side):
    """codes [KV heads, channels, groups, group * bits / 8]."""

    axis = 2

    @property
    def tokens(self) -> int:
        return self.groups.codes.shape[2] * self._group + self.window.shape[1]

    def _quantised(self, numbers: Tensor) -> Groups:
        return quantise(numbers.transpose(1, 2), self._group, self._bits)

    def _ripe(self, waiting: int) -> int:
        block = max(self._residual, self._group)
        return waiting - waiting % block

    def _dequantised(self) -> Tensor:
        return dequantise(self.groups, self._bits, self.window.dtype).transpose(1, 2)


class _ByToken(_Side):
    """codes [KV heads, tokens, groups, group * bits / 8]."""

    axis = 1

    @property
    def tokens(self) -> int:
        return self.groups.codes.shape[1] + self.window.shape[1]

    def _quantised(self, numbers: Tensor) -> Groups:
        return quantise(numbers, self._group, self._bits)

    def _ripe(self, waiting: int) -> int:
        return max(0, waiting - self._residual)

    def _dequantised(self) -> Tensor:
        return dequantise(self.groups, self._bits, self.window.dtype)
