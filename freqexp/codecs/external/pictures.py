"""Pages as the files that programs read, and the files that they write as pages."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np

from freqexp.codecs.images import write_pillow
from freqexp.nouns.page import Pixels

_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")
_PLAIN = ("1", "L", "P", "RGB")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_AT = 24
# Whitespace, and comments up to the end of their line, may stand before each number (netpbm, pnm).
_NUMBER = re.compile(rb"(?:\s|#[^\n]*\n)+(\d{1,9})")


def write_picture(pixels: Pixels, picture: str, threshold: int) -> bytes:
    """A page ([H, W] or [H, W, 3] uint8) as a file: png, pnm (P5 for gray, P6) or pbm (P4).

    pbm: of RGB the luma (ITU-R 601) is taken; what is below `threshold` is black.
    """
    if picture == "png":
        return write_pillow(pixels, "PNG")
    height, width = pixels.shape[:2]
    size = f"{width} {height}\n".encode()
    if picture == "pbm":
        return b"P4\n" + size + np.packbits(_luma(pixels) < threshold, axis=1).tobytes()
    return (b"P5\n" if pixels.ndim == 2 else b"P6\n") + size + b"255\n" + pixels.tobytes()


def read_picture(data: bytes, picture: str, shape: tuple[int, ...]) -> Pixels:
    """The page of `shape` in a file: png, pnm (P4, P5 or P6) or pbm (P4).

    For an RGB page a gray picture is three equal channels; for a gray page the luma of an RGB one
    is taken. Raises ValueError, which says why, for a picture of another size, of 16 bits a sample,
    with transparent pixels, or that can't be read.
    """
    found = _read_png(data, shape) if picture == "png" else _read_pnm(data, picture, shape)
    if len(shape) == 2:
        return _luma(found)
    if found.ndim == 3:
        return found
    return np.ascontiguousarray(np.broadcast_to(found[:, :, np.newaxis], shape))


def _luma(pixels: Pixels) -> Pixels:
    from PIL import Image

    return pixels if pixels.ndim == 2 else np.array(Image.fromarray(pixels).convert("L"))


def _read_png(data: bytes, shape: tuple[int, ...]) -> Pixels:
    from PIL import Image

    if data[: len(_PNG)] != _PNG:
        raise ValueError(f"no PNG: it starts with {data[:8]!r}")
    # Pillow drops the lower bytes of some pictures of 16 bits without a word.
    if data[_PNG_DEPTH_AT : _PNG_DEPTH_AT + 1] == b"\x10":
        raise ValueError("16 bits a sample; 8 are read")
    try:
        # A warning is about a file that is not quite right.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                _check_size((image.height, image.width), shape)
                return _opaque(image, getattr(image, "n_frames", 1))
    except ValueError:
        raise
    # Decoders meet damaged files with exceptions of every type.
    except Exception as error:
        raise ValueError(f"a PNG that can't be read: {error}") from error


def _opaque(image: object, frames: int) -> Pixels:
    from PIL import Image

    assert isinstance(image, Image.Image)
    if frames > 1:
        raise ValueError(f"{frames} frames; one is read")
    gray = image.mode in ("1", "L", "LA", "La")
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image)[:, :, 3].min() < 255:
            raise ValueError("transparent pixels; opaque ones are read")
    elif image.mode not in _PLAIN:
        raise ValueError(f"pixels of mode {image.mode}; 8 bits a sample, gray or RGB, are read")
    return np.array(image.convert("L" if gray else "RGB"))


def _read_pnm(data: bytes, picture: str, shape: tuple[int, ...]) -> Pixels:
    kinds = (b"P4",) if picture == "pbm" else (b"P4", b"P5", b"P6")
    kind = data[:2]
    if kind not in kinds:
        known = ", ".join(name.decode() for name in kinds)
        raise ValueError(f"no {picture}: it starts with {data[:8]!r}, {known} are read")
    numbers, at = [], 2
    for _ in range(2 if kind == b"P4" else 3):
        match = _NUMBER.match(data, at)
        if match is None:
            raise ValueError(f"a {picture} whose head can't be read")
        numbers.append(int(match[1]))
        at = match.end()
    width, height, *most = numbers
    _check_size((height, width), shape)
    if most and most[0] != 255:
        deep = "16 bits a sample" if most[0] > 255 else f"a largest sample of {most[0]}"
        raise ValueError(f"{deep}; samples up to 255 are read")
    if not data[at : at + 1].isspace():
        raise ValueError(f"a {picture} whose head can't be read")
    row = (width + 7) // 8 if kind == b"P4" else width * (3 if kind == b"P6" else 1)
    body = data[at + 1 :]
    if len(body) != row * height:
        raise ValueError(f"{len(body)} bytes of samples where {row * height} belong")
    samples = np.frombuffer(body, dtype=np.uint8).reshape(height, row)
    if kind == b"P4":
        return np.where(np.unpackbits(samples, axis=1, count=width), 0, 255).astype(np.uint8)
    return samples.reshape(height, width, 3) if kind == b"P6" else samples


def _check_size(found: tuple[int, int], shape: tuple[int, ...]) -> None:
    if found != tuple(shape[:2]):
        wanted = f"the page has {shape[1]} x {shape[0]}"
        raise ValueError(f"a picture of {found[1]} x {found[0]} pixels, {wanted}")
