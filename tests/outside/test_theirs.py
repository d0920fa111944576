"""A package from outside: conformed, its bitstreams as files, copied with a sweep, missed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from freqexp_cluster.snapshot import search_path, snapshot
from PIL import Image

from freqexp.codec.__main__ import main as codec
from freqexp.codecs.base import decode
from freqexp.coding.bitstream import Bitstream, BitstreamError
from freqexp.composing.compose import compose
from freqexp.config.identity import outside_sources
from freqexp.conform.__main__ import main as conform
from freqexp.nouns.page import Pixels
from freqexp.outside.source import Source, source_digest, source_of
from freqexp.reproduce.outside import absent, differing
from freqexp.schemas.method import CompressorConfig

OWN = """
from dataclasses import dataclass
from freqexp.schemas.method import CompressorConfig
from freqexp.tokens.scorer import Scorer

@dataclass
class C(CompressorConfig):
    name: str = "mine"
    stage = "token"
    def build(self, keep_ratio, profile):
        return M(keep_ratio)

class M(Scorer):
    def score(self, tokens):
        return -tokens.features[:, 0]
"""


@pytest.mark.parametrize("name", ["few_bits", "variance", "small_keys"])
def test_it_keeps_what_its_stages_promise(
    theirs: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conform([name]) == 0, capsys.readouterr().out
    assert ", 0 failed" in capsys.readouterr().out


def test_its_bitstreams_say_its_name(
    theirs: Path, tmp_path: Path, text_page: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    page = text_page[:60, :80]
    (tmp_path / "pages").mkdir()
    Image.fromarray(page).save(tmp_path / "pages" / "a.png")
    folder = str(tmp_path / "stored")
    assert codec(["encode", str(tmp_path / "pages"), "-o", folder, "compressor=few_bits"]) == 0
    assert codec(["info", folder]) == 0
    assert "FewBits (version 1), 80 x 60 gray" in capsys.readouterr().out
    assert codec(["decode", folder, "-o", str(tmp_path / "back")]) == 0
    (file,) = (tmp_path / "back").glob("*.png")
    np.testing.assert_array_equal(np.array(Image.open(file)), page >> 4 << 4)
    (stored,) = (tmp_path / "stored").glob("*.fqxp")
    assert stored.read_bytes()[5] == 255
    assert b"\x08few_bits" in stored.read_bytes()


def test_a_bitstream_of_a_codec_that_is_not_here(theirs: Path) -> None:
    for parameters, said in (
        (b"\x04none", "written by the codec 'none'; no installed package has it"),
        (b"\x08variance", "written by the codec 'variance'; no installed package has it"),
        (b"", "truncated"),
        (b"\x00", "not one from outside with a name"),
        (b"\x02\xff\xfe", "the codec's name is no text"),
        (b"\x08few_bits", "few_bits: truncated"),
    ):
        with pytest.raises(BitstreamError, match=said):
            decode(Bitstream(255, (2, 2), parameters, (b"",)).pack())


def test_a_snapshot_is_enough_to_find_the_methods(theirs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "compressor").mkdir(parents=True)
    (mine / "compressor" / "mine.py").write_text(OWN)
    sources = {}
    for overrides in (
        ("compressor=combined", "codec=few_bits", "token=variance"),
        ("compressor=mine", f"hydra.searchpath=[file://{mine}]"),
    ):
        sources |= outside_sources(compose(overrides))
    code = snapshot(tmp_path / "sweep", {s.top: s for s in sources.values()}.values())
    assert snapshot(tmp_path / "sweep", {s.top: s for s in sources.values()}.values()) == code
    assert snapshot(tmp_path / "sweep") != code
    copied = code / "outside" / "their_methods"
    assert source_digest(copied) == sources["variance"].digest == sources["few_bits"].digest
    own = code / "conf" / "compressor" / "mine.py"
    assert source_digest(own) == sources["mine"].digest
    shutil.rmtree(mine)
    program = (
        "from freqexp.schemas.compressor import chosen\n"
        "from freqexp.outside.source import source_of\n"
        "for name in ('few_bits', 'variance', 'small_keys', 'mine'):\n"
        "    print(name, source_of(chosen(name)).top, source_of(chosen(name)).owner)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": search_path(code)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == f"variance {copied} package their-methods 1.2"
    assert lines[3] == f"mine {own} file {own}"


def test_what_a_saved_run_used_is_missed(theirs: Path) -> None:
    cfg = compose(("compressor=variance",))
    note = outside_sources(cfg)["variance"].note()
    assert (note["package"], note["version"]) == ("their-methods", "1.2")
    here = {"outside": {"variance": note}}
    assert absent(here, []) == differing(here, cfg) == []
    (line,) = differing({"outside": {"variance": {**note, "code": "0" * 64}}}, cfg)
    assert line.startswith("method variance of package their-methods 1.2: code 000000000000 then, ")
    gone = {"gone": {"package": "lost", "version": "3"}, "own": {"file": "/x/compressor/own.py"}}
    first, second = absent({"outside": gone}, [])
    assert first == "method gone of package lost 3: nobody here has it; install lost 3"
    assert second.startswith("method own of file /x/compressor/own.py: nobody here has it")
    assert second.endswith("--config-dir FOLDER, which has compressor/own.py")
    assert absent({}, []) == absent({"outside": "x"}, []) == []


def test_a_class_without_a_file_has_no_source() -> None:
    space: dict[str, object] = {"__name__": "nowhere"}
    exec("class C: ...", space)
    with pytest.raises(Exception, match="a class without a file"):
        source_of(space["C"])  # type: ignore[arg-type]
    assert source_of(CompressorConfig) is None
    assert Source("a.b", Path("/x/b.py")).place == "a/b.py"
