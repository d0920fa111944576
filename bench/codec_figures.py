"""Rate against quality: Pareto sets, BD-rate, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Point:
    """What a setting of a codec takes and gives: mean bytes a page, CER in percent, PSNR in dB."""

    codec: str
    bytes: float
    cer_percent: float
    psnr_db: float


def pareto(points: Sequence[Point]) -> list[bool]:
    """Whether no other point has fewer bytes and no larger CER, or as many and a smaller one."""
    return [
        not any(
            (o.bytes <= p.bytes and o.cer_percent <= p.cer_percent)
            and (o.bytes < p.bytes or o.cer_percent < p.cer_percent)
            for o in points
        )
        for p in points
    ]


def bd_rate(points: Sequence[Point], anchor: str, codec: str) -> float | None:
    """Mean change of bytes at equal PSNR, percent: of `codec` against `anchor`.

    Bjontegaard's figure with log bytes piecewise linear in PSNR, over the PSNR range that both
    curves cover; None where they share less than 1 dB or have fewer than two points.
    """
    curves = []
    for name in (anchor, codec):
        found = sorted((p.psnr_db, p.bytes) for p in points if p.codec == name and p.psnr_db < 99)
        if len(found) < 2:
            return None
        curves.append(np.array(found).T)
    low = max(curve[0].min() for curve in curves)
    high = min(curve[0].max() for curve in curves)
    if high - low < 1:
        return None
    grid = np.linspace(low, high, 201)
    logs = [np.interp(grid, curve[0], np.log(curve[1])) for curve in curves]
    return float(100 * (np.exp(np.mean(logs[1] - logs[0])) - 1))


def rate_figure(points: Sequence[Point], title: str, path: Path) -> None:
    """CER against bytes a page, the Pareto set joined by a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    names = sorted({p.codec for p in points})
    markers = "osD^vP*X<>hpd"
    for index, name in enumerate(names):
        chosen = [p for p in points if p.codec == name]
        axes.scatter(
            [p.bytes for p in chosen],
            [p.cer_percent for p in chosen],
            label=name,
            marker=markers[index % len(markers)],
            s=36,
        )
    front = sorted(
        (p.bytes, p.cer_percent) for p, best in zip(points, pareto(points), strict=True) if best
    )
    axes.plot(*zip(*front, strict=True), color="black", linewidth=1, zorder=0, label="Pareto set")
    axes.set_xscale("log")
    # CER may be 0, and 0.1 and 50 both matter.
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(bottom=-0.02)
    axes.set_xlabel("bytes a page (codebook over 100 pages included)")
    axes.set_ylabel("character error rate, %")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
