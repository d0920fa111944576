"""Image formats inside the container: one section is a whole file of the format."""

from __future__ import annotations

import io
import math
import warnings
from abc import abstractmethod

import numpy as np

from freqexp.codecs.base import Codec, Payload
from freqexp.coding.bitstream import Bitstream, BitstreamError
from freqexp.errors import ConfigError, fault
from freqexp.nouns.page import Pixels


class ImageCodec(Codec):
    """A codec that is one image format; it has no parameters, as the file says all."""

    def store(self, pixels: Pixels) -> Payload:
        """The page as a file."""
        return Payload(b"", (self.write(pixels),))

    @classmethod
    def restore(cls, stream: Bitstream) -> Pixels:
        """The page of the file."""
        if stream.parameters:
            raise BitstreamError(f"{cls.__name__}: parameters where none belong")
        return cls.read(stream.sections[0], stream.shape)

    @abstractmethod
    def write(self, pixels: Pixels) -> bytes:
        """A page ([H, W] or [H, W, 3] uint8) as a file of this format."""

    @classmethod
    @abstractmethod
    def read(cls, data: bytes, shape: tuple[int, ...]) -> Pixels:
        """The page of `shape` in a file. Raises BitstreamError for anything else."""


def quality_of(keep_ratio: float, quality: int | None, *others: str) -> int:
    """`quality` (1 to 100), or 100 keep_ratio rounded, at least 1.

    others: faults of other settings. Raises ConfigError naming all values out of range.
    """
    faults = []
    if not 0 < keep_ratio <= 1:
        faults.append(fault("keep_ratio", keep_ratio, "above 0, at most 1"))
    if quality is not None and not 1 <= quality <= 100:
        faults.append(fault("quality", quality, "an integer from 1 to 100"))
    faults += others
    if faults:
        raise ConfigError(faults)
    return max(1, math.floor(100 * keep_ratio + 0.5)) if quality is None else quality


def write_pillow(pixels: Pixels, file_format: str, **options: object) -> bytes:
    """A page as a file that Pillow writes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=file_format, **options)
    return buffer.getvalue()


def read_pillow(data: bytes, file_format: str, shape: tuple[int, ...]) -> Pixels:
    """The page of `shape` in a file that Pillow reads.

    A format without gray is read as RGB and its luma taken. Raises BitstreamError for a file of
    another format or size, or that can't be decoded.
    """
    from PIL import Image

    try:
        # A warning is about a file that is not quite right, so not one of ours.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=(file_format,)) as image:
                if image.size == (shape[1], shape[0]):
                    return np.array(image.convert("L" if len(shape) == 2 else "RGB"))
                size = image.size
    # Decoders meet hostile bytes with exceptions of every type.
    except Exception as error:
        raise BitstreamError(f"{file_format}: not an image this program reads ({error})") from error
    raise BitstreamError(_size_fault(file_format, size, shape))


def read_jxl(data: bytes, shape: tuple[int, ...]) -> Pixels:
    """The page of `shape` in a JPEG XL file. Raises BitstreamError for anything else."""
    import imagecodecs

    page = np.empty(shape, dtype=np.uint8)
    try:
        # `out` makes the decoder compare the sizes before it allocates anything of its own.
        found = imagecodecs.jpegxl_decode(data, numthreads=1, out=page)
    except Exception as error:
        raise BitstreamError(f"JPEG XL: not an image of this page's size ({error})") from error
    if found.shape != shape or found.dtype != np.uint8:
        raise BitstreamError(_size_fault("JPEG XL", found.shape[1::-1], shape))
    return page if found is page else np.asarray(found)


def _size_fault(file_format: str, size: tuple[int, ...], shape: tuple[int, ...]) -> str:
    found = " x ".join(map(str, size))
    return f"{file_format}: an image of {found} pixels, the page has {shape[1]} x {shape[0]}"
