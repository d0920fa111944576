"""Schemas of the group `render`: how conversations become pages."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import Missing
from freqexp.schemas.section import Section, options_in

if TYPE_CHECKING:
    from freqexp.nouns.render import Renderer


@dataclass
class RenderConfig(Section):
    """How conversations become pages.

    missing: mark counts characters that don't look as they should (see `Page`) and draws U+FFFD for
        those that the font lacks; error makes the sample one.
    """

    name: str
    missing: Missing = Missing.mark

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
        return ranges.integers(self, prefix, counts, 1, 4096) + ranges.positive(
            self, prefix, ("font_px",)
        )

    def build(self) -> Renderer:
        from freqexp.pages.cells import CellsRenderer

        return CellsRenderer(
            columns=self.columns,
            rows=self.rows,
            cell_width=self.cell_width,
            cell_height=self.cell_height,
            font_px=self.font_px,
        )


@dataclass
class GlyphRender(RenderConfig):
    """Glyph's page (arXiv 2510.17800): sizes, margins and type in points, drawn at `dpi`."""

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

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("width", "height"), 1, 20_000)
        faults += ranges.integers(self, prefix, ("dpi",), 1, 2400)
        faults += ranges.integers(self, prefix, ("margin_x", "margin_y"), 0, 20_000)
        faults += ranges.positive(self, prefix, ("font_pt", "line_height_pt"))
        for margin, side in (("margin_x", "width"), ("margin_y", "height")):
            if 0 < getattr(self, side) <= 2 * getattr(self, margin):
                allowed = f"less than half of {prefix}.{side} ({getattr(self, side)})"
                faults.append(fault(f"{prefix}.{margin}", getattr(self, margin), allowed))
        if self.font_path is not None:
            faults += ranges.readable(self.font_path, f"{prefix}.font_path")
        return faults

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
        )


RENDERS = options_in([sys.modules[__name__]], RenderConfig)
