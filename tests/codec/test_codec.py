"""The command line for page bitstreams, and the image files it takes."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from freqexp.codec.__main__ import main
from freqexp.codec.files import read_image
from freqexp.codecs.base import decode
from freqexp.errors import BAD_INPUT, DONE, FAILED, UserError

GRAY = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(GRAY).save(folder / "gray.png")
    Image.fromarray(COLOUR).save(folder / "more" / "colour.png")
    return folder


def test_a_folder_there_and_back(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, restored = tmp_path / "stored", tmp_path / "restored"
    assert main(["encode", str(pages), "-o", str(stored), "compressor=png"]) == DONE
    assert main(["decode", str(stored), "-o", str(restored)]) == DONE
    np.testing.assert_array_equal(np.asarray(Image.open(restored / "gray.png.png")), GRAY)
    colour = np.asarray(Image.open(restored / "more" / "colour.png.png"))
    np.testing.assert_array_equal(colour, COLOUR)
    capsys.readouterr()
    assert main(["info", str(stored)]) == DONE
    out = capsys.readouterr().out
    size = (stored / "gray.png.fqxp").stat().st_size
    assert f"Png (version 1), 30 x 20 gray, {size} bytes (header " in out


def test_settings_reach_the_codec(pages: Path, tmp_path: Path) -> None:
    settings = ["compressor=downsample", "keep_ratio=0.25"]
    assert main(["encode", str(pages / "gray.png"), *settings, "-o", str(tmp_path)]) == DONE
    assert decode((tmp_path / "gray.png.fqxp").read_bytes()).shape == (10, 15)


def test_one_bad_file_does_not_stop_the_others(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pages / "empty.png").touch()
    command = ["encode", str(pages), "-o", str(tmp_path / "out"), "compressor=png"]
    assert main(command) == FAILED
    assert len(list((tmp_path / "out").rglob("*.fqxp"))) == 2
    error = capsys.readouterr().err
    assert "empty.png: not an image: 0 bytes" in error
    assert "1 of 3 files failed" in error
    damaged = next((tmp_path / "out").rglob("*.fqxp"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert main(["decode", str(tmp_path / "out"), "-o", str(tmp_path / "back")]) == FAILED
    assert main(["info", str(tmp_path / "out")]) == FAILED


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["encode", "PAGES", "-o", "out", "compressor=token"], "writes no bitstream"),
        (["encode", "PAGES", "-o", "out", "compressor=nothing"], "compressor: got 'nothing'"),
        (["encode", "PAGES", "-o", "out", "compressor.bitstream=false"], "writes no bitstream"),
        (["encode", "PAGES", "-o", "out", "compressor=combined"], "writes no bitstream"),
        (["encode", "PAGES", "-o", "out", "compressor=kivi"], "writes no bitstream"),
        (["encode", "PAGES", "-o", __file__], "--output: got"),
        (["decode", "PAGES", "-o", "out"], "holds no file of .fqxp"),
        (["info", "missing"], "no such file or folder"),
    ],
)
def test_bad_input(
    command: list[str], message: str, pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(pages) if word == "PAGES" else word for word in command]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_images_that_are_pages(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(COLOUR).quantize(16).save(path)
    assert read_image(path).shape == (20, 30, 3)
    opaque = np.dstack([COLOUR, np.full((20, 30), 255, np.uint8)])
    Image.fromarray(opaque).save(path)
    np.testing.assert_array_equal(read_image(path), COLOUR)
    Image.new("1", (3, 2), 1).save(path)
    np.testing.assert_array_equal(read_image(path), np.full((2, 3), 255))
    Image.new("L", (1, 1), 7).save(path)
    assert read_image(path).tolist() == [[7]]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGBA", (4, 4), (1, 2, 3, 4)), "transparent pixels"),
        (Image.new("LA", (4, 4), (1, 2)), "transparent pixels"),
        (Image.new("I;16", (4, 4)), "mode I;16"),
        (Image.new("1", (30_000, 30_000)), "too large"),
        (Image.new("1", (9_000, 9_000)), "9000 x 9000 pixels is too large"),
    ],
    ids=["alpha", "gray alpha", "16 bit", "900 megapixels", "81 megapixels"],
)
def test_images_that_are_no_pages(image: Image.Image, message: str, tmp_path: Path) -> None:
    image.save(tmp_path / "image.png")
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_it_says(orientation: int, tmp_path: Path) -> None:
    turned = Image.fromarray(COLOUR)
    exif = turned.getexif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "photo.png", exif=exif)
    flipped = {2: COLOUR[:, ::-1], 3: COLOUR[::-1, ::-1], 4: COLOUR[::-1]}
    across = COLOUR.transpose(1, 0, 2)
    flipped |= {5: across, 6: across[:, ::-1], 7: across[::-1, ::-1], 8: across[::-1]}
    wanted = flipped.get(orientation, COLOUR)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), wanted)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bits_of_colour_are_refused(channels: int, tmp_path: Path) -> None:
    deep = np.full((4, 5, channels), 65_535, np.uint16)
    (tmp_path / "image.png").write_bytes(imagecodecs.png_encode(deep))
    with pytest.raises(UserError, match=r"pixels stored as (RGB|RGBA|LA);16B, allowed: 8 bits"):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_files_that_are_no_images(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"not an image|can't be read"):
        read_image(path)
