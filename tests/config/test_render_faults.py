"""What a renderer can't do is said before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from PIL import features

from freqexp.config.check import check
from freqexp.config.identity import run_id
from freqexp.config.run import RunConfig
from freqexp.config.saved import from_yaml, to_yaml
from freqexp.errors import UserError
from freqexp.schemas.choices import Layout
from freqexp.schemas.render import CellsRender, GlyphRender, RenderConfig

Composed = Callable[..., RunConfig]
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SANS, SERIF = str(FONTS / "DejaVuSans.ttf"), str(FONTS / "DejaVuSerif.ttf")
RENDERS: list[RenderConfig] = [CellsRender(), GlyphRender()]
needs_raqm = pytest.mark.skipif(not features.check("raqm"), reason="no libraqm in Pillow")


@pytest.mark.parametrize("render", RENDERS, ids=lambda render: render.name)
@pytest.mark.parametrize("name", ["missing.ttf", "text.ttf", ".", ""])
def test_a_fallback_that_is_no_font_is_named(
    render: RenderConfig, name: str, tmp_path: Path
) -> None:
    (tmp_path / "text.ttf").write_text("not a font", encoding="utf-8")
    path = str(tmp_path / name) if name else ""
    (line,) = replace(render, fallback=[SANS, path]).check("model.render")
    assert line.startswith(f"model.render.fallback[1]: got {path!r}, allowed: a ")
    assert "font file" in line or "a file that can be read" in line


def test_a_main_font_that_is_no_font_is_named(tmp_path: Path) -> None:
    file = tmp_path / "text.ttf"
    file.write_text("not a font", encoding="utf-8")
    (line,) = GlyphRender(font_path=str(file)).check("model.render")
    assert line.startswith(f"model.render.font_path: got {str(file)!r}, allowed: a TrueType")


def test_every_fault_of_a_list_is_said() -> None:
    faults = CellsRender(fallback=["/nowhere", SANS, "/elsewhere"], columns=0).check("model.render")
    assert [line.split(":")[0] for line in faults] == [
        "model.render.columns",
        "model.render.fallback[0]",
        "model.render.fallback[2]",
    ]


def test_shaping_is_refused_where_pillow_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    render = GlyphRender(layout=Layout.raqm)
    monkeypatch.setattr(features, "check", lambda name: name != "raqm")
    (line,) = render.check("model.render")
    assert line.startswith("model.render.layout: got 'raqm', allowed: basic; this Pillow")
    assert GlyphRender().check("model.render") == []
    monkeypatch.setattr(features, "check", lambda name: True)
    assert render.check("model.render") == []


@pytest.mark.parametrize(
    ("render", "field"),
    [
        (CellsRender(columns=400, rows=1), "columns"),
        (CellsRender(columns=1, rows=100, cell_width=4, cell_height=28), "columns"),
        (GlyphRender(width=3000, height=12, margin_y=0), "width"),
        (GlyphRender(width=12, height=3000, margin_x=0, crop=False), "width"),
    ],
)
def test_a_page_no_processor_takes_is_refused(render: RenderConfig, field: str) -> None:
    (line,) = render.check("model.render")
    assert line.startswith(f"model.render.{field}: got ")
    assert "at most 190 times the other" in line


def test_keys_are_composed_checked_saved_and_loaded(composed: Composed, tmp_path: Path) -> None:
    cfg = composed("render=glyph", f"model.render.fallback=[{SANS},{SERIF}]")
    assert cfg.model.render.fallback == [SANS, SERIF]
    assert check(cfg) == []
    saved = tmp_path / "config.yaml"
    saved.write_text(to_yaml(cfg))
    assert from_yaml(saved) == cfg
    assert run_id(from_yaml(saved)) == run_id(cfg)
    with pytest.raises(UserError, match="layout"):
        composed("render=cells", "model.render.layout=raqm")


@pytest.mark.parametrize("render", ["cells", "glyph"])
def test_fallback_fonts_count_by_content_and_order(
    composed: Composed, render: str, tmp_path: Path
) -> None:
    font = Path(SANS).read_bytes()
    for name, content in (("a", font), ("b", font), ("c", font + b"2")):
        (tmp_path / name).write_bytes(content)

    def of(*names: str) -> str:
        paths = ",".join(str(tmp_path / name) for name in names)
        return run_id(composed(f"render={render}", f"model.render.fallback=[{paths}]"))

    assert of("a", "c") == of("b", "c")
    assert len({of(), of("a"), of("c"), of("a", "c"), of("c", "a")}) == 5
    cfg = composed(f"render={render}", f"model.render.fallback=[{tmp_path / 'a'}]")
    (tmp_path / "a").unlink()
    with pytest.raises(UserError, match="a: can't be read"):
        run_id(cfg)


@needs_raqm
def test_how_letters_stand_is_part_of_a_run(composed: Composed) -> None:
    shaped = composed("render=glyph", "model.render.layout=raqm").model.render
    assert isinstance(shaped, GlyphRender)
    assert shaped.layout is Layout.raqm
    ids = {run_id(composed("render=glyph", f"model.render.layout={n}")) for n in ("basic", "raqm")}
    assert len(ids) == 2
    assert run_id(composed("render=glyph")) in ids
