"""Schema of the group `cluster`: where and how runs are computed."""

from __future__ import annotations

from dataclasses import dataclass

from freqexp.schemas import ranges
from freqexp.schemas.section import Section


@dataclass
class ClusterConfig(Section):
    """Where runs are computed. threads: CPU threads of the model; None: torch's own choice."""

    name: str = "local"
    threads: int | None = None

    def check(self, prefix: str) -> list[str]:
        return ranges.integers(self, prefix, ("threads",), 1, 1024)
