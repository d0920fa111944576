"""How many words a reader still finds on compressed pages: Milestone 1's word-set recall."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.benchmarks.convbench import PROMPT, word_recall
from freqexp.errors import UserError, fault
from freqexp.nouns.page import Pixels
from freqexp.report.drawing import COLOURS, Drawn, save, style
from freqexp.results.intervals import interval, scores
from freqexp.results.record import mean

if TYPE_CHECKING:
    from freqexp.figures.study import Study
    from freqexp.readers.base import Reader

TESSERACT = "tesseract"
TINY = "tiny"
TIMEOUT_S = 300


@dataclass(frozen=True)
class Recall:
    """Recalls of every sample at one keep ratio (1: the page as it is)."""

    keep_ratio: float
    values: tuple[float, ...]


def draw_recall(
    study: Study, folder: Path, reader: str, overrides: Sequence[str], samples: int
) -> list[Drawn]:
    """Measure and draw; [] with the reader "none".

    Raises UserError for a reader that can't be had.
    """
    if reader == "auto":
        reader = TESSERACT if shutil.which(TESSERACT) else TINY
    if reader == "none":
        print("word recall: not measured (--reader none)")
        return []
    keep_ratios = (1.0, *study.keep_ratios)
    if reader == TINY:
        # It reads its own pages only, and answers questions instead of transcribing.
        what = "the bundled reader, its own pages: words of the wanted reply in its answer"
        recalls = tiny_recalls(keep_ratios, study.block, max(samples, 8), overrides)
    else:
        read = _tesseract() if reader == TESSERACT else _model(reader, overrides)
        what = f"{reader}, {study.title}: words of the page in its transcript"
        recalls = [page_recall(study, keep, read) for keep in keep_ratios]
    return [_draw(recalls, what, study.block, folder)]


def page_recall(study: Study, keep_ratio: float, read: Callable[[Pixels], str]) -> Recall:
    """Recall of the words of every page of a study at a keep ratio."""
    from freqexp.figures.study import restore

    values = []
    for page in study.pages:
        shown = page.pixels if keep_ratio == 1 else restore(page.pixels, study.block, keep_ratio)
        recall = word_recall(page.text, read(shown))
        if recall is not None:
            values.append(recall)
    return Recall(keep_ratio, tuple(values))


def tiny_recalls(
    keep_ratios: Sequence[float], block: int, samples: int, overrides: Sequence[str] = ()
) -> list[Recall]:
    """Recall of the words of the wanted reply in the bundled reader's answers."""
    from freqexp.answering.session import Session
    from freqexp.composing.compose import compose
    from freqexp.figures.study import restore
    from freqexp.nouns.vision import keep_all

    cfg = compose(("model=tiny", "compressor=none", f"samples={samples}", *overrides))
    session = Session()
    reader = session.reader(cfg)
    found: dict[float, list[float]] = {keep: [] for keep in keep_ratios}
    for sample in session.samples(cfg):
        pages = [page.pixels for page in session.render(cfg.model.render, sample)[0].pages]
        reply = sample.answer.removeprefix(sample.prefix)
        for keep, values in found.items():
            shown = pages if keep == 1 else [restore(page, block, keep) for page in pages]
            tokens = [keep_all(vision) for vision in reader.encode(shown)]
            text = reader.answer(sample.question, tokens).text.removeprefix(sample.prefix)
            recall = word_recall(reply, text)
            if recall is not None:
                values.append(recall)
    return [Recall(keep, tuple(values)) for keep, values in found.items()]


def _tesseract() -> Callable[[Pixels], str]:
    """Tesseract as installed, one block of text. Raises UserError without it."""
    program = shutil.which(TESSERACT)
    if program is None:
        raise UserError(fault("--reader", TESSERACT, "tiny, none or a model: it is not installed"))

    def read(pixels: Pixels) -> str:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        try:
            done = subprocess.run(
                [program, "stdin", "stdout", "--psm", "6"],
                input=buffer.getvalue(),
                capture_output=True,
                timeout=TIMEOUT_S,
                check=True,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(f"{program}: {error}") from None
        return done.stdout.decode("utf-8", errors="replace")

    return read


def _model(name: str, overrides: Sequence[str]) -> Callable[[Pixels], str]:
    """A model of conf/model, asked with Milestone 1's prompt. Raises what composing it raises."""
    from freqexp.composing.compose import compose
    from freqexp.nouns.vision import keep_all
    from freqexp.readers.load import load_reader

    reader: Reader = load_reader(compose((f"model={name}", *overrides)).model)

    def read(pixels: Pixels) -> str:
        return reader.answer(PROMPT, [keep_all(page) for page in reader.encode([pixels])]).text

    return read


def _draw(recalls: Sequence[Recall], what: str, block: int, folder: Path) -> Drawn:
    """The means with their 95 % intervals, as a figure and as CSV."""
    from matplotlib.figure import Figure

    rows = []
    for recall in recalls:
        several = len(recall.values) > 1
        low, high = interval(scores(recall.values)) if several else (None, None)
        rows.append((recall.keep_ratio, len(recall.values), mean(recall.values), low, high))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "recall.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("keep_ratio", "samples", "recall", "low", "high"))
        writer.writerows(rows)
    with style():
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        panel = figure.subplots()
        for place, (_, _, value, low, high) in enumerate(rows):
            if value is None:
                continue
            if low is not None and high is not None:
                panel.plot([place, place], [low, high], color=COLOURS[0], linewidth=1.6)
            panel.plot([place], [value], marker="o", color=COLOURS[0], markersize=7)
            panel.annotate(f"{value:.2f}", (place, value), (10, -14), textcoords="offset points")
        panel.set_xticks(
            range(len(rows)), [f"{100 * keep:g} %\nn = {count}" for keep, count, *_ in rows]
        )
        panel.set_xlim(-0.5, len(rows) - 0.3)
        panel.set_ylim(0, 1.05)
        panel.set_xlabel(f"DCT coefficients kept, block {block}")
        panel.set_ylabel("word-set recall (0 to 1), 95 %")
        panel.set_title(what, fontsize=8.5)
        return save(figure, folder, Drawn("recall", f"Word-set recall ({what})"))
