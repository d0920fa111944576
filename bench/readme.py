"""The picture of the README: what compression does to a page, to accuracy and to what is saved.

    python -m bench.readme [--output-dir outputs] [--picture docs/figures/readme.png]

Runs the two sweeps below (what is in the output folder is not computed again) and draws one sample
of them, the first, and all their accuracies.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.results import ROOT, summaries
from freqexp.answering.session import Session
from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig
from freqexp.nouns.page import Pixels
from freqexp.nouns.sample import Sample
from freqexp.results.record import settle
from freqexp.results.record_file import RECORDS, load_records
from freqexp.results.summary import Summary

SWEEP = "python -m freqexp.run -m compressor=block_dct,token keep_ratio=0.3,0.5,0.7"
PRUNING = (
    "python -m freqexp.run -m compressor=token keep_ratio=0.3,0.5,0.7 "
    "compressor.transform=false compressor.quantize=false"
)
# Okabe and Ito's colours, told apart with every kind of colour vision; shapes differ, too.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#555555"
BYTES_LIMIT = 150_000
DPI = 110


@dataclass(frozen=True)
class Panel:
    """One page as a run saw it, and what came of it. kept: bool [rows, columns], None: all."""

    title: str
    pixels: Pixels
    answer: str
    score: float
    kept: NDArray[np.bool_] | None = None


def main() -> None:
    """Run, draw, save."""
    parser = argparse.ArgumentParser(description="Draw the picture of the README.")
    parser.add_argument("--output-dir", default="outputs", help="where runs are, and are written")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "figures" / "readme.png")
    arguments = parser.parse_args()
    sweep = summaries(SWEEP, arguments.output_dir)
    pruning = [s for s in summaries(PRUNING, arguments.output_dir) if s.compressor != "none"]
    sample, panels = sample_panels(arguments.output_dir)
    draw(sample, panels, sweep, pruning, arguments.picture)
    size = arguments.picture.stat().st_size
    if size > BYTES_LIMIT:
        raise SystemExit(f"{arguments.picture}: {size} bytes, allowed: {BYTES_LIMIT}")
    print(f"{arguments.picture}: {size} bytes")


def sample_panels(output_dir: str) -> tuple[Sample, list[Panel]]:
    """The first sample of the sweep, and the page that holds its answer under three runs."""
    session = Session()
    own = ("tracking=off", f"output_dir={output_dir}")
    none = compose(("compressor=none", *own))
    codec = compose(("compressor=block_dct", "keep_ratio=0.3", *own))
    token = compose(("compressor=token", "keep_ratio=0.5", *own))
    sample = session.samples(none)[0]
    pages = [page.pixels for page in session.render(none.model.render, sample)[0].pages]
    number = answer_page(none, sample)
    coded = codec.compressor.build(codec.keep_ratio, codec.profile)
    pruned = token.compressor.build(token.keep_ratio, token.profile)
    vision = session.encode(session.reader(token), pages, share=False)[0][number]
    compressed = pruned.compress(vision)  # type: ignore[union-attr, arg-type]
    kept = np.zeros(vision.grid[0] * vision.grid[1], dtype=bool)
    kept[compressed.kept.numpy()] = True  # type: ignore[union-attr]
    page = pages[number]
    changed = coded.compress(page).pixels  # type: ignore[union-attr, arg-type]
    return sample, [
        Panel("page, not compressed", page, *result(none, session, sample)),
        Panel("block_dct, keep 0.3", changed, *result(codec, session, sample)),
        Panel(
            "token, keep 0.5: orange is dropped",
            page,
            *result(token, session, sample),
            kept.reshape(vision.grid),
        ),
    ]


def answer_page(cfg: RunConfig, sample: Sample) -> int:
    """Index of the page that shows the wanted reply."""
    reply = sample.answer.removeprefix(sample.prefix)
    renderer: Any = cfg.model.render.build()
    for number, page in enumerate(renderer.render(sample.turns)):
        if reply in page.text.replace("\n", ""):
            return number
    raise ValueError(f"sample {sample.sample_id}: no page holds the reply")


def result(cfg: RunConfig, session: Session, sample: Sample) -> tuple[str, float]:
    """The recorded answer and score of a sample in a run that is done."""
    folder = Path(cfg.output_dir) / "runs" / session.run_id(cfg)
    record = settle(load_records(folder / RECORDS))[sample.sample_id]
    assert record.answer is not None
    assert record.score is not None
    return record.answer, record.score


def draw(
    sample: Sample,
    panels: Sequence[Panel],
    sweep: Sequence[Summary],
    pruning: Sequence[Summary],
    path: Path,
) -> None:
    """Pages and answers above, accuracy against tokens and against bytes below."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = plt.figure(figsize=(9.6, 7.4), dpi=DPI, facecolor="white")
    above = figure.add_gridspec(1, 3, left=0.02, right=0.98, top=0.90, bottom=0.545, wspace=0.06)
    below = figure.add_gridspec(1, 2, left=0.08, right=0.98, top=0.4, bottom=0.075, wspace=0.14)
    question = textwrap.fill(f"Question: {sample.question}", 118)
    figure.text(0.02, 0.985, question, va="top", family="monospace", fontsize=8)
    for place, panel in enumerate(panels):
        draw_panel(figure.add_subplot(above[place]), panel)
    baseline = next(s for s in sweep if s.compressor == "none")
    tokens, bytes_ = figure.add_subplot(below[0]), figure.add_subplot(below[1])
    token = [s for s in sweep if s.compressor == "token"]
    codec = [s for s in sweep if s.compressor == "block_dct"]
    draw_points(
        tokens, pruning, "decoder_tokens", 1, GREEN, "s", "token, pruning alone", above=True
    )
    draw_points(
        tokens, token, "decoder_tokens", 1, ORANGE, "^", "token, with the paper's quantiser"
    )
    draw_points(tokens, [baseline], "decoder_tokens", 1, GRAY, "o", "not compressed")
    draw_points(bytes_, codec, "stored_bytes", 1024, BLUE, "D", "block_dct, its bitstream")
    draw_points(
        bytes_,
        [baseline],
        "lossless_bytes",
        1024,
        GRAY,
        "o",
        "the pages without loss",
    )
    tokens.set_xlabel("tokens the decoder saw (text and vision), mean a sample")
    bytes_.set_xlabel("KiB that store the pages, mean a sample")
    finish(tokens, baseline, 0.72)
    finish(bytes_, baseline, 0.4)
    tokens.set_ylabel("accuracy, 95 % interval")
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)


def draw_panel(axes: Any, panel: Panel) -> None:
    """A page, its dropped tokens covered, and the answer below."""
    axes.imshow(panel.pixels, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    if panel.kept is not None:
        height, width = panel.pixels.shape[:2]
        cover = np.zeros((*panel.kept.shape, 4))
        cover[~panel.kept] = (0.84, 0.37, 0.0, 0.72)
        axes.imshow(cover, extent=(0, width, height, 0), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color="#999999")
    axes.set_title(panel.title, fontsize=10)
    text = panel.answer if len(panel.answer) <= 60 else panel.answer[:60] + " ..."
    lines = textwrap.fill(f"Answer: {text}", 40)
    axes.text(
        0, -0.05, f"{lines}\nscore {panel.score:.2f}", transform=axes.transAxes, va="top",
        family="monospace", fontsize=8,
    )  # fmt: skip


def draw_points(
    axes: Any,
    rows: Sequence[Summary],
    figure: str,
    unit: int,
    color: str,
    marker: str,
    label: str,
    above: bool = False,
) -> None:
    """Accuracies with intervals over a measured figure; each point says its keep ratio.

    unit: what one of `figure` is divided by. above: the keep ratio stands above its point.
    """
    x = [getattr(row, figure) / unit for row in rows]
    y = np.array([row.accuracy for row in rows], dtype=float)
    low = np.array([row.accuracy_low for row in rows], dtype=float)
    high = np.array([row.accuracy_high for row in rows], dtype=float)
    axes.errorbar(
        x, y, yerr=[y - low, high - y], color=color, marker=marker, label=label, linestyle="",
        capsize=3, markersize=6,
    )  # fmt: skip
    near = 0.2 * (max(x) - min(x))
    for number, row in enumerate(rows):
        if row.keep_ratio is None:
            continue
        # Of two points side by side the second has its keep ratio on the other side.
        up = above != (number > 0 and abs(x[number] - x[number - 1]) < near)
        axes.annotate(
            f"{row.keep_ratio:g}", (x[number], (high if up else low)[number]),
            xytext=(0, 4 if up else -5), va="bottom" if up else "top",
            textcoords="offset points", ha="center", color=color,
        )  # fmt: skip


def finish(axes: Any, baseline: Summary, legend_at: float) -> None:
    """Scale, the line of chance, the legend at a height in [0, 1] where no point is."""
    assert baseline.chance is not None
    axes.axhline(
        baseline.chance,
        color=GRAY,
        linestyle="--",
        linewidth=1,
        label="chance: another turn as answer",
    )
    axes.set_ylim(0, 1.02)
    axes.margins(x=0.12)
    axes.legend(frameon=False, loc=(0.02, legend_at), fontsize=8)


def save(figure: Any, path: Path) -> None:
    """Write a PNG of 128 colours: a third of the bytes, no visible difference."""
    from PIL import Image

    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.quantize(128, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
