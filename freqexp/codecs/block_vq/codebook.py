"""The codebook of `block_vq`: code words, what is known of their places, and odds of their classes.

A file holds one group of code words for each setting of the renderer it was trained on, and one
table of class odds for all of them. It is named by its hash, and a bitstream by that name.

| bytes | field |
|---|---|
| 4 | magic `FQVQ` |
| 1 | version |
| varint + n each | odds of classes (Brotli), then for each group: metadata (Brotli), code words |
| 4 | CRC-32 of everything before |
"""

from __future__ import annotations

import functools
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freqexp.coding.bitstream import BitstreamError, Cursor, varint
from freqexp.errors import UserError

FOLDER = Path(__file__).parents[2] / "models" / "codebooks"
DEFAULT = FOLDER / "text.fqvq"
NAME = "22807d82e6fe3cc5"
"""Name of the codebook in the package; in the code, so that a run's identity covers it."""

HASH_BYTES = 8

LEVELS = 16
UNIT = 64
"""Horizontal places of a pen are integers in 1/64 pixel."""

END, SPACE, OWN, FIRST = 0, 1, 2, 3
"""Classes: end of a line, a space, a code word of the page's own; those of the codebook follow."""

MAGIC = b"FQVQ"
_VERSION = 1
_CHECKSUM = struct.Struct("<I")
_PLACES = struct.Struct("<BBbBhh")
_MAX_SIDE = 64
_MAX_WORDS = 4096

Ink = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Word:
    """A code word.

    ink: uint8 [h, w], 0 (paper) to 15 (black). top: its first row less the line's baseline row.
    kind: its class. origin: where the pen stands, from its left edge, in 1/64 pixel.
    """

    ink: Ink
    top: int
    kind: int = OWN
    origin: int = 0


@dataclass(frozen=True, eq=False)
class Group:
    """Code words of one setting of a renderer.

    advance: int64 [classes], how far each class moves the pen, in 1/64 pixel.
    """

    words: tuple[Word, ...]
    advance: Integers

    @functools.cached_property
    def of_kind(self) -> dict[int, tuple[int, ...]]:
        """The code words of each class."""
        found: dict[int, list[int]] = {}
        for index, word in enumerate(self.words):
            found.setdefault(word.kind, []).append(index)
        return {kind: tuple(words) for kind, words in found.items()}


@dataclass(frozen=True, eq=False)
class Codebook:
    """odds: int64 [classes, classes], weight of a class (column) after another (row)."""

    groups: tuple[Group, ...]
    odds: Integers
    name: bytes = b""
    size_bytes: int = 0

    def pack(self) -> bytes:
        """The file."""
        import brotli

        # Logarithms in eighths of a bit: what is rare is not worth more.
        steps = np.rint(8 * np.log2(np.maximum(self.odds, 1))).astype(np.uint8)
        parts = [MAGIC, bytes([_VERSION])]
        blocks = [brotli.compress(varint(len(steps)) + steps.tobytes(), lgwin=16)]
        for group in self.groups:
            places = [
                _PLACES.pack(*word.ink.shape, word.top, word.kind, word.origin, 0)
                for word in group.words
            ]
            columns = np.frombuffer(b"".join(places), dtype=np.uint8)
            table = columns.reshape(-1, _PLACES.size).T.tobytes()
            advance = group.advance.astype("<i2").tobytes()
            head = varint(len(group.words)) + table + advance
            blocks += [brotli.compress(head, lgwin=16), pack_ink([w.ink for w in group.words])]
        for block in blocks:
            parts += [varint(len(block)), block]
        body = b"".join(parts)
        return body + _CHECKSUM.pack(zlib.crc32(body))

    @staticmethod
    def unpack(data: bytes) -> Codebook:
        """Inverse of `pack`. Raises BitstreamError."""
        cursor = Cursor(data, "codebook")
        if cursor.take(len(MAGIC)) != MAGIC or cursor.take(1)[0] != _VERSION:
            raise BitstreamError(f"codebook: not a codebook of version {_VERSION}")
        if len(data) < 9 or _CHECKSUM.pack(zlib.crc32(data[:-4])) != data[-4:]:
            raise BitstreamError("codebook: damaged, the checksum does not match")
        table = Cursor(_inflate(cursor.block()), "codebook")
        classes = table.varint()
        steps = np.frombuffer(table.take(classes * classes), dtype=np.uint8)
        odds = np.rint(np.exp2(steps / 8)).astype(np.int64).reshape(classes, classes)
        groups = []
        while cursor.at < len(data) - _CHECKSUM.size:
            groups.append(_read_group(cursor.block(), cursor.block(), classes))
        name = hashlib.sha256(data).digest()[:HASH_BYTES]
        return Codebook(tuple(groups), odds, name, len(data))


def _read_group(head: bytes, ink: bytes, classes: int) -> Group:
    cursor = Cursor(_inflate(head), "codebook")
    count = cursor.varint()
    table = np.frombuffer(cursor.take(count * _PLACES.size), dtype=np.uint8)
    places = table.reshape(_PLACES.size, count).T.tobytes()
    advance = np.frombuffer(cursor.take(2 * classes), dtype="<i2").astype(np.int64)
    cursor.end()
    rows = list(_PLACES.iter_unpack(places))
    pictures = unpack_ink(ink, [(row[0], row[1]) for row in rows], "codebook")
    words = [Word(p, row[2], row[3], row[4]) for p, row in zip(pictures, rows, strict=True)]
    return Group(tuple(words), advance)


def _inflate(data: bytes) -> bytes:
    import brotli

    try:
        return bytes(brotli.decompress(data))
    except brotli.error as error:
        raise BitstreamError(f"codebook: {error}") from error


def pack_ink(pictures: list[Ink]) -> bytes:
    """Pictures of 16 levels beside each other in one strip, in the smallest lossless format."""
    from freqexp.codecs.lossless import smallest_file

    if not pictures:
        return b""
    strip = np.zeros((max(map(len, pictures)), sum(p.shape[1] for p in pictures)), np.uint8)
    left = 0
    for picture in pictures:
        strip[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1]
    index, data = smallest_file(255 - 17 * strip)
    return bytes([index]) + data


def unpack_ink(data: bytes, sizes: list[tuple[int, int]], name: str) -> list[Ink]:
    """Inverse of `pack_ink` for pictures of these sizes (h, w). Raises BitstreamError."""
    from freqexp.codecs.lossless import read_file

    if not sizes:
        if data:
            raise BitstreamError(f"{name}: pictures of no code word")
        return []
    if len(sizes) > _MAX_WORDS or not all(1 <= s <= _MAX_SIDE for size in sizes for s in size):
        raise BitstreamError(f"{name}: more or larger code words than a codebook has")
    cursor = Cursor(data, name)
    index = cursor.take(1)[0]
    shape = (max(h for h, _ in sizes), sum(w for _, w in sizes))
    strip = 255 - read_file(index, cursor.take(len(data) - 1), shape)
    if (strip % 17).any():
        raise BitstreamError(f"{name}: a level that is none of {LEVELS}")
    edges = np.cumsum([w for _, w in sizes])[:-1]
    columns = np.split(strip // 17, edges, axis=1)
    return [np.ascontiguousarray(c[:h]) for c, (h, _) in zip(columns, sizes, strict=True)]


@functools.lru_cache(maxsize=1)
def bundled_codebook() -> Codebook:
    """The codebook in the package. Raises UserError when it is missing or another one."""
    book = load_codebook(DEFAULT)
    if book.name.hex() != NAME:
        raise UserError(f"codebook {DEFAULT}: is {book.name.hex()}, this program needs {NAME}")
    return book


@functools.lru_cache(maxsize=8)
def load_codebook(path: Path) -> Codebook:
    """The codebook in a file. Raises UserError when it can't be read, BitstreamError when it is
    none.
    """
    try:
        return Codebook.unpack(path.read_bytes())
    except OSError as error:
        raise UserError(f"codebook {path}: can't be read: {error.strerror or error}") from error


@functools.cache
def named_codebook(name: bytes) -> Codebook:
    """The codebook with this hash, of those in the package or loaded before.

    Raises BitstreamError when it is not there.
    """
    known = {}
    for path in sorted(FOLDER.glob("*.fqvq")):
        book = load_codebook(path)
        known[book.name] = book
    if name not in known:
        held = ", ".join(found.hex() for found in known) or "none"
        raise BitstreamError(f"block_vq: needs the codebook {name.hex()}, here are: {held}")
    return known[name]
