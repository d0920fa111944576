"""What a sweep may cost, before anything runs: arithmetic on real pages, and earlier records.

Says of every figure where it comes from; what can't be known is said to be unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.errors import UserError
from freqexp.files import read_json
from freqexp.results.record import first, mean, settle
from freqexp.results.record_file import RECORDS, load_records
from freqexp.results.summary import SUMMARY
from freqexp.running.plan import Point
from freqexp.schemas.choices import Device, Input
from freqexp_cluster.todo import Sweep

if TYPE_CHECKING:
    from freqexp.config.cluster import ClusterConfig
    from freqexp.config.run import RunConfig
    from freqexp.memory.plan import Room

DRAWN = 3
"""Samples of each data set that are drawn to count their pages."""
STAGES = ("render_ms", "compress_ms", "encode_ms", "prefill_ms", "decode_ms")
GIB = 1 << 30
GPU_GIB = {"a100": (40, 80), "h100": (80, 94), "h200": (141,)}
"""Memory that there is of each GPU, by the word that names it in `cluster`."""
SMALLEST = ", the smallest of that name"
_STATED = re.compile(r"(\d+)_?gi?b?\b")


@dataclass(frozen=True)
class Pages:
    """Pages of the drawn samples: the mean number, the most, and (height, width) of the latter."""

    mean: float
    most: list[tuple[int, int]]


def estimate(sweep: Sweep, points: Sequence[Point]) -> str:
    """Text about the runs that would be submitted."""
    if not points:
        return "cost: nothing, there is nothing to compute"
    kinds: dict[str, list[Point]] = {}
    for point in points:
        kinds.setdefault(repr((point.cfg.model, point.cfg.needles, point.cfg.samples)), []).append(
            point
        )
    times = earlier_seconds(sweep.root)
    blocks = [_kind(sweep, group, times) for group in kinds.values()]
    return "\n".join(["cost (estimated)", *blocks])


def _kind(sweep: Sweep, group: Sequence[Point], times: dict[tuple[str, int], list[float]]) -> str:
    cfg = group[0].cfg
    head = f"  model {cfg.model.name}, {cfg.needles.count} needles: {len(group)} runs"
    every = len(group) * cfg.samples
    left = [missing(sweep, point) for point in group]
    lines = [f"{head} x {cfg.samples} samples = {every} answers"]
    lines[0] += f", {sum(left)} of them not yet given" if sum(left) < every else ""
    try:
        lines += _text(sweep, cfg) if cfg.model.input is Input.text else _sizes(sweep, cfg)
    except UserError as error:
        lines.append(f"    pages and memory: unknown ({str(error).splitlines()[0]})")
    lines.append(f"    {_time(sweep, cfg, left, times)}")
    return "\n".join(lines)


def _text(sweep: Sweep, cfg: RunConfig) -> list[str]:
    """How much text a sample is; its tokens are known once there is a tokenizer."""
    samples = sweep.session.samples(replace(cfg, samples=min(DRAWN, cfg.samples)))[:DRAWN]
    if not samples:
        raise UserError("the data set holds no samples")
    characters = sum(sample.characters for sample in samples) / len(samples)
    return [f"    text a sample: {characters:.0f} characters on average (of {len(samples)} read)"]


def _sizes(sweep: Sweep, cfg: RunConfig) -> list[str]:
    """Pages, vision tokens and memory of one sample."""
    from freqexp.memory.geometry import NoGeometryError
    from freqexp.memory.plan import plan

    pages = draw(sweep, cfg)
    lines = [f"    pages a sample: {pages.mean:.1f} on average, {len(pages.most)} at most"]
    lines[0] += f" (of {min(DRAWN, cfg.samples)} drawn)"
    room = _room(sweep)
    try:
        found = plan(replace(cfg.model, device=Device.cpu), pages.most, room=room)
    except NoGeometryError as error:
        return [*lines, f"    tokens and memory: unknown ({error})"]
    tokens = found.page_tokens * pages.mean
    lines.append(
        f"    vision tokens a sample: {tokens:.0f} on average before compression, "
        f"{found.page_tokens} a page"
    )
    lines.append(
        f"    KV cache of the longest: {found.cache_bytes * room.gpus / GIB:.2f} GiB uncompressed "
        f"({found.cache_bytes_per_token} bytes a token)"
    )
    lines += [f"    {line}" for line in found.lines().splitlines()]
    if found.fits is False and not sweep.cluster.shard:
        lines.append("    one copy does not fit one GPU: cluster.shard=true spreads it over all")
    return lines


def draw(sweep: Sweep, cfg: RunConfig) -> Pages:
    """Pages of the first samples, really drawn."""
    few = replace(cfg, samples=min(DRAWN, cfg.samples))
    drawn = []
    for sample in sweep.session.samples(few)[:DRAWN]:
        rendered, _ = sweep.session.render(cfg.model.render, sample)
        drawn.append([(page.pixels.shape[0], page.pixels.shape[1]) for page in rendered.pages])
    if not drawn:
        raise UserError("the data set holds no samples")
    return Pages(sum(map(len, drawn)) / len(drawn), max(drawn, key=len))


def _room(sweep: Sweep) -> Room:
    from freqexp.memory.plan import Room

    cluster = sweep.cluster
    gpus = cluster.gpus if cluster.shard else 1
    gib, why = gpu_gib(cluster)
    if gib is None:
        return Room(None, "the nodes' devices", max(1, gpus))
    return Room(round(gib * GIB), f"a GPU of {gib:g} GiB ({why})", max(1, gpus))


def gpu_gib(cluster: ClusterConfig) -> tuple[float | None, str]:
    """Memory of a GPU, and where that is known from: what was set, else what the GPU's name and
    `cluster.constraint` say, the smallest that there is where they leave it open.
    """
    if cluster.gpu_memory_gb is not None:
        return cluster.gpu_memory_gb, "cluster.gpu_memory_gb"
    word = named_gpu(cluster)
    if word is None:
        return None, ""
    stated = [int(number) for number in _STATED.findall(_words(cluster))]
    known = [gib for gib in GPU_GIB[word] if gib in stated]
    if known:
        return known[0], f"{word}, of a size that is named"
    return GPU_GIB[word][0], f"{word}{SMALLEST if len(GPU_GIB[word]) > 1 else ''}"


def doubt_of_gpu(cluster: ClusterConfig) -> str | None:
    """What to set where the memory of a GPU can't be told from its name."""
    gib, why = gpu_gib(cluster)
    word = named_gpu(cluster)
    if word is None or not why.endswith(SMALLEST):
        return None
    sizes = " and ".join(map(str, GPU_GIB[word]))
    return (
        f"memory of a GPU: there are {word} of {sizes} GB, and nothing says which; {gib} is "
        f"taken. cluster.gpu_memory_gb=... says it, or a constraint that names the size"
    )


def named_gpu(cluster: ClusterConfig) -> str | None:
    """The GPU that a cluster's settings name, one of GPU_GIB; None where they name none."""
    found = (word for word in GPU_GIB if word in _words(cluster))
    return next(found, None) if cluster.gpus else None


def _words(cluster: ClusterConfig) -> str:
    asked = (cluster.name, cluster.constraint, cluster.partition, cluster.gpus_per_node)
    return " ".join(map(str, (*asked, *cluster.extra.values()))).lower()


def earlier_seconds(root: Path) -> dict[tuple[str, int], list[float]]:
    """Mean seconds a sample of every complete run here, by model and needles."""
    found: dict[tuple[str, int], list[float]] = {}
    for file in sorted(root.glob(f"runs/*/{SUMMARY}")):
        summary = read_json(file) or {}
        try:
            records = load_records(file.parent / RECORDS)
        except UserError:
            continue
        seconds = mean(
            math.fsum(getattr(record, stage) or 0.0 for stage in STAGES) / 1000
            for record in records
            if record.score is not None
        )
        if seconds is not None and "model" in summary:
            key = (str(summary["model"]), int(summary["needles"]))
            found.setdefault(key, []).append(seconds)
    return found


def missing(sweep: Sweep, point: Point) -> int:
    """How many of its samples a run has yet to answer; all of them where its records are faulty."""
    folder, asked = sweep.run_folder(point), point.cfg.samples
    try:
        found = settle(chain(*map(load_records, sorted(folder.glob("records*.jsonl")))))
    except UserError:
        return asked
    return asked - sum(record.score is not None for record in first(found, asked).values())


def _time(
    sweep: Sweep, cfg: RunConfig, left: list[int], times: dict[tuple[str, int], list[float]]
) -> str:
    """left: answers that each of the runs has yet to give."""
    known = times.get((cfg.model.name, cfg.needles.count))
    if not known:
        return "time: unknown, no earlier run of this model and data is in output_dir"
    seconds = sum(known) / len(known)
    minutes = seconds * max(left) / 60 / sweep.cluster.tasks
    hours = seconds * sum(left) / 3600
    limit = "" if minutes <= sweep.cluster.minutes else ", more than the limit: it will be requeued"
    return (
        f"time: {seconds:.2f} s a sample in {len(known)} earlier runs (machines may differ), so "
        f"{minutes:.1f} min a run in {sweep.cluster.tasks} processes, {hours:.2f} process-hours in "
        f"all{limit}"
    )
