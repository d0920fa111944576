"""Programs of a line of Python that stand for a user's codec, and pictures that are no page."""

from __future__ import annotations

import io
import sys
import zlib
from dataclasses import replace

import numpy as np
from PIL import Image

from freqexp.codecs.external.pictures import write_picture
from freqexp.codecs.external.settings import ExternalSettings

PYTHON = (sys.executable, "-I", "-S", "-c")
FILES = ("{input}", "{output}")
READ = "import sys, zlib; data = open(sys.argv[1], 'rb').read(); out = open(sys.argv[2], 'wb'); "
PACK = READ + "out.write(zlib.compress(data))"
UNPACK = READ + "out.write(zlib.decompress(data))"

GRAY = np.random.default_rng(0).integers(0, 256, (13, 21)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (13, 21, 3)).astype(np.uint8)


def script(code: str, *arguments: str) -> tuple[str, ...]:
    return (*PYTHON, code, *FILES, *arguments)


def settings(**changes: object) -> ExternalSettings:
    plain = ExternalSettings(
        script(PACK), script(UNPACK), input_format="pnm", output_format="pnm", timeout=20
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def deep_rgb() -> bytes:
    """An RGB PNG of one pixel with 16 bits a sample, which Pillow reads as one of 8."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)

    head = (1).to_bytes(4) * 2 + bytes([16, 2, 0, 0, 0])
    body = zlib.compress(bytes(7))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


SEE_THROUGH = Image.new("RGBA", (2, 1), (1, 2, 3, 254))
BAD_PICTURES = {
    "size": (write_picture(GRAY, "png", 0), "png", "21 x 13 pixels, the page has 2 x 1"),
    "16 bit gray": (png(Image.new("I;16", (2, 1))), "png", "16 bits a sample; 8 are read"),
    "16 bit RGB": (deep_rgb(), "png", "16 bits a sample; 8 are read"),
    "alpha": (png(SEE_THROUGH), "png", "transparent pixels"),
    "gray alpha": (png(SEE_THROUGH.convert("LA")), "png", "transparent pixels"),
    "palette alpha": (
        png(Image.new("P", (2, 1)), transparency=0),
        "png",
        "transparent pixels",
    ),
    "frames": (
        png(Image.new("L", (2, 1)), save_all=True, append_images=[Image.new("L", (2, 1), 9)]),
        "png",
        "2 frames; one is read",
    ),
    "torn": (png(Image.new("L", (2, 1)))[:40], "png", "a PNG that can't be read"),
    "no PNG": (b"hello", "png", "no PNG: it starts with b'hello'"),
    "PNG for PNM": (png(Image.new("L", (2, 1))), "pnm", "no pnm: it starts with"),
    "P5 for PBM": (b"P5\n2 1\n255\nab", "pbm", "no pbm: .* P4 are read"),
    "PNM size": (b"P5\n3 1\n255\nabc", "pnm", "3 x 1 pixels, the page has 2 x 1"),
    "PNM 16 bit": (b"P5\n2 1\n65535\nabcd", "pnm", "16 bits a sample; samples up to 255"),
    "PNM few levels": (b"P5\n2 1\n15\nab", "pnm", "a largest sample of 15"),
    "PNM torn": (b"P6\n2 1\n255\nabcde", "pnm", "5 bytes of samples where 6 belong"),
    "PNM and more": (b"P4\n2 1\nab", "pnm", "2 bytes of samples where 1 belong"),
    "PNM without head": (b"P4\nx", "pnm", "head can't be read"),
    "PNM without samples": (b"P4\n2 1", "pnm", "head can't be read"),
}
