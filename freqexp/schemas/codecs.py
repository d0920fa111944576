"""Schemas of the codecs: `compressor` options that act on page images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import AvifTune, Fit, Threshold
from freqexp.schemas.method import CompressorConfig, StageName
from freqexp.schemas.profile import ProfileConfig
from freqexp.schemas.section import option_name

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec


@dataclass
class CodecConfig(CompressorConfig):
    """A codec: its pages are the decoded bytes it stores."""

    stage: ClassVar[StageName] = "codec"

    @classmethod
    def decoder(cls) -> type[Codec]:
        """The class that decodes what this method stored: that of its default settings."""
        made = cls(name=option_name(cls))
        return type(made.build(1.0, ProfileConfig("", 8, 8, 8, 0, 0)))  # type: ignore[return-value]


@dataclass
class BlockDctConfig(CodecConfig):
    """Thresholded block DCT of the page (paper, Algorithm 1), entropy coded.

    block: side in pixels. step: of the quantiser, in gray levels. bitstream: false leaves out
    quantiser and bytes, the paper's study of coefficients.
    """

    name: str = "block_dct"
    block: int = 14
    threshold: Threshold = Threshold.image
    fit: Fit = Fit.pad
    step: int = 1
    bitstream: bool = True

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("block",), 1, 128)
        faults += ranges.integers(self, prefix, ("step",), 1, 255)
        if not faults and self.step != 1 and not self.bitstream:
            allowed = f"1 while {prefix}.bitstream is false (nothing is quantised)"
            faults.append(fault(f"{prefix}.step", self.step, allowed))
        return faults

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.block_dct import BlockDct

        return BlockDct(
            block=self.block,
            keep_ratio=keep_ratio,
            threshold=self.threshold.value,
            fit=self.fit.value,
            step=self.step,
            bitstream=self.bitstream,
        )


@dataclass
class LosslessConfig(CodecConfig):
    """A lossless codec has no use for keep_ratio."""

    @property
    def uses_keep_ratio(self) -> bool:
        return False


@dataclass
class PngConfig(LosslessConfig):
    """Optimised PNG, lossless."""

    name: str = "png"
    control: ClassVar[str] = "PNG"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.png import Png

        return Png()


@dataclass
class WebpLosslessConfig(LosslessConfig):
    """Lossless WebP. effort: 0 (fast) to 6 (small)."""

    name: str = "webp_lossless"
    control: ClassVar[str] = "lossless WebP"
    effort: int = 4

    def check(self, prefix: str) -> list[str]:
        return ranges.integers(self, prefix, ("effort",), 0, 6)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.webp_lossless import WebpLossless

        return WebpLossless(effort=self.effort)


@dataclass
class JxlLosslessConfig(LosslessConfig):
    """Lossless JPEG XL. effort: 1 (fast) to 9 (small)."""

    name: str = "jxl_lossless"
    control: ClassVar[str] = "lossless JPEG XL"
    effort: int = 7

    def check(self, prefix: str) -> list[str]:
        return ranges.integers(self, prefix, ("effort",), 1, 9)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.jxl_lossless import JxlLossless

        return JxlLossless(effort=self.effort)


@dataclass
class QualityConfig(CodecConfig):
    """A lossy image format. quality: 1 to 100; null: 100 keep_ratio."""

    quality: int | None = None

    @property
    def uses_keep_ratio(self) -> bool:
        return self.quality is None

    def check(self, prefix: str) -> list[str]:
        return ranges.integers(self, prefix, ("quality",), 1, 100)


@dataclass
class JpegConfig(QualityConfig):
    """JPEG. quality: 1 to 100; null: 100 keep_ratio."""

    name: str = "jpeg"
    control: ClassVar[str] = "JPEG"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.jpeg import Jpeg

        return Jpeg(keep_ratio=keep_ratio, quality=self.quality)


@dataclass
class WebpConfig(QualityConfig):
    """Lossy WebP. quality: 1 to 100; null: 100 keep_ratio."""

    name: str = "webp"
    control: ClassVar[str] = "WebP"

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.webp import Webp

        return Webp(keep_ratio=keep_ratio, quality=self.quality)


@dataclass
class AvifConfig(QualityConfig):
    """AVIF. quality: 1 to 100; null: 100 keep_ratio. speed: 0, the most thorough, to 10. tune:
    default, or psnr for the least squared error.
    """

    name: str = "avif"
    control: ClassVar[str] = "AVIF"
    speed: int = 6
    tune: AvifTune = AvifTune.default

    def check(self, prefix: str) -> list[str]:
        return super().check(prefix) + ranges.integers(self, prefix, ("speed",), 0, 10)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.avif import Avif

        return Avif(keep_ratio, self.quality, self.speed, self.tune.value)


@dataclass
class JxlConfig(CodecConfig):
    """Lossy JPEG XL. distance: 0.1 (good) to 25 (bad); null: 15 ** (1 - keep_ratio)."""

    name: str = "jxl"
    control: ClassVar[str] = "JPEG XL"
    distance: float | None = None

    @property
    def uses_keep_ratio(self) -> bool:
        return self.distance is None

    def check(self, prefix: str) -> list[str]:
        if self.distance is None or 0.1 <= self.distance <= 25:
            return []
        return [fault(f"{prefix}.distance", self.distance, "a number from 0.1 to 25, or null")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.jxl import Jxl

        return Jxl(keep_ratio=keep_ratio, distance=self.distance)


@dataclass
class DownsampleConfig(CodecConfig):
    """A smaller page with keep_ratio of the pixels, stored losslessly: the control.

    restore_size: the page is enlarged again; false: the model sees the small page.
    """

    name: str = "downsample"
    control: ClassVar[str] = "downsampling of the page"
    restore_size: bool = False

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.downsample import Downsample

        return Downsample(keep_ratio=keep_ratio, restore_size=self.restore_size)


@dataclass
class BlockVqConfig(CodecConfig):
    """Code words on text lines, and the block DCT of what they leave, finer with keep_ratio.

    block: side of the residual's blocks in pixels. codebook: false leaves the bundled one out.
    """

    name: str = "block_vq"
    block: int = 16
    codebook: bool = True

    def check(self, prefix: str) -> list[str]:
        if self.block in (8, 14, 16, 28):
            return []
        return [fault(f"{prefix}.block", self.block, "8, 14, 16, 28")]

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.block_vq.codec import BlockVq

        return BlockVq(keep_ratio=keep_ratio, block=self.block, codebook=self.codebook)


@dataclass
class BlockCopyConfig(CodecConfig):
    """Blocks copied from before on the page, and the block DCT of what they leave.

    step: of the quantiser, in gray levels, 1 to 255; null: 255 ** (1 - keep_ratio).
    """

    name: str = "block_copy"
    step: int | None = None

    @property
    def uses_keep_ratio(self) -> bool:
        return self.step is None

    def check(self, prefix: str) -> list[str]:
        return ranges.integers(self, prefix, ("step",), 1, 255)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> Codec:
        from freqexp.codecs.block_copy.codec import BlockCopy

        return BlockCopy(keep_ratio=keep_ratio, step=self.step)
