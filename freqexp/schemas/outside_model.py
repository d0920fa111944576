"""Schema of `model=outside`: a reader of an installed package."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from freqexp.errors import fault
from freqexp.outside.offered import READER
from freqexp.schemas.choices import Family
from freqexp.schemas.model import ModelConfig


@dataclass
class OutsideModelConfig(ModelConfig):
    """A reader of an installed package, which loads it and says what it can.

    source: the reader's name, see `freqexp.readers.outside`. settings: of its own, any keys.
    """

    source: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def _check_family(self, prefix: str) -> list[str]:
        if self.family is not Family.outside:
            allowed = "outside with model=outside"
            return [fault(f"{prefix}.family", self.family.value, allowed)]
        faults = READER.faults(self.source, f"{prefix}.source", "")
        if self.adapter is not None:
            allowed = "null for readers from outside, which load their own weights"
            faults.append(fault(f"{prefix}.adapter", self.adapter, allowed))
        return faults
