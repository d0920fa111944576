"""Image files to pages, and bytes to and from files: what the command line needs."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from freqexp.coding.bitstream import MAX_SAMPLES, size_fault
from freqexp.errors import UserError
from freqexp.nouns.page import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

_GRAY = ("1", "L")
_ORIENTATION = 0x0112
_ALLOWED = "allowed: 8 bits a sample, gray, palette or RGB"
_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")
_LARGEST = 64 + 4 * MAX_SAMPLES  # no bitstream of a page we decode takes more


def read_image(path: Path) -> Pixels:
    """An image file as a page, [H, W] or [H, W, 3] uint8.

    Bilevel and gray files become gray, palettes and opaque colour RGB; a photo is turned as its
    EXIF orientation says. Raises UserError for what
    no page can hold (16 bits, transparency, several frames, other colour spaces, too many pixels)
    and for what is no image.
    """
    from PIL import Image, UnidentifiedImageError

    if path.is_file() and path.stat().st_size == 0:
        raise UserError("not an image: 0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _page(image)
    except Image.DecompressionBombError as error:
        raise UserError(f"too large ({error})") from None
    except UnidentifiedImageError:
        raise UserError("not an image in a format that can be read") from None
    except UserError:
        raise
    # Decoders meet damaged files with exceptions of every type.
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"can't be read ({reason})") from error


def _page(image: Image) -> Pixels:
    """The pixels of an opened file, turned as its EXIF orientation says; its size is checked before
    they are decoded.
    """
    from PIL import ImageOps

    mode = image.mode
    deep = next((name for name in _stored_as(image) if ";16" in name), None)
    if deep is not None and mode in ("RGB", *_ALPHA):
        raise UserError(f"pixels stored as {deep}, {_ALLOWED}")
    channels = () if mode in _GRAY else (3,)
    too_large = size_fault((image.height, image.width, *channels))
    if too_large:
        raise UserError(too_large)
    if getattr(image, "n_frames", 1) > 1:
        raise UserError(f"{getattr(image, 'n_frames', 1)} frames, allowed: 1")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image)[:, :, 3].min() < 255:
            raise UserError("transparent pixels, allowed: opaque ones (choose a background first)")
    elif mode not in (*_GRAY, "P", "RGB"):
        raise UserError(f"pixels of mode {mode}, {_ALLOWED}")
    if mode in (*_GRAY, "LA", "La"):
        return np.array(image.convert("L"))
    return np.array(image.convert("RGB"))


def _stored_as(image: Image) -> list[str]:
    """The raw modes of a file, such as RGB;16B, which Pillow may read as a mode of fewer bits."""
    found = [tile.args for tile in getattr(image, "tile", ())]
    words = [args if isinstance(args, tuple) else (args,) for args in found]
    return [word for each in words for word in each if isinstance(word, str)]


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises UserError when it can't be read or can be no bitstream."""
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise UserError(f"{size} bytes, a bitstream has at most {_LARGEST}")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write the whole file or nothing. Raises UserError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"{path}: can't be written ({error.strerror})") from None
