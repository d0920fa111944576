"""Pages as symbols: cells, scripts, shapes and priors, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.codec_pages import scanned, text_pages
from bench.codec_texts import GREEK, prose
from freqexp.benchmarks.generate import generate
from freqexp.codecs import columns
from freqexp.codecs.base import decode
from freqexp.codecs.levels import background, evenly, grid_of, kept_in_sight, numbers_of
from freqexp.codecs.lossless import smallest_file, thorough_file
from freqexp.codecs.planes import planes_of
from freqexp.codecs.posterize import Posterize
from freqexp.codecs.reference import lossless_size_bytes
from freqexp.codecs.strips import Strips
from freqexp.codecs.symbols import shapes
from freqexp.codecs.symbols.book import Book, Entry
from freqexp.codecs.symbols.codec import COPIES, IMAGE, STRIPS, SYMBOLS, Symbols
from freqexp.codecs.symbols.known import NOTHING, Prior, known_of
from freqexp.codecs.symbols.page import PageCode, cut, encode
from freqexp.codecs.symbols.page import decode as decode_page
from freqexp.codecs.symbols.pictured import pictured, read_pictured
from freqexp.codecs.symbols.priors import BUNDLED, FOLDER, bundled_priors, load_prior
from freqexp.codecs.symbols.script import cells, usual_gap, write
from freqexp.codecs.symbols.segment import Cell, Shape, lines_of
from freqexp.codecs.symbols.touching import lines_apart
from freqexp.coding.bitstream import Bitstream, BitstreamError, unpack
from freqexp.coding.share import page_share
from freqexp.composing.compose import compose
from freqexp.config.identity import run_id
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.page import Pixels
from freqexp.pages.glyph import GlyphRenderer, default_font_path

NAMED = ("bundled", "null")


def text_page(font_px: int, split: str = "eval", seed: int = 1, rows: int = 300) -> Pixels:
    glyph = GlyphRenderer(font_pt=font_px, line_height_pt=font_px + 2, crop=False)
    (sample,) = generate(2, 1, seed, "long", target_chars=6000, split=split)
    pixels = glyph.render(sample.turns)[0].pixels
    return np.ascontiguousarray((pixels if pixels.ndim == 2 else pixels[:, :, 0])[:rows])


@pytest.fixture(scope="module")
def page() -> Pixels:
    return text_page(14)


def random_page(seed: int, levels: int = 256) -> Pixels:
    """Blots on a ground, some of them equal."""
    rng = np.random.default_rng(seed)
    found = np.full((40, 50), rng.integers(levels), dtype=np.uint8)
    blots = [rng.integers(0, levels, rng.integers(1, 7, 2), dtype=np.uint8) for _ in range(4)]
    for _ in range(25):
        blot = blots[rng.integers(4)]
        top, left = rng.integers(0, 40 - len(blot)), rng.integers(0, 50 - blot.shape[1])
        found[top : top + len(blot), left : left + blot.shape[1]] = blot
    return found


def painted(found: list[Cell], size: tuple[int, int], ground: int) -> tuple[Pixels, Pixels]:
    """A page of cells, and how many cells each pixel is in."""
    page = np.full(size, ground, dtype=np.uint8)
    count = np.zeros(size, dtype=np.uint8)
    for cell in found:
        for number, value in enumerate(cell.shape.data):
            column, row = divmod(number, cell.shape.height)
            page[cell.top + row, cell.left + column] = value
            count[cell.top + row, cell.left + column] += 1
    return page, count


@pytest.mark.parametrize("seed", range(8))
def test_cells_are_the_page_and_do_not_overlap(seed: int) -> None:
    given = random_page(seed)
    ground = background(given)
    assert ground == max(range(256), key=lambda value: (int((given == value).sum()), value))
    lines = lines_of(given, ground)
    found = [cell for line in lines for cell in line]
    again, count = painted(found, given.shape, ground)
    assert np.array_equal(again, given)
    assert int(count.max()) == 1
    strongest = np.abs(given.astype(int) - ground).max()
    for cell in found:
        pixels = np.frombuffer(cell.shape.data, dtype=np.uint8).reshape(-1, cell.shape.height)
        assert (pixels[:, 0] != ground).any()
        assert (pixels[:, -1] != ground).any()
        dark = 2 * np.abs(pixels.astype(int) - ground).max(axis=1) > strongest
        assert dark.all() if cell.shape.width > 1 else (pixels != ground).any()
    for line in lines:
        lefts = [cell.left for cell in line]
        assert lefts == sorted(lefts)


def in_lines(lines: int, pitch: int, font: str = "DejaVuSans.ttf", width: int = 300) -> Pixels:
    """Greek of 14 px, whose lines touch at a pitch of 16 rows or less."""
    glyph = GlyphRenderer(
        width=width,
        height=16 + pitch * lines,
        font_pt=14,
        line_height_pt=pitch,
        crop=False,
        font_path=str(default_font_path().with_name(font)),
    )
    pixels = glyph.render_text(prose("touching", (GREEK,), 60 * lines))[0].pixels
    return np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[:, :, 0])


@pytest.mark.parametrize(("pitch", "levels"), [(14, 4), (14, 256), (16, 256)])
def test_lines_that_touch_are_apart(pitch: int, levels: int) -> None:
    given = numbers_of(levels)[in_lines(14, pitch)]
    ground = background(given)
    rows = lines_of(given, ground)
    lines = lines_apart(given, ground)
    assert len(rows) < 14
    assert 13 <= len(lines) <= 15
    again, _ = painted([cell for line in lines for cell in line], given.shape, ground)
    assert np.array_equal(again, given)
    coded, before = (encode(replace(cut(given), lines=of), levels - 1) for of in (lines, rows))
    assert len(coded) < 0.9 * len(before)
    assert np.array_equal(decode_page(coded, given.shape, levels - 1), given)


def test_lines_with_blank_rows_between_are_what_they_were(page: Pixels) -> None:
    for given in (page, bundled_priors()[-1].page):
        ground = background(given)
        assert lines_apart(given, ground) == lines_of(given, ground)


def test_letters_that_touch_are_cut_and_letters_that_do_not_are_whole() -> None:
    """Three lines: between the first two a stroke is in the rows of the other line without touching
    anything, between the last two one goes through both.
    """
    page = np.zeros((60, 60), dtype=np.uint8)
    for number, top in enumerate(range(0, 60, 10)):
        page[top + 2 : top + 9, 3:50:4] = 1 + number % 2
    page[9:13, 53] = 3
    page[32:49, 55] = 4
    page[30:32, 3] = 4
    assert len(lines_of(page, 0)) < 6
    lines = lines_apart(page, 0)
    cells = [cell for line in lines for cell in line]
    again, _ = painted(cells, page.shape, 0)
    assert np.array_equal(again, page)
    assert [cell.shape.height for cell in cells if cell.left == 53] == [4]
    assert len([cell for cell in cells if cell.left == 55]) == 2


@pytest.mark.parametrize("shown", [0.03, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_lines_apart_are_the_page_whatever_it_shows(seed: int, shown: float) -> None:
    rng = np.random.default_rng(seed)
    page = np.where(rng.random((70, 40)) < shown, rng.integers(1, 5, (70, 40)), 0).astype(np.uint8)
    # Faint rows every ten, so that there is a pitch.
    page[np.arange(70) % 10 < 2] *= rng.random((14, 40)) < 0.3
    page[:, ::9] = 0
    lines = lines_apart(page, 0)
    again, _ = painted([cell for line in lines for cell in line], page.shape, 0)
    assert np.array_equal(again, page)
    assert sum(len(cell.shape.data) for line in lines for cell in line) <= page.size
    assert np.array_equal(decode_page(encode(cut(page), 4), page.shape, 4), page)


@pytest.mark.parametrize("usual", [0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_script_gives_its_cells_again(seed: int, usual: int) -> None:
    given = random_page(seed)
    lines = lines_of(given, background(given))
    book = Book()
    written = write(lines, usual, book)
    assert len(written.new) == len(set(written.new)) == len(book.entries)
    again = list(cells(written.script, usual, Book(), iter(written.new)))
    assert again == [cell for line in lines for cell in line]
    known = write(lines, usual, book)
    assert known.new == ()
    assert list(cells(known.script, usual, Book(book.entries), iter(()))) == again


def test_many_shapes_wide_gaps_and_lines_far_apart() -> None:
    """Numbers, gaps and rows of every length that they are written in."""
    shapes_ = [Shape(1, bytes([1 + n % 255, 1 + n // 255])) for n in range(2600)]
    lines, at = [], 0
    for number, shape in enumerate(shapes_):
        top = 300 * (number // 100) if number < 200 else 400 + number
        if not lines or lines[-1][-1].top != top:
            lines.append(list[Cell]())
            at = 0
        at += (0, 1, 38, 39, 40, 300)[number % 6]
        lines[-1].append(Cell(at, top, shape))
        at += 2
    lines += [[replace(cell, top=cell.top + 9000) for cell in line] for line in lines]
    assert usual_gap([[Cell(0, 0, shapes_[0]), Cell(5, 0, shapes_[1])]]) == 3
    written = write(lines, 1, Book())
    assert len(written.new) == 2600
    again = list(cells(written.script, 1, Book(), iter(written.new)))
    assert again == [cell for line in lines for cell in line]
    with pytest.raises(OverflowError):
        write([[Cell(0, 40_000, shapes_[0])]], 0, Book())


def test_a_line_is_measured_from_where_its_letters_are_known() -> None:
    tall, low = Shape(9, bytes(range(1, 10))), Shape(4, bytes([7] * 4))
    book = Book()
    write([[Cell(0, 20, tall), Cell(2, 25, low)]], 0, book)
    assert book.entries == [(0, tall), (5, low)]
    # Without a tall letter the line begins five rows further down, and is the same line.
    assert book.reference([Cell(0, 65, low)], 65) == 60
    assert write([[Cell(0, 65, low)]], 0, book).new == ()


ENTRIES: list[Entry] = [
    (0, Shape(3, bytes([1, 0, 1, 1, 1, 1]))),
    (-2, Shape(1, bytes([1]))),
    (200, Shape(9, bytes([1] * 9))),
    (3, Shape(17, bytes([1, 0] * 8 + [1]) * 300)),
]


@pytest.mark.parametrize("before", [[], ENTRIES[:2]])
def test_shapes_are_the_same_again(before: list[Entry]) -> None:
    for count in range(5):
        packed = shapes.pack(ENTRIES[:count], None, before)
        assert shapes.unpack(packed, None, before) == ENTRIES[:count]
        bits = shapes.pack(ENTRIES[:count], (0, 1), before)
        assert shapes.unpack(bits, (0, 1), before) == ENTRIES[:count]
        assert len(bits) <= len(packed)


def test_letters_of_two_levels_take_a_bit_a_pixel(page: Pixels) -> None:
    lines = lines_of(numbers_of(2)[page], 1)
    letters = list(write(lines, 0, Book()).new)
    packed = shapes.pack(letters, (1, 0), [])
    assert packed[0] == shapes.BITS
    assert shapes.unpack(packed, (1, 0), []) == letters
    assert len(packed) < 0.95 * len(shapes.pack(letters, None, []))
    with pytest.raises(BitstreamError, match="shapes of kind 2"):
        shapes.unpack(packed, None, [])


def test_shapes_that_ppmd_would_not_decode_again(monkeypatch: pytest.MonkeyPatch) -> None:
    coded = shapes.compress

    def fails(data: bytes, order: int, before: bytes = b"") -> bytes:
        if order != shapes._TABLE_ORDER:
            raise OverflowError
        return coded(data, order, before)

    monkeypatch.setattr(shapes, "compress", fails)
    for colours in (None, (0, 1)):
        packed = shapes.pack(ENTRIES, colours, ENTRIES[:2])
        assert packed[0] == shapes.BROTLI
        assert shapes.unpack(packed, colours, ENTRIES[:2]) == ENTRIES


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_a_page_is_its_rounded_self_again(page: Pixels, levels: int) -> None:
    codec = Symbols(levels=levels)
    result = codec.compress(page)
    assert np.array_equal(result.pixels, evenly(page, levels))
    assert np.array_equal(result.pixels, Posterize(levels=levels).compress(page).pixels)
    assert np.array_equal(decode(codec.encode(page)), result.pixels)
    assert np.array_equal(codec.restored(page), result.pixels)
    colour = np.stack([page] * 3, axis=2)
    assert np.array_equal(codec.compress(colour).pixels, np.stack([result.pixels] * 3, axis=2))
    assert len(codec.encode(colour)) == len(codec.encode(page))
    painted_page = colour.copy()
    painted_page[:60, :, 0] = 200
    painted_page[60:90, :, 2] //= 4
    careless = Symbols(levels=levels, contrast=255).compress(painted_page).pixels
    assert np.array_equal(careless, evenly(painted_page, levels))


def test_it_is_smaller_than_image_formats_and_a_prior_saves_more(page: Pixels) -> None:
    alone = Symbols(levels=256, priors=()).compress(page)
    known = Symbols(levels=256).compress(page)
    assert alone.stored_bytes is not None
    assert known.stored_bytes is not None
    image = len(smallest_file(page)[1])
    assert lossless_size_bytes(page) < alone.stored_bytes < 0.6 * image
    assert known.stored_bytes < 0.5 * alone.stored_bytes
    used = next(prior for prior in bundled_priors() if prior.name == _name(known_bytes(page)))
    assert known.components["codebook"] == page_share(used.size_bytes)
    assert sum(known.components.values()) == known.stored_bytes
    assert "codebook" not in alone.components


def known_bytes(page: Pixels) -> bytes:
    return Symbols(levels=256).encode(page)


def _name(data: bytes) -> bytes:
    parameters = unpack(data).parameters
    return parameters[parameters.index(4, 2) + 1 :][:4]


def test_light_letters_do_not_vanish(page: Pixels) -> None:
    light = (255 - 0.4 * (255 - page.astype(float))).astype(np.uint8)
    assert kept_in_sight(page, 2, 48)
    assert not kept_in_sight(light, 2, 48)
    shown = Symbols(levels=2).compress(light).pixels
    assert not np.array_equal(shown, np.full_like(shown, 255))
    assert np.array_equal(shown, evenly(light, 4))
    careless = Symbols(levels=2, contrast=120).compress(light).pixels
    assert np.array_equal(careless, evenly(light, 2))
    slow = _slow_sight(light[:60, :80], 2, 48)
    assert slow == kept_in_sight(light[:60, :80], 2, 48)
    assert _slow_sight(page[:60, :80], 2, 48) == kept_in_sight(page[:60, :80], 2, 48)


def _slow_sight(page: Pixels, levels: int, contrast: int) -> bool:
    ground, rounded = background(page), evenly(page, levels)
    shown = rounded != evenly(np.array([[ground]], dtype=np.uint8), levels)[0, 0]
    for row, column in zip(*np.nonzero(np.abs(page.astype(int) - ground) >= contrast), strict=True):
        near = shown[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        if not near.any():
            return False
    return True


def test_what_is_no_text_is_a_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    result = Symbols(levels=256).compress(noise)
    assert np.array_equal(result.pixels, noise)
    assert result.stored_bytes is not None
    assert result.stored_bytes < lossless_size_bytes(noise) + 40
    assert "codebook" not in result.components


@pytest.fixture(scope="module")
def scan() -> Pixels:
    """A part of a scanned page, 150 x 301."""
    return scan_of(3)


def scan_of(seed: int) -> Pixels:
    page = text_pages(1, pitch=22)[0].pixels
    return np.ascontiguousarray(scanned(page, seed)[:150, 80:381])


@pytest.mark.parametrize("levels", [2, 8, 16])
def test_a_scan_is_copied_blocks_no_farther_off_than_its_levels(scan: Pixels, levels: int) -> None:
    codec = Symbols(levels=levels)
    for page in (scan, np.stack([scan, scan_of(4), scan_of(5)], axis=2)):
        data = codec.encode(page)
        assert unpack(data).parameters[0] == COPIES
        restored = decode(data)
        assert np.array_equal(codec.restored(page), restored)
        planes, shown = planes_of(page), planes_of(restored)
        apart = (planes.astype(float) - shown)[: len(planes) // 8 * 8, :296]
        blocks = (apart**2).reshape(-1, 8, 37, 8).mean(axis=(1, 3))
        assert np.sqrt(blocks.max()) <= 255 / (levels - 1) / 2 + 0.5
        # At two levels letters would vanish.
        rounded = evenly(page, max(levels, 4))
        assert len(data) < len(thorough_file(rounded)[1])
    assert unpack(Symbols(levels=256).encode(scan)).parameters[0] == IMAGE


def test_nothing_vanishes_from_copied_blocks() -> None:
    page = np.full((40, 48), 230, dtype=np.uint8)
    page[20:22, 20:22] = 170

    def darkest(contrast: int) -> int:
        code = pictured(page, 3, contrast, 1)
        assert code is not None
        return int(read_pictured(code.head, code.sections, page.shape).min())

    assert darkest(61) > 215
    assert darkest(60) <= 200
    assert pictured(page, 129, 48, 1) is None


def test_damage_of_copied_blocks_is_found(scan: Pixels) -> None:
    data = Symbols(levels=16).encode(scan)
    stream = unpack(data)
    copies, rest = stream.sections
    for sections in ((copies[:-4], rest), (copies, rest[:-1]), (copies, rest + b"x"), (b"", rest)):
        with pytest.raises(BitstreamError):
            decode(_resealed(data, sections=sections))
    for parameters in (stream.parameters[:-1], stream.parameters + b"\0", bytes([COPIES])):
        with pytest.raises(BitstreamError):
            decode(_resealed(data, parameters=parameters))


def test_strips_where_they_are_shorter() -> None:
    serif = in_lines(8, 18, "DejaVuSerif.ttf")
    codec = Symbols(levels=4)
    data = codec.encode(serif)
    stream = unpack(data)
    script, records = stream.sections
    assert (stream.parameters[0], script) == (STRIPS, b"")
    strips = unpack(Strips(levels=4).encode(serif))
    assert (stream.parameters[1:], records) == (strips.parameters, *strips.sections)
    assert len(records) < len(encode(cut(numbers_of(4)[serif]), 3))
    assert np.array_equal(decode(data), evenly(serif, 4))
    assert np.array_equal(codec.restored(serif), evenly(serif, 4))
    assert "codebook" not in codec.compress(serif).components
    for damaged in (
        {"sections": (b"x", records)},
        {"sections": (b"", records[:-2])},
        {"parameters": stream.parameters[:-1]},
        {"parameters": stream.parameters + b"\0"},
        {"parameters": bytes([STRIPS, 2]) + stream.parameters[2:]},
    ):
        with pytest.raises(BitstreamError):
            decode(_resealed(data, **damaged))


def test_strips_are_not_tried_where_a_prior_helps_much_or_a_page_is_large(
    page: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    write_ = columns.write
    monkeypatch.setattr(columns, "write", lambda *given: tried.append(given[1]) or write_(*given))
    assert unpack(Symbols(levels=16).encode(page)).parameters[0] == SYMBOLS
    assert not tried
    Symbols(levels=16, priors=()).encode(page)
    assert tried == [16]
    monkeypatch.setattr(columns, "MOST_PIXELS", page.size - 1)
    Symbols(levels=16, priors=()).encode(page)
    assert tried == [16]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3, 3)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_empty_pages(shape: tuple[int, ...], value: int) -> None:
    flat = np.full(shape, value, dtype=np.uint8)
    assert np.array_equal(Symbols(levels=256).compress(flat).pixels, flat)


def test_grids_of_levels() -> None:
    for levels in (2, 3, 16, 18, 52, 86, 256):
        every = evenly(np.arange(256, dtype=np.uint8).reshape(16, 16), levels)
        assert grid_of(every) == levels
        assert np.array_equal(evenly(every, levels), every)
    assert grid_of(np.array([[0, 255]], dtype=np.uint8)) == 2
    assert grid_of(np.array([[0, 7]], dtype=np.uint8)) > 30


def test_bundled_priors_are_those_of_their_command() -> None:
    assert [prior.name.hex() for prior in bundled_priors()] == [name for _, name in BUNDLED]
    assert all(prior.size_bytes < 30_000 for prior in bundled_priors())
    file, _ = BUNDLED[-1]
    again = Symbols(levels=256, priors=()).encode(bundled_priors()[-1].page)
    assert again == (FOLDER / file).read_bytes()


def test_a_prior_of_ones_own(page: Pixels, tmp_path: Path) -> None:
    examples = text_page(13, "train", 5, 842)
    mine, file = text_page(13), tmp_path / "own.fqxp"
    file.write_bytes(Symbols(levels=256, priors=()).encode(examples))
    prior = load_prior(file)
    assert np.array_equal(prior.page, examples)
    alone = len(Symbols(levels=256).encode(mine))
    assert len(Symbols(levels=256, priors=[prior]).encode(mine)) < 0.6 * alone
    config = compose(("compressor=symbols", f"compressor.prior={file}")).compressor
    assert config.build(1.0, compose(()).profile).compress(mine).components["codebook"] > 0  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"compressor.prior: got .*no.fqxp.*allowed: bundled, a"):
        compose(("compressor=symbols", f"compressor.prior={tmp_path}/no.fqxp"))
    (tmp_path / "cut.fqxp").write_bytes(b"FQXP")
    with pytest.raises(ConfigError, match=r"compressor.prior: got .*truncated.*allowed: bundled"):
        compose(("compressor=symbols", f"compressor.prior={tmp_path}/cut.fqxp"))


def test_an_unknown_prior_is_named(page: Pixels) -> None:
    strange = Prior(text_page(14, "train", 9, 842), 100, "61626364" * 8)
    data = Symbols(levels=256, priors=[strange]).encode(page)
    with pytest.raises(BitstreamError, match=r"symbols: needs the prior 61626364, here are"):
        decode(data)


def _resealed(data: bytes, **changed: object) -> bytes:
    return replace(unpack(data), **changed).pack()


def test_damage_behind_the_checksum_is_found(page: Pixels) -> None:
    data = Symbols(levels=2, priors=()).encode(page)
    stream = unpack(data)
    script, pictures = stream.sections
    for sections in (
        (script[:-3], pictures),
        (script + b"x", pictures),
        (b"", pictures),
        (script, b""),
        (script, pictures[:-2]),
        (script, b"\x07" + pictures[1:]),
    ):
        with pytest.raises(BitstreamError):
            decode(_resealed(data, sections=sections))
    for parameters in (b"", b"\x03", b"\x02", stream.parameters[:3], stream.parameters + b"\0"):
        with pytest.raises(BitstreamError):
            decode(_resealed(data, parameters=parameters))
    with pytest.raises(BitstreamError, match="a shape outside of the page"):
        decode(_resealed(data, shape=(page.shape[0] // 2, page.shape[1])))
    image = Bitstream(16, (2, 2), bytes([IMAGE, 0]), (b"x", b""))
    with pytest.raises(BitstreamError, match="a script where there are no"):
        decode(image.pack())


def test_scripts_that_no_page_has() -> None:
    shape = Shape(2, bytes([1, 1]))
    code = encode(cut(np.pad(np.ones((2, 1), np.uint8), 3)), 1)
    assert decode_page(code, (8, 7), 1).sum() == 2
    for script in (b"\x40", b"\x40\x2a\x00", b"\x40\x05\x05\x00", b"\x40\x29\x29\x00", b"\xff\x00"):
        with pytest.raises(BitstreamError):
            list(cells(script, 0, Book(), iter([(0, shape)])))
    with pytest.raises(BitstreamError, match="level 3"):
        decode_page(PageCode(b"\x03\x00\x00", b"", b""), (4, 4), 1)
    with pytest.raises(BitstreamError, match="a script of 200 bytes"):
        decode_page(PageCode(b"\x00\x00\xc8\x01", b"", b""), (4, 4), 1)
    with pytest.raises(BitstreamError, match="a shape that stands nowhere"):
        decode_page(replace(code, head=b"\0\0\0", script=b""), (8, 7), 1)


def test_what_a_prior_teaches_is_counted(page: Pixels) -> None:
    levels = np.array([0, 1], dtype=np.uint8)[(page > 127).astype(int)]
    known = known_of(levels)
    assert len(known.entries) == len(set(known.entries))
    assert known.shapes == {shape for _, shape in known.entries}
    again = encode(cut(levels), 1, known)
    assert again.new_pixels == 0
    assert len(again) < 0.2 * len(encode(cut(levels), 1, NOTHING))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"levels": 1}, "levels: got 1, allowed: an integer from 2 to 256"),
        ({"contrast": 0}, "contrast: got 0, allowed: an integer from 1 to 255"),
        ({"keep_ratio": 0.0}, "keep_ratio: got 0.0, allowed: above 0, at most 1"),
    ],
)
def test_settings_outside_their_ranges(changed: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Symbols(**changed)  # type: ignore[arg-type]


def test_a_prior_is_in_the_run_by_its_content(tmp_path: Path) -> None:
    ids = []
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        file = tmp_path / f"{name}.fqxp"
        file.write_bytes(Symbols(levels=256, priors=()).encode(random_page(seed)))
        ids.append(run_id(compose(("compressor=symbols", f"compressor.prior={file}"))))
    ids += [run_id(compose(("compressor=symbols", f"compressor.prior={prior}"))) for prior in NAMED]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
