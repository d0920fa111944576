"""Rate against quality: Pareto sets, BD-rate, the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.codec_leaders import LIMIT_POINTS, baseline
from bench.codec_rows import Row
from bench.readme import BLUE, GRAY, ORANGE, save

_LEAST_SHARED_DB = 1
# Okabe and Ito's other colours; every codec has a marker of its own, too.
_LOOKS: Mapping[str, tuple[str, str]] = {
    "symbols": (ORANGE, "*"),
    "block_vq": (ORANGE, "o"),
    "block_dct": (BLUE, "D"),
    "posterize": ("#009E73", "s"),
    "png": ("#56B4E9", "P"),
    "webp_lossless": ("#56B4E9", "v"),
    "jxl_lossless": ("#CC79A7", "^"),
    "jxl": ("#CC79A7", "o"),
    "avif": ("#E69F00", "o"),
    "webp": ("#E69F00", "v"),
    "jpeg": (GRAY, "X"),
    "jpeg2000": (GRAY, "P"),
    "jb2": ("#009E73", "p"),
    "jbig1": ("#009E73", "h"),
    "strips": ("black", "d"),
    "downsample": (GRAY, "<"),
}
_NAMED = {
    "levels=2 prior=null": "without prior",
    "keep_ratio=0.01 codebook=false": "without codebook",
}


def pareto(rows: Sequence[Row]) -> list[bool]:
    """Whether no other row has fewer bytes and no larger CER, or as many and a smaller one."""
    return [
        not any(
            (o.bytes <= r.bytes and o.cer_percent <= r.cer_percent)
            and (o.bytes < r.bytes or o.cer_percent < r.cer_percent)
            for o in rows
        )
        for r in rows
    ]


def bd_rate(anchor: Sequence[tuple[float, float]], of: Sequence[tuple[float, float]]) -> float:
    """Mean change of bytes at equal PSNR, percent, of one curve against an anchor; NaN where they
    have fewer than two points or share less than 1 dB.

    Bjontegaard's figure (VCEG-M33) with log bytes piecewise linear in PSNR, over the PSNR range
    that both curves cover. Points are (PSNR in dB, bytes).
    """
    curves = [np.array(sorted(points)).T for points in (anchor, of)]
    if min(len(anchor), len(of)) < 2:
        return float("nan")
    low = max(curve[0].min() for curve in curves)
    high = min(curve[0].max() for curve in curves)
    if high - low < _LEAST_SHARED_DB:
        return float("nan")
    # Both are linear between all of their points, so that the trapezoids are exact.
    inner = np.concatenate([curve[0] for curve in curves])
    grid = np.unique([low, high, *inner[(inner > low) & (inner < high)]])
    difference = _log_bytes(curves[1], grid) - _log_bytes(curves[0], grid)
    mean = float(np.trapezoid(difference, grid) / (high - low))
    return 100 * float(np.expm1(mean))


def _log_bytes(
    curve: npt.NDArray[np.float64], psnr_db: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.asarray(np.interp(psnr_db, curve[0], np.log(curve[1])))


def rate_figure(rows: Sequence[Row], title: str, path: Path) -> None:
    """CER against bytes a page of one material, the Pareto set joined by a line.

    The shaded part is what is no more than `LIMIT_POINTS` above the pages as they are.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.8), dpi=110)
    stored = [row for row in rows if row.codec != "none"]
    for name in dict.fromkeys(row.codec for row in stored):
        chosen = [row for row in stored if row.codec == name]
        colour, marker = _LOOKS[name]
        size = 110 if marker == "*" else 36
        places = [row.bytes for row in chosen], [row.cer_percent for row in chosen]
        axes.scatter(*places, label=name, color=colour, marker=marker, s=size, linewidths=0)
    best = sorted(
        (row.bytes, row.cer_percent)
        for row, is_best in zip(stored, pareto(stored), strict=True)
        if is_best
    )
    axes.plot(*zip(*best, strict=True), color="black", linewidth=1, zorder=0, label="Pareto set")
    for row in stored:
        if row.setting in _NAMED:
            axes.annotate(
                _NAMED[row.setting], (row.bytes, row.cer_percent), xytext=(5, 6),
                textcoords="offset points", fontsize=7.5, color=ORANGE,
            )  # fmt: skip
    _lines(axes, rows)
    axes.set_xscale("log")
    # A CER may be 0, and 0.1 and 50 both matter.
    axes.set_yscale("symlog", linthresh=0.2)
    axes.set_ylim(bottom=-0.03)
    axes.set_yticks([0, 0.1, 0.2, 1, 10, 100], ["0", "0.1", "0.2", "1", "10", "100"])
    axes.set_xlabel("bytes a page, mean (a hundredth of codebook or prior included)")
    axes.set_ylabel("character error rate, %")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7.5, ncols=2, frameon=False, loc="upper right")
    figure.tight_layout()
    save(figure, path)
    plt.close(figure)


def _lines(axes: Any, rows: Sequence[Row]) -> None:
    """The limit of readable pages, and what the text itself takes."""
    plain = baseline(rows)
    limit = plain.cer_percent + LIMIT_POINTS
    axes.axhspan(-0.03, limit, color="#009E73", alpha=0.08, linewidth=0)
    text = plain.text_brotli_bytes
    axes.axvline(text, color=GRAY, linestyle=":", linewidth=1)
    axes.annotate(
        "text, brotli", (text, 0.97), xycoords=("data", "axes fraction"), xytext=(3, 0),
        textcoords="offset points", va="top", fontsize=7.5, color=GRAY,
    )  # fmt: skip
