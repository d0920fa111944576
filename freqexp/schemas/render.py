"""Schemas of the group `render`: how conversations become pages."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freqexp.errors import fault
from freqexp.nouns.page import LONGEST
from freqexp.schemas import ranges
from freqexp.schemas.choices import Layout, Missing
from freqexp.schemas.section import Section, options_in

if TYPE_CHECKING:
    from freqexp.nouns.render import Renderer


@dataclass
class RenderConfig(Section):
    """How conversations become pages.

    missing: mark counts characters that don't look as they should (see `Page`) and draws U+FFFD for
        those that no font has; error makes the sample one.
    fallback: font files, asked in this order for characters that the font lacks.
    """

    name: str
    missing: Missing = Missing.mark
    fallback: list[str] = field(default_factory=list)

    def check(self, prefix: str) -> list[str]:
        faults = []
        for number, path in enumerate(self.fallback):
            faults += ranges.font(path, f"{prefix}.fallback[{number}]")
        return faults

    def build(self) -> Renderer:
        """The renderer of these settings."""
        raise TypeError(f"{type(self).__name__} is a base class")


@dataclass
class CellsRender(RenderConfig):
    """Monospaced cells aligned to the reader's patch grid; cell sizes in pixels."""

    name: str = "cells"
    columns: int = 24
    rows: int = 12
    cell_width: int = 14
    cell_height: int = 28
    font_px: float = 23.25

    def check(self, prefix: str) -> list[str]:
        counts = ("columns", "rows", "cell_width", "cell_height")
        faults = ranges.integers(self, prefix, counts, 1, 4096)
        faults += ranges.positive(self, prefix, ("font_px",))
        if not faults:
            width, height = self.columns * self.cell_width, self.rows * self.cell_height
            faults += _shape_faults(f"{prefix}.columns", self.columns, width, height)
        return faults + super().check(prefix)

    def build(self) -> Renderer:
        from freqexp.pages.cells import CellsRenderer

        return CellsRenderer(
            columns=self.columns,
            rows=self.rows,
            cell_width=self.cell_width,
            cell_height=self.cell_height,
            font_px=self.font_px,
            fallback=self.fallback,
        )


@dataclass
class GlyphRender(RenderConfig):
    """Glyph's page (arXiv 2510.17800): sizes, margins and type in points, drawn at `dpi`.

    layout: basic draws each character by itself, from left to right, the same with every Pillow;
        raqm joins letters, orders them from right to left, and kerns.
    """

    name: str = "glyph"
    width: int = 595
    height: int = 842
    dpi: int = 72
    margin_x: int = 10
    margin_y: int = 10
    font_pt: float = 9.0
    line_height_pt: float = 10.0
    crop: bool = True
    font_path: str | None = None
    layout: Layout = Layout.basic

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("width", "height"), 1, 20_000)
        faults += ranges.integers(self, prefix, ("dpi",), 1, 2400)
        faults += ranges.integers(self, prefix, ("margin_x", "margin_y"), 0, 20_000)
        faults += ranges.positive(self, prefix, ("font_pt", "line_height_pt"))
        if not faults:
            width, height = (round(side * self.dpi / 72) for side in (self.width, self.height))
            faults += _shape_faults(f"{prefix}.width", self.width, width, height)
        for margin, side in (("margin_x", "width"), ("margin_y", "height")):
            if 0 < getattr(self, side) <= 2 * getattr(self, margin):
                allowed = f"less than half of {prefix}.{side} ({getattr(self, side)})"
                faults.append(fault(f"{prefix}.{margin}", getattr(self, margin), allowed))
        if self.font_path is not None:
            faults += ranges.font(self.font_path, f"{prefix}.font_path")
        if self.layout is Layout.raqm and not _has_raqm():
            allowed = "basic; this Pillow comes without libraqm, or finds no libfribidi"
            faults.append(fault(f"{prefix}.layout", self.layout.value, allowed))
        return faults + super().check(prefix)

    def build(self) -> Renderer:
        from freqexp.pages.glyph import GlyphRenderer

        return GlyphRenderer(
            width=self.width,
            height=self.height,
            dpi=self.dpi,
            margin_x=self.margin_x,
            margin_y=self.margin_y,
            font_pt=self.font_pt,
            line_height_pt=self.line_height_pt,
            crop=self.crop,
            font_path=self.font_path,
            fallback=self.fallback,
            shapes=self.layout is Layout.raqm,
        )


def _shape_faults(field: str, value: int, width: int, height: int) -> list[str]:
    """A page that every image processor takes; width and height in pixels."""
    if max(width, height) <= LONGEST * min(width, height):
        return []
    allowed = (
        f"a page whose longer side is at most {LONGEST} times the other, not {width} x {height} px"
    )
    return [fault(field, value, allowed)]


def _has_raqm() -> bool:
    from PIL import features

    return bool(features.check("raqm"))


RENDERS = options_in([sys.modules[__name__]], RenderConfig)
