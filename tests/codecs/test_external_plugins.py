"""Codecs of installed packages: found, checked, counted, and tried again in another process."""

from __future__ import annotations

import itertools
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from external_programs import COLOUR, GRAY

from freqexp.codecs.base import decode
from freqexp.codecs.external import codec as external
from freqexp.codecs.external import deflate, plugins
from freqexp.codecs.external.codec import External
from freqexp.codecs.external.settings import ExternalSettings
from freqexp.coding.bitstream import Bitstream, BitstreamError, unpack, varint
from freqexp.composing.compose import compose
from freqexp.config.identity import run_id
from freqexp.errors import ConfigError, UserError
from freqexp.schemas.external import ExternalConfig

CODEC = """
import os, sys, zlib
from freqexp.codecs.external.deflate import decode, encode
version = "2.1"
side_bytes = 901
"""

COUNT = itertools.count()
Install = Callable[..., External]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """install(code): the codec of a package that was just installed, with an entry point `mine`."""
    plugins.loaded.cache_clear()
    monkeypatch.setattr(external, "_same_again", {})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def write(code: str = "", where: str = "", version: str = "1.0") -> External:
        # A process imports a module of one name once.
        count = next(COUNT)
        module = f"codec_of_mine_{count}"
        folder = tmp_path / f"site{count}"
        about = folder / f"mine-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mine\nVersion: {version}\n")
        (about / "entry_points.txt").write_text(f"[freqexp.codecs]\nmine = {module}{where}\n")
        (folder / f"{module}.py").write_text(CODEC + code)
        monkeypatch.syspath_prepend(str(folder))
        plugins.loaded.cache_clear()
        return External(ExternalSettings(entry="mine", timeout=20))

    yield write
    plugins.loaded.cache_clear()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("freqexp-")] == []


def test_a_package_s_codec_is_counted_as_all_others_are(install: Install) -> None:
    codec = install()
    for page in (GRAY, COLOUR):
        result = codec.compress(page)
        np.testing.assert_array_equal(result.pixels, page)
        data = codec.encode(page)
        written = 5 + len(zlib.compress(page.tobytes(), 9))
        assert result.components["values"] == written
        assert result.components["codebook"] == codec.shared_bytes == 10
        assert result.components["header"] == len(data) - written
        assert result.stored_bytes == len(data) + 10
        assert unpack(data).parameters == b"\x04mine\x032.1"
        np.testing.assert_array_equal(decode(data), page)


@pytest.mark.parametrize("where", [":Codec", ":codec"], ids=["a class", "an object"])
def test_a_class_or_an_object_with_nothing_but_the_two(where: str, install: Install) -> None:
    code = "class Codec:\n    encode, decode = staticmethod(encode), staticmethod(decode)\n"
    codec = install(f"{code}codec = Codec()\n", where)
    np.testing.assert_array_equal(codec.compress(GRAY).pixels, GRAY)
    assert codec.shared_bytes == 0
    assert unpack(codec.encode(GRAY)).parameters == b"\x04mine\x00"


def test_a_name_that_nothing_has(install: Install, tmp_path: Path) -> None:
    install()
    overrides = ["compressor=external", f"output_dir={tmp_path}", "compressor.entry=other"]
    message = "entry: got 'other', allowed: null, or a codec that is installed: deflate, mine$"
    with pytest.raises(ConfigError, match=message):
        compose(overrides)
    assert compose([*overrides[:2], "compressor.entry=mine"]).compressor.name == "external"


@pytest.mark.parametrize(
    ("code", "where", "message"),
    [
        ("import no_such_module", "", "can be loaded \\(ModuleNotFoundError: .*no_such_module"),
        ("raise KeyError('weights')", "", "can be loaded \\(KeyError: 'weights'"),
        ("", ":Missing", "can be loaded \\(AttributeError"),
        (
            "class Codec:\n    def __init__(self, size): pass",
            ":Codec",
            "can be loaded \\(TypeError",
        ),
        ("del decode", "", "with encode and decode \\(decode can't be called"),
        ("encode = 3", "", "\\(encode can't be called"),
        ("version = 3", "", "\\(version is 3, not a text"),
        ("side_bytes = -1; version = None", "", "\\(version is None.*; side_bytes is -1, not a"),
        ("side_bytes = True", "", "\\(side_bytes is True"),
    ],
)
def test_what_is_no_codec(code: str, where: str, message: str, install: Install) -> None:
    with pytest.raises(UserError, match=f"^compressor.entry: got 'mine', allowed: .*{message}"):
        install(code, where)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def encode(page): return 1 / 0", "encodes this page \\(ZeroDivisionError: division by"),
        ("def encode(page): return 'text'", "whose encode gives bytes \\(str\\)"),
        ("def encode(page): return b''", "gives a byte or more \\(0\\)"),
        ("def decode(data): return data[99999]", "decodes these bytes \\(IndexError"),
        ("def decode(data): return [1]", "gives uint8 \\[13, 21\\] \\(list\\)"),
        (
            "one = decode\ndef decode(data): return one(data)[1:]",
            "gives uint8 \\[13, 21\\] \\(uint8 \\[12, 21\\]\\)",
        ),
        (
            "one = decode\ndef decode(data): return one(data).astype('f')",
            "gives uint8 \\[13, 21\\] \\(float32 \\[13, 21\\]\\)",
        ),
    ],
)
def test_a_codec_that_fails(
    code: str, message: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(External, "_check", lambda *_: None)
    with pytest.raises(UserError, match=f"^compressor.entry: got 'mine', allowed: .*{message}"):
        install(code).compress(GRAY)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "one = encode\ndef encode(page): return one(page) + str(os.getpid()).encode()",
            "a codec that writes the same bytes for the same page each time \\(these differ",
        ),
        (
            "one = decode\ndef decode(data): page = one(data).copy(); "
            "page[0, :4] = list(os.getpid().to_bytes(4)); return page",
            "a codec that gives the same pixels for the same bytes each time \\(these differ",
        ),
        (
            "one = encode\n"
            "def encode(page):\n"
            "    if 'again' in sys.argv[0]: sys.exit('not twice')\n"
            "    return one(page)",
            "that ends with status 0 \\(it ended with status 1; not twice\\)",
        ),
    ],
)
def test_a_codec_that_does_something_else_in_another_process(
    code: str, message: str, install: Install
) -> None:
    codec = install(code)
    for page in (GRAY, GRAY[:5]):
        with pytest.raises(UserError, match=f"^compressor.entry: got 'mine.*{message}"):
            codec.compress(page)


def test_a_codec_gets_a_copy_of_the_page(install: Install) -> None:
    page = GRAY.copy()
    codec = install("one = encode\ndef encode(page):\n    page[:] = 0; return one(page)")
    assert codec.compress(page).pixels.max() == 0
    np.testing.assert_array_equal(page, GRAY)


def test_a_bitstream_of_another_version_or_package(install: Install) -> None:
    data = install().encode(GRAY)
    install("version = '3'", version="1.1")
    with pytest.raises(BitstreamError, match=r"^external: written by version '2\.1' of mine, here"):
        decode(data)
    stream = unpack(data)
    message = {
        varint(5) + b"other" + varint(0): "external: compressor.entry: got 'other', allowed: a cod",
        varint(1) + b"\xff" + varint(0): "external: not the name of an entry point",
        varint(9) + b"mine": "external: truncated",
        b"\0\0\0": "external: too long",
    }
    for parameters, why in message.items():
        with pytest.raises(BitstreamError, match=why):
            decode(Bitstream(12, stream.shape, parameters, stream.sections).pack())
    named = Bitstream(12, stream.shape, b"\x04mine\x013", stream.sections)
    np.testing.assert_array_equal(decode(named.pack()), GRAY)
    damaged = replace(named, sections=(b"x" + stream.sections[0],))
    with pytest.raises(BitstreamError, match=r"external: compressor\.entry: .*decodes these bytes"):
        decode(damaged.pack())


def test_the_run_id_has_versions_of_the_codec_and_of_its_package(install: Install) -> None:
    cfg = compose(["compressor=none", "cluster.threads=1"])
    ids = set()
    for code, version in (
        ("", "1.0"),
        ("version = '3'", "1.0"),
        ("", "1.1"),
        ("side_bytes = 1", "1.0"),
    ):
        install(code, version=version)
        ids.add(run_id(replace(cfg, compressor=ExternalConfig(entry="mine"))))
    assert len(ids) == 4
    install()
    assert run_id(replace(cfg, compressor=ExternalConfig(entry="mine", timeout=3))) in ids


def test_the_example_refuses_what_it_has_not_written() -> None:
    data = deflate.encode(COLOUR)
    np.testing.assert_array_equal(deflate.decode(data), COLOUR)
    huge = struct.pack("<HHB", 0xFFFF, 0xFFFF, 0) + zlib.compress(bytes(1 << 20))
    for wrong in (b"", data[:4], data[:-1], data + b"x", data[:5] + b"x", huge, b"\x01" + data[1:]):
        with pytest.raises(ValueError, match=r"truncated|samples|Error"):
            deflate.decode(wrong)
