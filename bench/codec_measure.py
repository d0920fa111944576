"""Rows of the codec bench, one after the other, or in several processes."""

from __future__ import annotations

import multiprocessing
import queue
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from bench.codec_pages import Material
from bench.codec_quality import Figures, page_figures
from bench.codec_reading import Readings, error_interval
from bench.codec_rows import Row
from bench.codec_settings import built, shown
from freqexp.codecs.base import decode

Task = tuple[Material, str, str]
"""A material, a codec and its setting."""

_WARM_ROWS = 80
_SECONDS = 1.0


def one_by_one(todo: Sequence[Task], readings: Readings) -> Iterator[Row]:
    """The rows of these tasks, each when it is asked for."""
    return (measured(*task, readings) for task in todo)


def in_processes(todo: Sequence[Task], jobs: int, folder: Path) -> Iterator[Row]:
    """The rows of these tasks as they come, from so many processes: all of a material from one of
    them, so that its lines are read once. folder: of the readings.
    """
    by_name: dict[str, list[Task]] = {}
    for task in todo:
        by_name.setdefault(task[0].name, []).append(task)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(jobs, mp_context=context) as pool:
        rows = manager.Queue()
        futures = [
            pool.submit(_of_material, tasks[0][0], [task[1:] for task in tasks], folder, rows)
            for tasks in by_name.values()
        ]
        try:
            left = len(todo)
            while left:
                try:
                    yield rows.get(timeout=_SECONDS)
                    left -= 1
                except queue.Empty:
                    for future in futures:
                        if future.done():
                            future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _of_material(
    where: Material,
    settings: Sequence[tuple[str, str]],
    folder: Path,
    rows: queue.Queue[Row],
) -> None:
    readings = Readings(folder)
    for name, setting in settings:
        rows.put(measured(where, name, setting, readings))


def measured(where: Material, name: str, setting: str, readings: Readings) -> Row:
    """One row."""
    codec = built(name, setting)
    if codec is not None:
        # What is loaded once is not part of a page's time.
        decode(codec.encode(np.ascontiguousarray(where.pages[0].pixels[:_WARM_ROWS])))
    figures = [page_figures(codec, page.pixels) for page in where.pages]
    lines = [
        line
        for figure, boxes in zip(figures, where.boxes, strict=True)
        for line in readings.errors(figure.decoded, boxes)
    ]
    low, high = error_interval(lines)

    def mean(of: Callable[[Figures], float], digits: int) -> float:
        return round(statistics.fmean(map(of, figures)), digits)

    return Row(
        material=where.name,
        trained=where.trained,
        codec=name,
        setting=shown(setting),
        pages=len(figures),
        bytes=mean(lambda f: f.size, 1),
        share_bytes=mean(lambda f: f.share, 1),
        psnr_db=mean(lambda f: f.psnr_db, 2),
        ssim=mean(lambda f: f.ssim, 5),
        characters=sum(line.characters for line in lines),
        errors=sum(line.errors for line in lines),
        cer_low=round(100 * low, 4),
        cer_high=round(100 * high, 4),
        digits=sum(line.digits for line in lines),
        digits_wrong=sum(line.digits_wrong for line in lines),
        encode_ms=mean(lambda f: f.encode_ms, 1),
        decode_ms=mean(lambda f: f.decode_ms, 1),
        text_brotli_bytes=round(where.text_brotli_bytes, 1),
    )
