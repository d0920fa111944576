"""Codecs of the user's: what two commands store and count, and every way in which they can fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from external_programs import (
    BAD_PICTURES,
    COLOUR,
    FILES,
    GRAY,
    PACK,
    PYTHON,
    READ,
    UNPACK,
    script,
    settings,
)
from PIL import Image

from freqexp.codec.__main__ import main
from freqexp.codecs.base import decode
from freqexp.codecs.external import codec as external
from freqexp.codecs.external.codec import External
from freqexp.codecs.external.settings import ExternalSettings
from freqexp.codecs.png import Png
from freqexp.coding.bitstream import BitstreamError
from freqexp.composing.compose import compose
from freqexp.errors import BAD_INPUT, DONE, FAILED, ConfigError, UserError
from freqexp.nouns.page import Pixels


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files, empty before and after; nothing has been tried twice yet."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(external, "_same_again", {})
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("page", [GRAY, COLOUR], ids=["gray", "RGB"])
def test_what_the_encoder_wrote_and_our_header_are_stored(page: Pixels, tmp_path: Path) -> None:
    side = tmp_path / "weights"
    side.write_bytes(bytes(1234))
    codec = External(settings(files=(str(side), str(side))))
    result = codec.compress(page)
    np.testing.assert_array_equal(result.pixels, page)
    written = len(
        zlib.compress((b"P6" if page.ndim == 3 else b"P5") + b"\n21 13\n255\n" + bytes(page))
    )
    # Head, parameters (a length and two of them, 4 bytes), number of sections, length, checksum.
    header = 11 + (1 + 1 + 1 + 4) + 1 + (1 if written < 128 else 2) + 4
    assert result.components == {"header": header, "values": written, "codebook": 25}
    assert result.stored_bytes == len(codec.encode(page)) + codec.shared_bytes
    assert result.stored_bytes == header + written + 25
    assert result.nominal_ratio is None


def test_the_decoder_sees_the_file_alone(tmp_path: Path) -> None:
    """In a folder with nothing the encoder left beside it."""
    beside = READ + "import os; folder = os.path.dirname(sys.argv[1]); out.write(data); "
    leaves = (
        beside + "open(folder + '/more', 'w').write('x'); open(os.environ['TMPDIR'] + '/y', 'w')"
    )
    looks = (
        beside
        + f"open({str(tmp_path / 'seen')!r}, 'w').write(' '.join(sorted(os.listdir(folder))))"
    )
    External(settings(encode=script(leaves), decode=script(looks))).compress(GRAY)
    assert (tmp_path / "seen").read_text() == "input.bin messages output.pnm tmp"


def test_quality_and_names_of_files_reach_the_program() -> None:
    says = READ + "out.write(' '.join(sys.argv[1:]).encode())"
    codec = External(
        settings(
            encode=(*PYTHON, says, *FILES, "-q={quality}", "{{quality}}"),
            quality="high 9",
            suffix=".tar.gz",
            input_format="png",
        )
    )
    stored = codec._door.write(GRAY).decode()
    assert re.fullmatch(r"\S+/input\.png \S+/output\.tar\.gz -q=high 9 \{quality\}", stored)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decode": ()}, r"^compressor\.decode: got None, allowed: a command"),
        ({"encode": ("no-such-program", *FILES)}, "encode: got 'no-such-program', allowed: a prog"),
        (
            {"encode": ("./setup.cfg/x", *FILES)},
            r"encode: got '\./setup\.cfg/x', allowed: a program",
        ),
        ({"encode": (sys.executable, "{input}")}, r"\(\{output\} is missing\)"),
        ({"decode": (sys.executable,)}, r"decode: .*\(\{input\} and \{output\} is missing\)"),
        (
            {"encode": (sys.executable, *FILES, "{level}")},
            r"got '\{level\}', allowed: no placeholders but \{input\}, \{output\}, \{quality\} \(",
        ),
        ({"encode": (sys.executable, *FILES, "{input!r}")}, "no placeholders but"),
        ({"encode": (sys.executable, *FILES, "{}")}, "no placeholders but"),
        ({"encode": (sys.executable, *FILES, "{")}, "no placeholders but"),
        ({"quality": "9"}, r"quality: got '9', allowed: null, as no command has \{quality\}"),
        ({"encode": script(PACK, "{quality}")}, "quality: got None, allowed: a number or a text"),
        ({"files": ("nowhere",)}, r"files: got 'nowhere', allowed: a file .* \(No such file"),
        ({"files": ("/",)}, r"files: got '/', allowed: a file .* \(Is a directory"),
        ({"entry": "deflate"}, "entry: got 'deflate', allowed: null beside compressor.encode"),
        ({"timeout": 0.0}, "timeout: got 0.0, allowed: seconds"),
        ({"timeout": float("nan")}, "timeout: got nan"),
        ({"threshold": 0}, "threshold: got 0, allowed: an integer from 1 to 255"),
        ({"suffix": "jp2"}, r"suffix: got 'jp2', allowed: a dot"),
        ({"suffix": "/../x"}, r"suffix: got"),
        ({"input_format": "tiff"}, "input_format: got 'tiff', allowed: png, pnm, pbm"),
    ],
)
def test_settings_that_are_refused_before_anything_starts(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        External(settings(**changes))
    assert len(caught.value.faults) == 1


def test_all_faults_of_a_configuration_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(
            [
                "compressor=external",
                'compressor.encode=[no-such-program,"{input}"]',
                "compressor.files=[nowhere]",
                "compressor.input_format=tiff",
                "compressor.label=a b",
                f"output_dir={tmp_path}",
            ]
        )
    fields = [line.split(":")[0].removeprefix("compressor.") for line in caught.value.faults]
    assert fields == ["input_format", "encode", "encode", "decode", "files", "label"]


@pytest.mark.parametrize("name", ["files", "input_format", "quality", "suffix", "threshold"])
def test_settings_of_commands_without_commands(name: str) -> None:
    value = {"files": ("/dev/null",), "input_format": "pbm", "threshold": 9}.get(name, ".9")
    with pytest.raises(ConfigError, match=rf"^compressor\.{name}: got .* without commands"):
        External(ExternalSettings(**{name: value}))  # type: ignore[arg-type]


FAILURES = {
    "exit": (
        "print('first', file=sys.stderr); sys.exit('out of\\tink')",
        "with status 1; out of ink",
    ),
    "silent": ("sys.exit(3)", "with status 3; nothing on stderr"),
    "signal": ("import os; os.kill(os.getpid(), 11)", "with signal 11"),
    "nothing": ("import os; os.remove(sys.argv[2])", "wrote no such file"),
    "empty": ("pass", "the file is empty"),
    "folder": ("import os; os.remove(sys.argv[2]); os.mkdir(sys.argv[2])", "wrote no such file"),
    "long line": ("sys.exit('x' * 100000)", r"status 1; x{300}\.\.\.\)"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_programs_that_fail(name: str) -> None:
    code, why = FAILURES[name]
    for way in ("encode", "decode"):
        codec = External(settings(**{way: script(READ + code)}))
        with pytest.raises(UserError, match=rf"(?s)^compressor\.{way}: got .*{why}") as caught:
            codec.compress(GRAY)
        assert "{input} {output}" in str(caught.value)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    broken = tmp_path / "program"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    codec = External(settings(encode=(str(broken), *FILES)))
    with pytest.raises(UserError, match=r"^compressor\.encode: got .* that can be started \("):
        codec.compress(GRAY)
    broken.chmod(0o644)
    with pytest.raises(ConfigError, match="that is found here and can be started"):
        External(settings(encode=(str(broken), *FILES)))


@pytest.mark.parametrize("name", ["size", "16 bit RGB", "alpha", "torn", "no PNG"])
def test_a_decoder_whose_picture_is_not_the_page(name: str, tmp_path: Path) -> None:
    data, _, why = BAD_PICTURES[name]
    page = np.zeros((1, 2), np.uint8)
    (tmp_path / "picture").write_bytes(data)
    copies = script("import shutil, sys; shutil.copy(sys.argv[3], sys.argv[2])")
    command = (*copies, str(tmp_path / "picture"))
    codec = External(settings(decode=command, output_format="png"))
    with pytest.raises(UserError, match=rf"^compressor\.decode: got .*the page as png \(.*{why}"):
        codec.compress(page)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("waits", [True, False], ids=["hangs", "leaves a process behind"])
def test_what_a_program_started_ends_with_it(waits: bool, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    start = "import subprocess, time; p = subprocess.Popen([sys.executable, '-I', '-S', '-c', "
    code = f"{start}'import time; time.sleep(60)']); open({str(noted)!r}, 'w').write(str(p.pid)); "
    code += "print('half way', file=sys.stderr, flush=True); "
    code += "time.sleep(60)" if waits else "out.write(data)"
    codec = External(settings(encode=script(READ + code), timeout=0.7 if waits else 20))
    started = time.monotonic()
    if waits:
        limit = r"ends within 0\.7 s \(compressor\.timeout\) \(killed; half way\)"
        with pytest.raises(UserError, match=limit):
            codec.encode(GRAY)
    else:
        codec.encode(GRAY)
    assert time.monotonic() - started < 15
    pid = int(noted.read_text())
    while is_alive(pid) and time.monotonic() - started < 20:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_an_encoder_that_does_not_repeat_itself_is_refused_for_good() -> None:
    random = READ + "import os; out.write(zlib.compress(data) + os.urandom(8))"
    for _ in range(2):
        codec = External(settings(encode=script(random)))
        for page in (GRAY, COLOUR):
            with pytest.raises(ConfigError, match=r"^compressor\.encode: .*writes the same bytes"):
                codec.compress(page)


def test_a_decoder_that_does_not_repeat_itself_is_refused_for_good() -> None:
    code = UNPACK.replace("out.write(", "import os; page = ").removesuffix(")")
    random = code + "; out.write(page[:-8] + os.urandom(8))"
    codec = External(settings(decode=script(random)))
    for page in (GRAY, COLOUR):
        with pytest.raises(ConfigError, match=r"^compressor\.decode: .*gives the same pixels"):
            codec.compress(page)


def test_only_the_first_page_of_a_process_is_tried_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    note = f"open({str(log)!r}, 'a').write('?'); "
    both = settings(
        encode=script(READ + note.replace("?", "e") + PACK.removeprefix(READ)),
        decode=script(READ + note.replace("?", "d") + UNPACK.removeprefix(READ)),
    )
    for page in (GRAY, COLOUR):
        External(both).compress(page)
    assert log.read_text() == "eedded"


def test_bitstreams_need_the_settings_they_were_written_with(tmp_path: Path) -> None:
    codec = External(settings())
    data = codec.encode(GRAY)
    np.testing.assert_array_equal(codec.decode(data), GRAY)
    np.testing.assert_array_equal(External(settings(timeout=9)).decode(data), GRAY)
    named = codec._door.key[:4].hex()
    with pytest.raises(BitstreamError, match=f"written by a program, with settings {named}"):
        decode(data)
    others = (settings(threshold=9, input_format="pbm"), settings(decode=script(PACK)))
    for other in (*map(External, others), External()):
        with pytest.raises(BitstreamError, match="not written with these settings"):
            other.decode(data)
    with pytest.raises(BitstreamError, match="not written with these settings"):
        codec.decode(Png().encode(GRAY))
    with pytest.raises(BitstreamError, match="checksum"):
        codec.decode(data[:-1] + b"x")


def test_the_command_line_there_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(GRAY).save(tmp_path / "page.png")
    stored, back = tmp_path / "stored", tmp_path / "back"
    programs = []
    for name, code in (("pack", PACK), ("unpack", UNPACK)):
        (tmp_path / f"{name}.py").write_text(code)
        words = [sys.executable, "-I", "-S", str(tmp_path / f"{name}.py"), *FILES]
        programs.append(f"[{','.join(map(repr, words))}]")
    given = ["compressor=external", f"compressor.encode={programs[0]}"]
    given += [f"compressor.decode={programs[1]}"]
    assert main(["encode", str(tmp_path / "page.png"), "-o", str(stored), *given]) == DONE
    assert main(["info", str(stored)]) == DONE
    assert "External (version 1), 21 x 13 gray" in capsys.readouterr().out
    assert main(["decode", str(stored), "-o", str(back)]) == FAILED
    assert "only with these can it be decoded" in capsys.readouterr().err
    assert main(["decode", str(stored), "-o", str(back), *given]) == DONE
    np.testing.assert_array_equal(np.asarray(Image.open(back / "page.png.png")), GRAY)
    assert main(["decode", str(stored), "-o", str(back), given[0], given[1]]) == BAD_INPUT


JB2 = ExternalSettings(
    encode=("cjb2", "-dpi", "72", *FILES),
    decode=("ddjvu", "-format=pbm", *FILES),
    input_format="pbm",
    output_format="pbm",
    suffix=".djvu",
)
needs_djvu = pytest.mark.skipif(
    not (shutil.which("cjb2") and shutil.which("ddjvu")), reason="DjVuLibre is not installed"
)


@needs_djvu
@pytest.mark.parametrize("decoded", ["pbm", "pnm"])
def test_jb2_keeps_two_levels(
    decoded: str, text_page: Pixels, colour_page: Pixels, tmp_path: Path
) -> None:
    command = ("ddjvu", f"-format={decoded}", *FILES)
    codec = External(replace(JB2, decode=command, output_format=decoded))
    page = np.ascontiguousarray(text_page[:300])
    result = codec.compress(page)
    two_levels = np.where(page < 128, 0, 255)
    np.testing.assert_array_equal(result.pixels, two_levels)
    two = Image.fromarray(two_levels.astype(np.uint8)).convert("1")
    two.save(tmp_path / "page.pbm", "PPM")
    names = [str(tmp_path / name) for name in ("page.pbm", "page.djvu")]
    subprocess.run(["cjb2", "-dpi", "72", *names], check=True)
    assert result.components["values"] == (tmp_path / "page.djvu").stat().st_size
    colour = codec.compress(colour_page)
    assert colour.pixels.shape == colour_page.shape
    assert set(np.unique(colour.pixels)) == {0, 255}


@needs_djvu
def test_cjb2_says_what_it_does_not_read() -> None:
    codec = External(replace(JB2, input_format="png"))
    with pytest.raises(
        UserError, match=r"^compressor\.encode: got 'cjb2 -dpi 72 .*with status \d+"
    ):
        codec.compress(GRAY)
