"""Schemas of further image formats as codecs: JPEG 2000, and formats of two-level pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.codecs import CodecConfig

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec
    from freqexp.schemas.profile import ProfileConfig


@dataclass
class Jpeg2000Config(CodecConfig):
    """JPEG 2000. psnr_db: 10 to 60, aimed at; null: 15 + 35 keep_ratio. lossless: all of the bits.

    resolutions: 1 (no wavelet) to 10.
    """

    name: str = "jpeg2000"
    control: ClassVar[str] = "JPEG 2000"
    psnr_db: float | None = None
    lossless: bool = False
    resolutions: int = 6

    @property
    def uses_keep_ratio(self) -> bool:
        return self.psnr_db is None and not self.lossless

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("resolutions",), 1, 10)
        if self.psnr_db is None:
            return faults
        allowed = "a number from 10 to 60, or null"
        if self.lossless:
            allowed = f"null while {prefix}.lossless is true"
        elif 10 <= self.psnr_db <= 60:
            return faults
        return [*faults, fault(f"{prefix}.psnr_db", self.psnr_db, allowed)]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.jpeg2000 import Jpeg2000

        return Jpeg2000(keep_ratio, self.psnr_db, self.lossless, self.resolutions)


@dataclass
class TwoLevelConfig(CodecConfig):
    """A format of two-level pages has no use for keep_ratio."""

    @property
    def uses_keep_ratio(self) -> bool:
        return False


@dataclass
class Jb2Config(TwoLevelConfig):
    """JB2 of DjVu, by cjb2 and ddjvu. losslevel: 0 (lossless at two levels) to 200.

    dpi: 25 to 1200, by which specks and likeness are judged.
    """

    name: str = "jb2"
    control: ClassVar[str] = "JB2 (DjVu)"
    losslevel: int = 0
    dpi: int = 300

    def check(self, prefix: str) -> list[str]:
        from freqexp.codecs.jb2 import Jb2

        faults = ranges.integers(self, prefix, ("losslevel",), 0, 200)
        faults += ranges.integers(self, prefix, ("dpi",), 25, 1200)
        return faults + Jb2.program_faults(prefix)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.jb2 import Jb2

        return Jb2(self.losslevel, self.dpi)


@dataclass
class Jbig1Config(TwoLevelConfig):
    """JBIG1, by pbmtojbg and jbgtopbm."""

    name: str = "jbig1"
    control: ClassVar[str] = "JBIG1"

    def check(self, prefix: str) -> list[str]:
        from freqexp.codecs.jbig1 import Jbig1

        return Jbig1.program_faults(prefix)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.jbig1 import Jbig1

        return Jbig1()
