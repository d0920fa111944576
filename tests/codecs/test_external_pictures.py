"""Files of pictures: against bits written one by one, and against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from external_programs import BAD_PICTURES, COLOUR, GRAY, png
from PIL import Image

from freqexp.codecs.external.pictures import read_picture, write_picture
from freqexp.nouns.page import Pixels


def slow_pbm(page: Pixels, threshold: int) -> bytes:
    """netpbm's P4, bit by bit: 1 is black, rows end on a byte."""
    rows = b""
    for row in page.tolist():
        bits = "".join(
            "1" if (v if isinstance(v, int) else luma(*v)) < threshold else "0" for v in row
        )
        bits += "0" * (-len(bits) % 8)
        rows += bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return f"P4\n{page.shape[1]} {page.shape[0]}\n".encode() + rows


def luma(red: int, green: int, blue: int) -> int:
    """ITU-R 601, rounded; in 16 bits behind the point."""
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


@pytest.mark.parametrize("threshold", [1, 128, 255])
@pytest.mark.parametrize("page", [GRAY, COLOUR, GRAY[:, :8]], ids=["gray", "RGB", "8 wide"])
def test_pages_of_two_levels(page: Pixels, threshold: int) -> None:
    data = write_picture(page, "pbm", threshold)
    assert data == slow_pbm(page, threshold)
    pillow = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    for picture in ("pbm", "pnm"):
        np.testing.assert_array_equal(read_picture(data, picture, page.shape[:2]), pillow)
        in_rgb = read_picture(data, picture, (*page.shape[:2], 3))
        np.testing.assert_array_equal(in_rgb, np.stack([pillow] * 3, axis=-1))


@pytest.mark.parametrize("picture", ["png", "pnm"])
def test_pictures_there_and_back(picture: str) -> None:
    for page in (GRAY, COLOUR, GRAY[:1, :1]):
        data = write_picture(page, picture, 128)
        assert Image.open(io.BytesIO(data)).size == page.shape[1::-1]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), page)
        np.testing.assert_array_equal(read_picture(data, picture, page.shape), page)
    gray = read_picture(write_picture(COLOUR, picture, 128), picture, GRAY.shape)
    assert gray.tolist() == [[luma(*sample) for sample in row] for row in COLOUR.tolist()]


def test_a_head_with_comments_and_samples_that_look_like_one() -> None:
    data = b"P5 # made by\n# a program\n 2\t1 \n255 #9"
    assert read_picture(data, "pnm", (1, 2)).tolist() == [[ord("#"), ord("9")]]


def test_other_pngs_of_eight_bits_are_read() -> None:
    opaque = Image.fromarray(np.dstack([COLOUR, np.full(GRAY.shape, 255, np.uint8)]))
    np.testing.assert_array_equal(read_picture(png(opaque), "png", COLOUR.shape), COLOUR)
    palette = Image.fromarray(COLOUR).quantize(16)
    wanted = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(read_picture(png(palette), "png", COLOUR.shape), wanted)
    two = Image.fromarray(GRAY).convert("1")
    np.testing.assert_array_equal(
        read_picture(png(two), "png", GRAY.shape), np.asarray(two.convert("L"))
    )


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_pictures_that_are_not_the_page(name: str) -> None:
    data, picture, why = BAD_PICTURES[name]
    with pytest.raises(ValueError, match=why):
        read_picture(data, picture, (1, 2))
    with pytest.raises(ValueError, match=why):
        read_picture(data, picture, (1, 2, 3))
