"""Which runs are to be done for the points of a command, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.answering.session import Session
from freqexp.running.execute import baseline_of

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.schemas.model import ModelConfig


@dataclass(frozen=True)
class Point:
    """One run to do. overrides: what the command set for it. added: a baseline nobody asked for."""

    cfg: RunConfig
    run_id: str
    overrides: tuple[str, ...] = ()
    added: bool = False


def plan(
    points: Sequence[RunConfig], session: Session, overrides: Sequence[Sequence[str]] | None = None
) -> list[Point]:
    """The runs that `points` need, each once, in the order in which they share most.

    Runs of one model and data set come together, so that a model is loaded once; within them the
    baselines come first (so that every delta is there when its run ends), the rest as given. Points
    that differ only in what their compressor does not use are one run.
    """
    groups: dict[str, tuple[dict[str, Point], dict[str, Point]]] = {}
    for index, cfg in enumerate(points):
        key = repr((_loaded(cfg), cfg.needles, cfg.samples, cfg.seed))
        baselines, others = groups.setdefault(key, ({}, {}))
        own = tuple(overrides[index]) if overrides is not None else ()
        point = Point(cfg, session.run_id(cfg), own)
        other = baseline_of(cfg)
        if other is None:
            earlier = baselines.get(point.run_id)
            if earlier is None or earlier.added:
                baselines[point.run_id] = point
            continue
        others.setdefault(point.run_id, point)
        if cfg.baseline:
            run_id = session.run_id(other)
            baselines.setdefault(run_id, Point(other, run_id, added=True))
    models: dict[str, list[Point]] = {}
    for baselines, others in groups.values():
        for point in (*baselines.values(), *others.values()):
            models.setdefault(repr(_loaded(point.cfg)), []).append(point)
    return [point for same_model in models.values() for point in same_model]


def _loaded(cfg: RunConfig) -> ModelConfig:
    """The model of a run as its baseline has it: what it is given needs no other weights."""
    return (baseline_of(cfg) or cfg).model
