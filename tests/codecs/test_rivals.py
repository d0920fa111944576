"""PNG of few levels, JPEG 2000, JB2 and JBIG1: exact where they say so, the settings they take, and
programs that are missing, slow or faulty.
"""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import codecs as bench_codecs
from freqexp.codecs.base import decode
from freqexp.codecs.jb2 import Jb2
from freqexp.codecs.jbig1 import Jbig1
from freqexp.codecs.jpeg2000 import Jpeg2000
from freqexp.codecs.png import Png
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.programs import INPUT, OUTPUT, ProgramError, run, run_on_files
from freqexp.codecs.two_levels import TwoLevelCodec, read_pbm, write_pbm
from freqexp.coding.bitstream import Bitstream, BitstreamError, unpack
from freqexp.composing.compose import compose
from freqexp.errors import ConfigError
from freqexp.nouns.page import Pixels

PYTHON = Path(sys.executable).name


def needs(codec: type[TwoLevelCodec]) -> object:
    """The codec as a parameter, skipped where its programs are not installed."""
    faults = codec.program_faults("compressor")
    marks = [pytest.mark.skip(faults[0])] if faults else []
    return pytest.param(codec, marks=marks, id=codec.__name__)


TWO_LEVELS = [needs(Jb2), needs(Jbig1)]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def python_on_path(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a program that is on the PATH."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    return PYTHON


def png_bits(data: bytes) -> tuple[int, int]:
    """Bits and colour type that the head of a PNG file says."""
    assert data[12:16] == b"IHDR"
    return data[24], data[25]


@pytest.mark.parametrize(
    ("levels", "bits"), [(2, (1, 0)), (3, (2, 3)), (4, (2, 3)), (5, (4, 3)), (16, (4, 3))]
)
def test_png_of_few_levels(text_page: Pixels, levels: int, bits: tuple[int, int]) -> None:
    page = decode(Posterize(levels=levels).encode(text_page[:200, :300]))
    data = Png().write(page)
    assert png_bits(data) == bits
    np.testing.assert_array_equal(Png.read(data, page.shape), page)


@pytest.mark.parametrize("values", [(0,), (255,), (7,), (0, 254), (1, 2, 3), tuple(range(16))])
def test_png_of_any_levels(values: tuple[int, ...]) -> None:
    page = np.random.default_rng(0).choice(np.array(values, np.uint8), (37, 43))
    for pixels in (page, np.stack([page, 255 - page, page // 2], axis=2)):
        np.testing.assert_array_equal(decode(Png().encode(pixels)), pixels)


def test_png_of_few_colours_is_smaller(text_page: Pixels) -> None:
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (200, 3), dtype=np.uint8)
    page = palette[rng.integers(0, 200, (60, 60))]
    data = Png().write(page)
    assert png_bits(data) == (8, 3)
    # An index a pixel, and the palette.
    assert len(data) < 60 * 60 + 200 * 3 + 200
    np.testing.assert_array_equal(Png.read(data, page.shape), page)
    many = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    assert png_bits(Png().write(many)) == (8, 2)
    assert png_bits(Png().write(text_page)) == (8, 0)


def test_png_at_one_bit_beside_zlib_alone(text_page: Pixels) -> None:
    page = np.where(text_page < 128, 0, 255).astype(np.uint8)
    rows = np.pad(np.packbits(page > 0, axis=1), ((0, 0), (1, 0)))
    # Signature, three chunks and the content of the first.
    assert len(Png().write(page)) <= len(zlib.compress(rows.tobytes(), 9)) + 8 + 3 * 12 + 13


@pytest.mark.parametrize("resolutions", [1, 6, 10])
def test_jpeg2000_lossless(text_page: Pixels, colour_page: Pixels, resolutions: int) -> None:
    codec = Jpeg2000(lossless=True, resolutions=resolutions)
    odd = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    for page in (text_page[:90, :120], colour_page[:50, :40], odd, odd[:1, :1], odd[..., 0]):
        np.testing.assert_array_equal(codec.compress(page).pixels, page)


@pytest.mark.parametrize("resolutions", [1, 6])
def test_jpeg2000_has_the_psnr_that_was_asked_for(text_page: Pixels, resolutions: int) -> None:
    page = text_page[:300, :300]
    sizes = []
    for asked in (15, 20.5, 25, 35, 50):
        result = Jpeg2000(psnr_db=asked, resolutions=resolutions).compress(page)
        error = ((result.pixels.astype(float) - page) ** 2).mean()
        assert 10 * np.log10(255**2 / error) == pytest.approx(asked, abs=2.5)
        sizes.append(result.stored_bytes or 0)
    assert sizes == sorted(sizes)


def test_jpeg2000_of_another_size(text_page: Pixels) -> None:
    stream = unpack(Jpeg2000().encode(text_page[:30, :40]))
    for shape in ((30, 41), (40, 30), (30, 40, 3)):
        with pytest.raises(BitstreamError, match="JPEG 2000: not one tile of"):
            decode(Bitstream(13, shape, b"", stream.sections).pack())
    # The size that the head asks for is looked at before anything is decoded.
    huge = bytearray(stream.sections[0])
    huge[8:16] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(BitstreamError, match="not one tile of"):
        decode(Bitstream(13, (30, 40), b"", (bytes(huge),)).pack())
    with pytest.raises(BitstreamError, match="JPEG 2000: not an image"):
        decode(Bitstream(13, (30, 40), b"", (stream.sections[0][:60],)).pack())


@pytest.mark.parametrize("codec", TWO_LEVELS)
def test_two_levels_are_those_of_posterize(
    codec: Callable[[], TwoLevelCodec], text_page: Pixels, temporary: Path
) -> None:
    every = np.arange(256, dtype=np.uint8).reshape(8, 32)
    for page in (text_page[:200, :301], every, every[:1, :1], np.full((9, 3), 255, np.uint8)):
        data = codec().encode(page)
        assert codec().encode(page) == data
        np.testing.assert_array_equal(decode(data), Posterize(levels=2).compress(page).pixels)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("codec", TWO_LEVELS)
def test_two_levels_of_colour_are_those_of_its_luma(
    codec: Callable[[], TwoLevelCodec], colour_page: Pixels
) -> None:
    page = colour_page[:40, :50]
    # ITU-R 601, in 16 bits as Pillow rounds it.
    luma = (page.astype(np.int64) @ np.array([19595, 38470, 7471]) + 32768) >> 16
    expected = np.where(luma < 128, 0, 255)[..., np.newaxis].repeat(3, axis=2)
    np.testing.assert_array_equal(codec().compress(page).pixels, expected)


@pytest.mark.parametrize("codec", TWO_LEVELS)
def test_two_levels_take_less_than_png(
    codec: Callable[[], TwoLevelCodec], text_page: Pixels
) -> None:
    # No line stands on it twice, which only PNG would find.
    page = np.where(text_page[:50] < 128, 0, 255).astype(np.uint8)
    stream = unpack(codec().encode(page))
    assert len(stream.sections[0]) < 0.7 * len(Png().write(page))


@pytest.mark.parametrize("codec", TWO_LEVELS)
def test_a_two_level_file_that_is_none(
    codec: Callable[[], TwoLevelCodec], text_page: Pixels, temporary: Path
) -> None:
    stream = unpack(codec().encode(text_page[:30, :40]))
    with pytest.raises(BitstreamError, match="parameters where none belong"):
        decode(Bitstream(stream.code, (30, 40), b"x", stream.sections).pack())
    with pytest.raises(BitstreamError, match="not decoded"):
        decode(Bitstream(stream.code, (30, 40), b"", (b"no page",)).pack())
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("codec", [needs(Jb2)])
def test_jb2_loses_what_it_is_told_to(codec: Callable[..., TwoLevelCodec]) -> None:
    rng = np.random.default_rng(0)
    letter = np.where(rng.random((14, 14)) < 0.5, 0, 255).astype(np.uint8)
    page = np.full((160, 200), 255, np.uint8)
    for row, column in np.ndindex(8, 10):
        again = letter.copy()
        again[tuple(rng.integers(0, 14, 2))] ^= 255
        page[20 * row + 3 : 20 * row + 17, 20 * column + 3 : 20 * column + 17] = again
    lossless, lossy = (codec(level).compress(page) for level in (0, 200))
    np.testing.assert_array_equal(lossless.pixels, page)
    assert 0 < np.count_nonzero(lossy.pixels != page) < 0.05 * page.size
    assert (lossy.stored_bytes or 0) < (lossless.stored_bytes or 0)


@pytest.mark.parametrize("codec", [needs(Jb2)])
def test_jb2_stores_the_chunk_of_a_file_that_djvu_reads(
    codec: Callable[..., TwoLevelCodec], text_page: Pixels
) -> None:
    page = text_page[:100, :100]
    command = ["cjb2", INPUT, OUTPUT]
    file = run_on_files(command, write_pbm(page), ".pbm")
    assert file[-len(unpack(codec().encode(page)).sections[0]) :] == file[42:]
    assert unpack(codec().encode(page)).sections[0] == file[42:]


@pytest.mark.parametrize("codec", [needs(Jbig1)])
def test_jbig1_stores_a_file_without_its_head(
    codec: Callable[..., TwoLevelCodec], text_page: Pixels
) -> None:
    page = text_page[:100, :100]
    file = run(["pbmtojbg", "-q", "-s", "100", "-"], write_pbm(page))
    assert unpack(codec().encode(page)).sections[0] == file[20:]


def test_pbm_of_any_width(text_page: Pixels) -> None:
    for width in (1, 7, 8, 9, 64):
        page = text_page[:5, 10 : 10 + width]
        data = write_pbm(page)
        np.testing.assert_array_equal(read_pbm(data, 5, width), np.where(page < 128, 0, 255))
        for height, other, stored in (
            (5, width + 1, data),
            (4, width, data),
            (5, width, data[:-1]),
        ):
            with pytest.raises(BitstreamError, match=r"PBM: .* the page has"):
                read_pbm(stored, height, other)
    with pytest.raises(BitstreamError, match="PBM: not a file"):
        read_pbm(b"P5\n1 1\n255\n0", 1, 1)


@pytest.mark.parametrize(("option", "programs"), [("jb2", "cjb2 and ddjvu"), ("jbig1", "pbmtojbg")])
def test_programs_that_are_not_installed(
    option: str,
    programs: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=f"compressor: got '{option}', .*{programs}.* not found"):
        compose((f"compressor={option}",))
    with pytest.raises(ConfigError, match="not found"):
        {"jb2": Jb2, "jbig1": Jbig1}[option]()
    code = {"jb2": 14, "jbig1": 15}[option]
    with pytest.raises(BitstreamError, match="no such program on the PATH"):
        decode(Bitstream(code, (3, 3), b"", (b"x",)).pack())
    assert "not found" in bench_codecs.not_built(option)[0]
    assert bench_codecs.not_built("png") == ()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("jpeg2000", "psnr_db=9"),
            r"compressor.psnr_db: got 9.*, allowed: a number from 10 to 60",
        ),
        (("jpeg2000", "psnr_db=30", "lossless=true"), "psnr_db: got 30.*, allowed: null while"),
        (("jpeg2000", "resolutions=0"), "resolutions: got 0"),
        (("jb2", "losslevel=201"), "losslevel: got 201, allowed: an integer from 0 to 200"),
        (("jb2", "dpi=24"), "dpi: got 24, allowed: an integer from 25 to 1200"),
    ],
)
def test_settings_out_of_range(overrides: tuple[str, ...], message: str) -> None:
    name, *settings = overrides
    with pytest.raises(ConfigError, match=message):
        compose((f"compressor={name}", *(f"compressor.{setting}" for setting in settings)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Jpeg2000(0.0, 61), "keep_ratio: got 0.0, .*\npsnr_db: got 61"),
        (lambda: Jpeg2000(resolutions=11), "resolutions: got 11"),
        pytest.param(
            lambda: Jb2(-1, 1201),
            "losslevel: got -1, .*\ndpi: got 1201",
            marks=pytest.mark.skipif(shutil.which("cjb2") is None, reason="needs cjb2"),
        ),
    ],
)
def test_values_out_of_range(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_program_gives_what_it_writes(python_on_path: str) -> None:
    copy = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    assert run([python_on_path, "-c", copy], b"abc\0") == b"\0cba"
    assert run([python_on_path, "-c", copy], b"abc", memory_bytes=1 << 30) == b"cba"


def test_a_program_that_fails(python_on_path: str) -> None:
    fails = "import sys; print('  no\\n page', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ProgramError, match=rf"^{PYTHON}: exit code 3 \(no page\)$"):
        run([python_on_path, "-c", fails])
    with pytest.raises(ProgramError, match=r"^no-program: no such program on the PATH$"):
        run(["no-program"])


def test_a_program_that_takes_too_long(python_on_path: str, temporary: Path) -> None:
    start = time.perf_counter()
    with pytest.raises(ProgramError, match=rf"^{PYTHON}: took more than 0.5 s$"):
        run([python_on_path, "-c", "import time; time.sleep(60)"], seconds=0.5)
    command = [python_on_path, "-c", "import time; time.sleep(60)", INPUT, OUTPUT]
    with pytest.raises(ProgramError, match="took more than"):
        run_on_files(command, b"page", seconds=0.5)
    assert time.perf_counter() - start < 20
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")
def test_a_program_that_takes_too_much_memory(python_on_path: str) -> None:
    takes = "x = bytearray(1 << 30)"
    run([python_on_path, "-c", takes], memory_bytes=3 << 30)
    with pytest.raises(ProgramError, match="MemoryError"):
        run([python_on_path, "-c", takes], memory_bytes=1 << 30)


def test_a_program_with_files(python_on_path: str, temporary: Path) -> None:
    double = "import sys, pathlib as p; p.Path(sys.argv[2]).write_bytes(2 * open(sys.argv[1], 'rb')"
    assert run_on_files([python_on_path, "-c", f"{double}.read())", INPUT, OUTPUT], b"x") == b"xx"
    with pytest.raises(ProgramError, match=f"^{PYTHON}: wrote no file$"):
        run_on_files([python_on_path, "-c", "pass"], b"x")
    assert list(temporary.iterdir()) == []
