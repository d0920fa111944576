"""Schemas of the codecs of gray levels, and of rendered text in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from freqexp.errors import UserError, fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import StripCoder
from freqexp.schemas.codecs import CodecConfig

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec
    from freqexp.codecs.symbols.known import Prior
    from freqexp.schemas.profile import ProfileConfig

BUNDLED = "bundled"


@dataclass
class LevelsConfig(CodecConfig):
    """Gray levels, coded without loss. levels: 2 to 256; null: 2 ** (8 keep_ratio)."""

    levels: int | None = None

    @property
    def uses_keep_ratio(self) -> bool:
        return self.levels is None

    def check(self, prefix: str) -> list[str]:
        return ranges.integers(self, prefix, ("levels",), 2, 256)


@dataclass
class PosterizeConfig(LevelsConfig):
    """Few gray levels, stored losslessly."""

    name: str = "posterize"
    control: ClassVar[str] = "rounding to few gray levels"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.posterize import Posterize

        return Posterize(keep_ratio=keep_ratio, levels=self.levels)


@dataclass
class SymbolsConfig(LevelsConfig):
    """Equal letters stored once, their order by context.

    contrast: what differs from the ground by so many gray levels does not vanish: more levels are
    taken. prior: bundled, a file of `python -m freqexp.train prior`, or null.
    """

    name: str = "symbols"
    contrast: int = 48
    prior: str | None = BUNDLED

    def check(self, prefix: str) -> list[str]:
        faults = super().check(prefix) + ranges.integers(self, prefix, ("contrast",), 1, 255)
        try:
            # Those in the package are taken as they are: they need not be read for this.
            if self.prior != BUNDLED:
                self._priors()
        except UserError as error:
            allowed = "bundled, a file of `python -m freqexp.train prior`, or null"
            faults.append(fault(f"{prefix}.prior", f"{self.prior} ({error})", allowed))
        return faults

    def identity(self, settings: dict[str, Any]) -> dict[str, Any]:
        own = self.prior not in (None, BUNDLED)
        return settings | ({"prior": self._priors()[0].digest} if own else {})

    def _priors(self) -> tuple[Prior, ...]:
        from freqexp.codecs.symbols.priors import bundled_priors, load_prior

        if self.prior is None:
            return ()
        if self.prior == BUNDLED:
            return bundled_priors()
        return (load_prior(Path(self.prior).expanduser()),)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.symbols.codec import Symbols

        return Symbols(keep_ratio, self.levels, self.contrast, self._priors())


@dataclass
class StripsConfig(LevelsConfig):
    """Columns of text lines as records for a general compressor. coder: ppmd or xz."""

    name: str = "strips"
    coder: StripCoder = StripCoder.ppmd

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.strips import Strips

        return Strips(keep_ratio, self.levels, self.coder.value)
