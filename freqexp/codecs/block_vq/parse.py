"""From a page to code words: its lines, and on each line one code word after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from freqexp.codecs.block_vq.codebook import SPACE, UNIT, Codebook, Group, Word
from freqexp.codecs.block_vq.match import EDGE, OWN_ROWS, Floats, Matcher
from freqexp.codecs.block_vq.symbols import Line, Stamp

TOLERANCE = 0.06
_PROBE = 10
_SEARCH = 24
_FOUND = 0.6
_WIDEST, _TALLEST = 48, 48
_MOST_OWN = 1500
_STROKE = 1.5 * 255


@dataclass(frozen=True, eq=False)
class Parsed:
    """A page as code words. group: number of the codebook's group, None without one.

    words: the group's, then the page's own.
    """

    group: int | None
    words: tuple[Word, ...]
    lines: tuple[Line, ...]


def parse_page(ink: Floats, codebook: Codebook | None) -> Parsed:
    """Find the code words of a page. ink: float32 [H, W], 0 (paper) to 255 (black)."""
    plane = ink.copy()
    chosen = _choose_group(plane, codebook) if codebook else None
    group = codebook.groups[chosen] if codebook is not None and chosen is not None else None
    parser = _Parser(plane, group)
    parser.run()
    return Parsed(chosen, tuple(parser.matcher.words), tuple(sorted(parser.lines, key=_row)))


def _row(line: Line) -> int:
    return line.baseline


def _dark_rows(plane: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    dark: np.ndarray[tuple[int], np.dtype[np.bool_]] = plane.max(axis=1) >= EDGE
    return dark


def _choose_group(plane: Floats, codebook: Codebook) -> int | None:
    """The group that explains most of the page's first lines, None when none explains them."""
    drops = _drops(plane)
    rows = np.sort(np.argsort(-drops, kind="stable")[:3])
    best, chosen = _FOUND, None
    for index, group in enumerate(codebook.groups):
        matcher = Matcher(group.words, TOLERANCE)
        share = np.mean(
            [max(_explained(plane, matcher, int(row) + d)[0] for d in (0, -1, 1)) for row in rows]
        )
        if share > best:
            best, chosen = float(share), index
    return chosen


def _drops(plane: Floats) -> Floats:
    """By how much the ink of each row exceeds that of the next: largest at baselines."""
    profile = plane.sum(axis=1)
    return np.asarray(profile - np.append(profile[1:], 0))


def _explained(plane: Floats, matcher: Matcher, baseline: int) -> tuple[float, int]:
    """Share of the first strokes on a line that code words on this baseline explain, and number
    of strokes looked at.
    """
    top, bottom = max(baseline - matcher.above, 0), max(baseline + matcher.below, 0)
    band = plane[top:bottom].copy()
    if not band.size:
        return 0.0, 0
    column, tried, hits = 0, 0, 0
    rows = max(baseline + OWN_ROWS - top, 1)
    while tried < _PROBE:
        dark = np.flatnonzero(band[:rows, column:].max(axis=0) >= EDGE)
        if not dark.size:
            break
        column += int(dark[0])
        tried += 1
        found = matcher.best(band, column, baseline - top)
        if found is None:
            column = _next_gap(band[:rows], column)
            continue
        hits += 1
        matcher.stamp(band, found[0], found[1], baseline - top)
        column += 1
    return hits / max(tried, 1), tried


def _next_gap(band: Floats, column: int) -> int:
    """The next column without a stroke."""
    clear = np.flatnonzero(band[:, column:].max(axis=0) < EDGE)
    return column + int(clear[0]) if clear.size else band.shape[1]


class _Parser:
    def __init__(self, plane: Floats, group: Group | None) -> None:
        self.plane = plane
        self.group = group
        self.matcher = Matcher(group.words if group else (), TOLERANCE)
        self.shared = len(self.matcher.words)
        self.lines: list[Line] = []
        self._step = 0
        self._start = 0

    def run(self) -> None:
        """Line after line, from the top."""
        row = 0
        while True:
            dark = np.flatnonzero(_dark_rows(self.plane[row:]))
            if not dark.size:
                return
            row += int(dark[0])
            clear = np.flatnonzero(~_dark_rows(self.plane[row:]))
            bottom = row + (int(clear[0]) if clear.size else self.plane.shape[0] - row)
            baseline = self._baseline(row, bottom)
            if baseline is None:
                row = bottom
                continue
            line = self._line(baseline, row, max(bottom, baseline + 1))
            if line.stamps:
                if self.lines:
                    self._step = baseline - self.lines[-1].baseline
                self.lines.append(line)
            # Strokes that are left stay for the residual.
            row = max(row + 1, min(bottom, baseline + 1))

    def _baseline(self, top: int, bottom: int) -> int | None:
        """The baseline of the line whose first stroke is in row `top`; None for what is no line."""
        end = min(bottom, top + _SEARCH + 8)
        drops = _drops(self.plane[top : end + 1])[: end - top]
        order = (top + np.argsort(-drops, kind="stable")).tolist()
        if not self.group:
            return order[0] if bottom - top <= _TALLEST else None
        last = self.lines[-1].baseline if self.lines else 0
        near = [last + self._step + d for d in (0, 1, -1)] if self._step else []
        # The first stroke belongs to this line, so the baseline is not far below.
        lowest = top + self.matcher.above
        tried = list(dict.fromkeys([*near, *order[:4], *range(top, lowest + 1)]))
        tried = [row for row in tried if top <= row <= lowest]
        best, chosen = -1.0, None
        for row in tried:
            share, _ = _explained(self.plane, self.matcher, row)
            if share > best:
                best, chosen = share, row
            if share >= 0.9:
                break
        if best > 0.3:
            return chosen
        return order[0] if bottom - top <= _TALLEST else None

    def _line(self, baseline: int, top: int, bottom: int) -> Line:
        first = max(min(top, baseline - self.matcher.above), 0)
        last = bottom if self.group is None else baseline + OWN_ROWS
        line = Line(baseline)
        column, pen = 0, self._start
        while True:
            band = self.plane[first:last, column:]
            dark = np.flatnonzero(band.max(axis=0) >= EDGE)
            if not dark.size:
                break
            column += int(dark[0])
            found = self.matcher.best(self.plane, column, baseline)
            if found is None:
                found = self._own(column, baseline, first, last)
            if found is None:
                column = column + _next_gap(self.plane[first:last, column:], 0)
                continue
            word, left, _ = found
            self.matcher.stamp(self.plane, word, left, baseline)
            pen = self._append(line, word, left, pen)
            column = column + 1
        return line

    def _append(self, line: Line, index: int, left: int, pen: int) -> int:
        """Add a code word, with as many spaces before it as fit; returns the pen behind it."""
        word, spaces = self.matcher.words[index], 0
        if self.group is None or index >= self.shared:
            line.stamps.append(Stamp(index, left))
            return int(left + word.ink.shape[1]) * UNIT
        here = left * UNIT + word.origin
        advance = int(self.group.advance[SPACE])
        if line.stamps and advance > 0:
            spaces = max(0, (here - pen + advance // 2) // advance)
        if not line.stamps:
            self._start = here
        line.stamps.append(Stamp(index, left, spaces))
        return here + int(self.group.advance[word.kind])

    def _own(
        self, column: int, baseline: int, first: int, last: int
    ) -> tuple[int, int, float] | None:
        """A code word of the page's own from what stands up to the next gap; None for what is too
        large or more than a speck of noise.
        """
        if self.group is not None:
            last = baseline + self.matcher.below
        right = _next_gap(self.plane[first:last], column)
        left = max(column - 1, 0)
        if right - left > _WIDEST or len(self.matcher.words) - self.shared >= _MOST_OWN:
            return None
        block = np.clip(self.plane[first:last, left : right + 1], 0, 255)
        ink = ((block + 8) // 17).astype(np.uint8)
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        if not rows.size or block.sum() < _STROKE or rows[-1] - rows[0] >= _TALLEST:
            return None
        cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        top = first + int(rows[0]) - baseline
        if abs(top) > 100:
            return None
        self.matcher.add(Word(np.ascontiguousarray(cut), top))
        return len(self.matcher.words) - 1, left + int(columns[0]), 0.0


def render_lines(
    lines: Sequence[Line], words: Sequence[Word], shape: tuple[int, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The page of code words, ink over ink: uint8 [H, W], 0 is black."""
    ink = np.zeros(shape, dtype=np.int64)
    for line in lines:
        for at in line.stamps:
            word = words[at.word]
            height, width = word.ink.shape
            top = line.baseline + word.top
            rows = slice(max(top, 0), min(top + height, shape[0]))
            columns = slice(max(at.left, 0), min(at.left + width, shape[1]))
            if rows.start < rows.stop and columns.start < columns.stop:
                part = word.ink[rows.start - top : rows.stop - top]
                part = part[:, columns.start - at.left : columns.stop - at.left]
                ink[rows, columns] += 17 * part.astype(np.int64)
    return (255 - np.minimum(ink, 255)).astype(np.uint8)
