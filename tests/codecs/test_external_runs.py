"""Runs with a codec of the user's: what their ids have of it, on a cluster, in tables."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from external_programs import FILES
from freqexp_cluster import submit

import freqexp
from freqexp.composing.compose import collect, compose
from freqexp.config.identity import run_id
from freqexp.errors import UserError
from freqexp.results.summarize import changed_options
from freqexp.schemas.choices import Picture
from freqexp.schemas.compressor import CombinedConfig
from freqexp.schemas.external import ExternalConfig

PAGE = Path(freqexp.__file__).parents[1] / "docs" / "external.md"


def config(program: Path, files: tuple[Path, ...] = (), **changes: object) -> ExternalConfig:
    command = [sys.executable, str(program), *FILES]
    paths = [str(path) for path in files]
    plain = ExternalConfig(encode=command, decode=[*command, *paths], files=paths)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_run_id_has_commands_and_the_content_of_files(tmp_path: Path) -> None:
    cfg = compose(["compressor=none", "cluster.threads=1"])

    def identify(found: ExternalConfig) -> str:
        both = run_id(replace(cfg, compressor=found))
        assert run_id(replace(cfg, compressor=CombinedConfig(codec=found))) != both
        return both

    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append([tmp_path / folder / name for name in ("codec.py", "weights")])
        for path in paths[-1]:
            path.write_text(path.name)
    program, weights = paths[0]
    first = config(program, (weights,))
    moved = config(paths[1][0], (paths[1][1],))
    assert identify(first) == identify(moved)
    assert identify(first) == identify(replace(first, timeout=9, label="x", threshold=9))
    others = [
        replace(first, files=[]),
        replace(first, suffix=".jp2"),
        replace(first, input_format=Picture.pnm),
        replace(first, output_format=Picture.pnm),
        replace(first, input_format=Picture.pbm),
        replace(first, input_format=Picture.pbm, threshold=9),
        replace(first, encode=[*first.encode, "-9"]),  # type: ignore[misc]
        ExternalConfig(),
    ]
    ids = {identify(found) for found in (first, *others)}
    assert len(ids) == 1 + len(others)
    assert identify(ExternalConfig()) == identify(ExternalConfig(entry="deflate"))
    for path in (program, weights):
        path.write_text("changed")
        ids.add(identify(first))
    assert len(ids) == 3 + len(others)
    weights.unlink()
    with pytest.raises(UserError, match="weights: can't be read"):
        run_id(replace(cfg, compressor=replace(first, files=[str(weights)])))
    in_place = CombinedConfig(codec=config(paths[1][0]))
    combined = run_id(replace(cfg, compressor=in_place))
    paths[1][0].write_text("changed")
    assert run_id(replace(cfg, compressor=in_place)) != combined


def test_a_cluster_gets_full_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = compose(["compressor=none", "cluster.threads=1"])
    monkeypatch.chdir(tmp_path)
    for name in ("pack", "72", "python3"):
        (tmp_path / name).touch()
    command = ["./pack", "-n", "pack", "absent/pack", "--w=pack", *FILES]
    given = ExternalConfig(encode=command, decode=["python3", *FILES], files=["pack"])
    found = submit.absolute(replace(cfg, compressor=CombinedConfig(codec=given))).compressor
    assert isinstance(found, CombinedConfig)
    pack = str(tmp_path / "pack")
    full = [pack, "-n", pack, "absent/pack", "--w=pack", *FILES]
    assert found.codec == replace(given, encode=full, files=[pack])


def test_tables_show_short_names(tmp_path: Path) -> None:
    found = config(tmp_path / "codec.py", timeout=9, threshold=9)
    python = Path(sys.executable).name
    words = f"{python} codec.py {{input}} {{output}}"
    assert changed_options(found) == f"encode={words},decode={words},threshold=9"
    assert changed_options(replace(found, label="mine")) == "threshold=9,label=mine"


@pytest.mark.skipif(
    not (shutil.which("cjb2") and shutil.which("ddjvu")), reason="DjVuLibre is not installed"
)
def test_the_example_of_the_page_composes(tmp_path: Path) -> None:
    example = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
    (tmp_path / "compressor").mkdir()
    (tmp_path / "compressor" / "djvu.yaml").write_text(example)
    arguments = ["-m", "--config-dir", str(tmp_path), "compressor=djvu", "compressor.quality=0,100"]
    points = collect([*arguments, f"output_dir={tmp_path}"])
    shown = [changed_options(point.config.compressor) for point in points]
    assert shown == ["quality=0,label=djvu", "quality=100,label=djvu"]


def test_the_program_of_the_page_can_be_read() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert ast.parse(program)
