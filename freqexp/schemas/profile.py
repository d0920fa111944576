"""Schema of the group `profile`: bits and bands of a quantiser."""

from __future__ import annotations

from dataclasses import dataclass

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.section import Section


@dataclass
class ProfileConfig(Section):
    """Bits of the low, mid and high radial band, and the radii where mid and high begin."""

    name: str
    bits_low: int
    bits_mid: int
    bits_high: int
    edge_low: float
    edge_mid: float

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("bits_low", "bits_mid", "bits_high"), 0, 16)
        edges = ranges.not_negative(self, prefix, ("edge_low", "edge_mid"))
        if not edges and self.edge_mid < self.edge_low:
            allowed = f"at least {prefix}.edge_low ({self.edge_low})"
            edges.append(fault(f"{prefix}.edge_mid", self.edge_mid, allowed))
        return faults + edges
