"""Rate against quality: Pareto sets, BD-rate, the figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.codec_leaders import LIKE_DB, LIMIT_POINTS, baseline
from bench.codec_rows import Row
from bench.readme import BLUE, GRAY, ORANGE, save

_LEAST_SHARED_DB = 1
_NO_LOSS_DB = 60
# Okabe and Ito's other colours; every codec has a marker of its own, too.
_LOOKS: Mapping[str, tuple[str, str]] = {
    "symbols": (ORANGE, "*"),
    "block_vq": (ORANGE, "o"),
    "block_dct": (BLUE, "D"),
    "block_copy": (BLUE, "*"),
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
    """CER and PSNR against bytes a page of one material; the Pareto set of CER joined by a line.

    The shaded part is what is no more than `LIMIT_POINTS` above the pages as they are.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (errors, likeness) = plt.subplots(1, 2, figsize=(10.4, 4.9), dpi=110)
    stored = [row for row in rows if row.codec != "none"]
    _points(errors, stored, lambda row: row.cer_percent)
    _points(likeness, stored, lambda row: min(row.psnr_db, _NO_LOSS_DB))
    best = sorted(
        (row.bytes, row.cer_percent)
        for row, is_best in zip(stored, pareto(stored), strict=True)
        if is_best
    )
    errors.plot(*zip(*best, strict=True), color="black", linewidth=1, zorder=0, label="Pareto set")
    for row in stored:
        if row.setting in _NAMED:
            errors.annotate(
                _NAMED[row.setting], (row.bytes, row.cer_percent), xytext=(-8, -14),
                textcoords="offset points", fontsize=7.5, color=ORANGE,
            )  # fmt: skip
    _lines(errors, rows)
    # A CER may be 0, and 0.1 and 50 both matter.
    errors.set_yscale("symlog", linthresh=0.2)
    errors.set_ylim(bottom=-0.03)
    errors.set_yticks([0, 0.1, 0.2, 1, 10, 100], ["0", "0.1", "0.2", "1", "10", "100"])
    errors.set_ylabel("character error rate, %")
    errors.set_ylim(top=3 * max(1.0, *(row.cer_percent for row in rows)))
    likeness.set_yticks(
        [20, 30, LIKE_DB, 40, 50, _NO_LOSS_DB], ["20", "30", "36", "40", "50", "none"]
    )
    likeness.axhline(LIKE_DB, color=GRAY, linestyle=":", linewidth=1)
    likeness.set_ylabel("PSNR, dB; none: no loss")
    for axes in (errors, likeness):
        axes.set_xscale("log")
        axes.set_xlabel("bytes a page, mean (share of codebook or prior included)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=10)
    marks, names = errors.get_legend_handles_labels()
    figure.legend(marks, names, fontsize=7.5, ncols=9, frameon=False, loc="lower center")
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    save(figure, path)
    plt.close(figure)


def _points(axes: Any, rows: Sequence[Row], height: Callable[[Row], float]) -> None:
    for name in dict.fromkeys(row.codec for row in rows):
        chosen = [row for row in rows if row.codec == name]
        colour, marker = _LOOKS[name]
        size = 110 if marker == "*" else 36
        places = [row.bytes for row in chosen], [height(row) for row in chosen]
        axes.scatter(*places, label=name, color=colour, marker=marker, s=size, linewidths=0)


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
