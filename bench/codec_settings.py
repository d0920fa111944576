"""Which settings of which codecs the bench measures, and what it calls them."""

from __future__ import annotations

from bench.codec_quality import Posterized
from bench.codec_rows import Row
from freqexp.codecs.base import Codec
from freqexp.composing.compose import compose
from freqexp.errors import ConfigError

OURS = ("symbols", "block_vq", "block_dct", "block_copy")
LEVELS = (2, 4, 8, 16, 256)

SETTINGS: dict[str, tuple[str, ...]] = {
    "none": ("",),
    "symbols": (
        *(f"compressor.levels={n}{p}" for n in LEVELS for p in ("", " compressor.prior=null")),
        "compressor.levels=20",
    ),
    "block_vq": (
        *(f"keep_ratio={k}" for k in (0.01, 0.3, 0.5)),
        "keep_ratio=0.01 compressor.codebook=false",
    ),
    "block_dct": tuple(f"keep_ratio=1 compressor.step={s}" for s in (16, 64)),
    "block_copy": tuple(f"compressor.step={s}" for s in (14, 42)),
    "strips": (
        *(f"compressor.levels={n}" for n in LEVELS),
        *(f"compressor.levels={n} compressor.coder=xz" for n in (2, 256)),
    ),
    "jb2": ("", "compressor.losslevel=100 compressor.dpi=200"),
    "jbig1": ("",),
    "png": ("", *(f"posterized={n}" for n in (2, 16))),
    "webp_lossless": ("",),
    "jxl_lossless": tuple(
        f"compressor.effort=9{p}" for p in ("", " posterized=2", " posterized=4")
    ),
    "posterize": tuple(f"compressor.levels={n}" for n in (2, 3, 4, 8, 16)),
    "jpeg": tuple(f"compressor.quality={q}" for q in (20, 75)),
    "webp": ("compressor.quality=20",),
    "avif": (
        *(f"compressor.quality={q}" for q in (20, 30, 40, 60, 65, 80)),
        *(f"compressor.quality={q} compressor.speed=4 compressor.tune=psnr" for q in (25, 48)),
    ),
    "jxl": tuple(f"compressor.distance={d}" for d in (1, 3, 6, 10, 15)),
    "jpeg2000": (
        *(f"compressor.psnr_db={d} compressor.resolutions=1" for d in (25, 30)),
        *(f"compressor.psnr_db={d}" for d in (30, 36)),
        *(f"compressor.lossless=true compressor.resolutions={r}" for r in (1, 6)),
    ),
    "downsample": ("keep_ratio=0.35 compressor.restore_size=true",),
}
"""Of each codec what lies about its smallest readable page, and without loss where it can.

`posterized=n` stores the page at n gray levels.
"""


def not_built(name: str) -> tuple[str, ...]:
    """Why a codec is not to be had here; nothing where it is."""
    try:
        compose((f"compressor={name}",))
    except ConfigError as error:
        return error.faults
    return ()


def shown(setting: str) -> str:
    """A setting as tables have it."""
    return setting.replace("compressor.", "")


def asked(row: Row) -> bool:
    """Whether a row is of one of the settings; those of others may be left from before."""
    return row.setting in map(shown, SETTINGS.get(row.codec, ()))


def built(name: str, setting: str) -> Codec | Posterized | None:
    """The codec of a setting; None for pages as they are."""
    overrides = [part for part in setting.split() if not part.startswith("posterized=")]
    config = compose((f"compressor={name}", *overrides))
    if name == "none":
        return None
    codec = config.compressor.build(config.keep_ratio, config.profile)
    assert isinstance(codec, Codec)
    _, _, levels = setting.partition("posterized=")
    return Posterized(codec, int(levels)) if levels else codec
