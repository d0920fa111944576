"""The rooms: every folder has its floor, the order is kept, and picture and page show them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import freqexp
from bench.rooms import PAGE, PICTURE, WAY, banded, floors, main, purpose, wanted
from bench.rooms_picture import PURPOSE_LIMIT, Band

ROOT = Path(freqexp.__file__).parents[1]
LOOSE_AT_MOST = 8
# Named by the page, which says that it is not built.
TO_COME = {"kv/"}
ROOMS = [name for floor in floors(ROOT) for name in floor]


@pytest.fixture(scope="module")
def bands() -> list[Band]:
    return banded(ROOT)


def section(title: str) -> str:
    """A section of the page, without its heading."""
    _, found, rest = (ROOT / PAGE).read_text().partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def paths(text: str) -> list[str]:
    """What stands in code quotes and holds a slash: files and folders of the repository."""
    return re.findall(r"`([a-z_.]+/[^`\s]*)`", text)


def test_every_folder_with_code_has_a_floor() -> None:
    package = ROOT / "freqexp"
    folders = {path.name for path in package.iterdir() if any(path.glob("*.py"))}
    assert len(folders) > 20
    assert [name for name in sorted(folders) if f"freqexp.{name}" not in ROOMS] == []
    launchers = {path.name for path in (ROOT / "launchers").iterdir() if any(path.rglob("*.py"))}
    assert launchers == {name.split(".")[0] for name in ROOMS if not name.startswith("freqexp.")}


def test_every_loose_module_has_a_floor_and_few_are_loose() -> None:
    loose = sorted((ROOT / "freqexp").glob("*.py"))
    assert len(loose) <= LOOSE_AT_MOST
    named = [f"freqexp.{path.stem}" for path in loose if path.name != "__init__.py"]
    assert [name for name in named if name not in ROOMS] == []


def test_the_picture_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_the_check_names_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("freqexp", "launchers"):
        shutil.copytree(ROOT / path, tmp_path / path, ignore=unwanted)
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for path in (PICTURE, PAGE):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    monkeypatch.setattr("bench.rooms.ROOT", tmp_path)
    assert main(["--check"]) == 0
    # A room that is new, beside tokens.
    (tmp_path / "freqexp" / "attic").mkdir()
    (tmp_path / "freqexp" / "attic" / "__init__.py").write_text(
        '"""Attic: things kept & dusty."""\n'
    )
    order = (tmp_path / ".importlinter").read_text()
    (tmp_path / ".importlinter").write_text(
        order.replace("freqexp.codecs | freqexp.tokens", "freqexp.codecs | freqexp.attic", 1)
    )
    with pytest.raises(KeyError, match="tokens"):  # the way of a sample goes through tokens
        main(["--check"])
    (tmp_path / ".importlinter").write_text(
        order.replace("freqexp.codecs | ", "freqexp.codecs | freqexp.attic | ", 1)
    )
    capsys.readouterr()
    before = (tmp_path / PICTURE).read_text()
    assert main(["--check"]) == 1
    assert (tmp_path / PICTURE).read_text() == before
    said = capsys.readouterr().out
    assert PICTURE in said
    assert PAGE in said
    assert main([]) == 0
    assert "Things kept &amp; dusty" in (tmp_path / PICTURE).read_text()
    assert "attic/" in (tmp_path / PAGE).read_text()
    assert main(["--check"]) == 0


def test_the_picture_shows_every_room_once_and_the_whole_way(bands: list[Band]) -> None:
    drawn = [text.text for text in ET.fromstring(wanted(ROOT)[PICTURE]).iter() if text.text]
    names = [room.name for band in bands for room in band.rooms]
    assert len(names) == len(ROOMS)
    assert [name for name in names if drawn.count(name) != 1] == []
    assert {str(number) for number in range(1, len(WAY) + 1)} <= set(drawn)
    heights = [drawn.index(name) for name in names]
    assert heights == sorted(heights)


def test_purposes_are_short_first_sentences(tmp_path: Path, bands: list[Band]) -> None:
    purposes = [room.purpose for band in bands for room in band.rooms]
    assert all(0 < len(text) <= PURPOSE_LIMIT for text in purposes)
    file = tmp_path / "__init__.py"
    for doc, said in (
        ("Samples and graders. Whatever follows.", "Samples and graders"),
        ("`python -m freqexp.x Y`: bitstreams as\nfiles.", "Bitstreams as files"),
        ("Things: what is kept.", "What is kept"),
        (f"A house: {'of many rooms ' * 5}.", "A house"),
    ):
        file.write_text(f'"""{doc}"""\n')
        assert purpose(file, "things/") == said
    file.write_text(f'"""{"x" * (PURPOSE_LIMIT + 1)}."""\n')
    with pytest.raises(SystemExit, match="first sentence"):
        purpose(file, "things/")


def test_every_room_has_a_row_in_the_order_of_the_floors(bands: list[Band]) -> None:
    rows = re.findall(r"^\| `([^`]+)`", section("The rooms"), re.MULTILINE)
    names = [room.name for band in bands for room in band.rooms]
    assert [row for row in rows if row in names] == names


@pytest.mark.parametrize(
    ("title", "few"),
    [
        ("The way of a sample", 2),
        ("The rooms", 5),
        ("What a change touches", 60),
        ("What differs from the design", 10),
    ],
)
def test_the_files_it_names_exist(title: str, few: int) -> None:
    named = paths(section(title))
    assert len(named) >= few
    bases = (ROOT, ROOT / "freqexp", ROOT / "launchers")
    missing = [path for path in named if not any(any(base.glob(path)) for base in bases)]
    assert set(missing) <= TO_COME


def unwanted(folder: str, names: list[str]) -> set[str]:
    """Left out of a copy: caches, and weights, which no import needs."""
    return {name for name in names if name in ("__pycache__", "models")}


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over a tree, its order of rooms alone."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    options = ["--no-logo", "--contract", "one-way", "--cache-dir", str(tree / "cache")]
    return subprocess.run(
        [sys.executable, "-P", "-c", command, *options],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "launchers")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_codec_that_imports_running_is_refused(tmp_path: Path) -> None:
    for path in ("freqexp", "launchers"):
        shutil.copytree(ROOT / path, tmp_path / path, ignore=unwanted)
    shutil.copy(ROOT / ".importlinter", tmp_path)
    found = lint(tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    module = tmp_path / "freqexp" / "codecs" / "png.py"
    module.write_text(module.read_text() + "\nfrom freqexp.running import sweep  # noqa: E402\n")
    found = lint(tmp_path)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "Rooms import one way BROKEN" in found.stdout
    assert "freqexp.codecs.png -> freqexp.running.sweep" in found.stdout
