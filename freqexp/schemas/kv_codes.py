"""Schemas of methods that hold every token of the KV cache in fewer bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.errors import UserError, fault
from freqexp.schemas.choices import BasisOf, ValueGroups
from freqexp.schemas.kv import BITS, KVConfig

if TYPE_CHECKING:
    from freqexp.kv.base import KVMethod
    from freqexp.schemas.profile import ProfileConfig

GROUP = 32


@dataclass
class KiviConfig(KVConfig):
    """KIVI (arXiv 2402.02750): packed codes, and new tokens as they are.

    bits: of a number. group: so many of them share a step; None: 32, or the most that divide a
    head's channels. residual: a window of so many tokens, a multiple of the group; 0: none.
    values: whether values share steps within a token or, as keys do, within a channel.
    """

    name: str = "kivi"
    bits: int = 4
    group: int | None = None
    residual: int = 32
    values: ValueGroups = ValueGroups.token

    @property
    def uses_keep_ratio(self) -> bool:
        return False

    def check(self, prefix: str) -> list[str]:
        faults = []
        if self.bits not in BITS:
            faults.append(fault(f"{prefix}.bits", self.bits, ", ".join(map(str, BITS))))
        elif self.group is not None and (self.group < 1 or self.group * self.bits % 8):
            allowed = f"null, or 1 or more that fill whole bytes at {self.bits} bits"
            faults.append(fault(f"{prefix}.group", self.group, allowed))
        group = max(1, self.group or GROUP)
        if self.residual < 0 or self.residual % group:
            allowed = f"0 or a multiple of the group of {group}"
            faults.append(fault(f"{prefix}.residual", self.residual, allowed))
        return faults

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.kivi import Kivi

        return Kivi(
            bits=self.bits,
            group=self.group,
            residual=self.residual,
            values=self.values.value,
            scope=self.scope.value,
            question=self.question.value,
        )


@dataclass
class LowRankConfig(KVConfig):
    """Principal components of keys and values (the training-free form of arXiv 2408.05646 and
    2410.14731), as many as take the share kept.

    basis: of each request, held with it, or calibrated: made before of other requests, one for all.
    basis_path: file of a calibrated one, see `freqexp.kv.basis_file`.
    """

    name: str = "low_rank"
    basis: BasisOf = BasisOf.request
    basis_path: str | None = None

    @property
    def uses_keep_tokens(self) -> bool:
        return False

    def check(self, prefix: str) -> list[str]:
        from freqexp.kv.basis_file import sizes

        field, path = f"{prefix}.basis_path", self.basis_path
        if self.basis is BasisOf.request:
            allowed = "null unless basis=calibrated"
            return [] if path is None else [fault(field, path, allowed)]
        if path is None:
            return [fault(field, path, "a file of bases, where basis=calibrated")]
        try:
            sizes(path, field)
        except UserError as error:
            return [str(error)]
        return []

    def check_layers(self, layers: int, prefix: str) -> list[str]:
        """Faults of a readable file of bases for another number of decoder layers than `layers`."""
        from freqexp.kv.basis_file import sizes

        if self.basis is BasisOf.request or self.check(prefix):
            return []
        found = sizes(str(self.basis_path))["layers"]
        allowed = f"bases of {layers} decoder layers; these are of {found}"
        wrong = fault(f"{prefix}.basis_path", self.basis_path, allowed)
        return [] if found == layers else [wrong]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        from freqexp.kv.low_rank import LowRank

        return LowRank(keep_ratio, self.scope.value, self.question.value, self.basis_path)
