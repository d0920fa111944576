"""Trainings of `freqexp.train adapt` that take seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from freqexp.config.run import RunConfig
from freqexp.paths import conf_dir
from freqexp.schemas.method import CompressorConfig
from freqexp.train import checkpoint
from freqexp.train.adapt.config import AdaptConfig, load
from freqexp.train.adapt.curve import Curve
from freqexp.train.adapt.loop import CHECKPOINT, Loop
from freqexp.train.adapt.peers import Peers
from freqexp.train.adapt.student import Student

YAML = conf_dir() / "train" / "adapt.yaml"
TINY = (
    "tracking='off'",
    "model.device=cpu",
    "model.render.rows=4",
    "adapt.shapes=[[1,1]]",
    "adapt.steps=4",
    "adapt.warm_up=0",
    "adapt.conversations=1",
    "adapt.per_pass=1",
    "adapt.questions=1",
    "adapt.held=1",
    "adapt.rank=2",
    "adapt.start_lessons=1",
    "adapt.validate_every=100",
    "adapt.checkpoint_every=100",
    "adapt.threads=1",
)


def tiny(*overrides: str) -> tuple[AdaptConfig, RunConfig]:
    """Settings with a conversation of one turn and one question a step, for the bundled reader."""
    return load(YAML, [*TINY, *overrides])


def student_of(*overrides: str, compressor: CompressorConfig | None = None) -> Student:
    """A student at its beginning. compressor: in place of the composed one."""
    config, run = tiny(*overrides)
    if compressor is not None:
        run = replace(run, compressor=compressor)
    return Student(config, run)


def loop_of(student: Student, folder: Path) -> tuple[Loop, Curve]:
    """A loop from its checkpoint on, if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    curve = Curve(folder)
    loop = Loop(student, folder, Peers(cpu=True), curve)
    loop.resume()
    return loop, curve


def run_to(loop: Loop, step: int) -> bool:
    """Train, and leave in that step; whether the end was reached."""
    advance = loop.advance

    def counted() -> Mapping[str, float]:
        loop.leaving = loop.step + 1 >= step
        return advance()

    loop.advance = counted  # type: ignore[method-assign]
    loop.leaving = step == 0
    try:
        return loop.run(lambda line: None)
    finally:
        loop.advance = advance  # type: ignore[method-assign]
        loop.leaving = False


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder's checkpoint, the optimiser's among them, by name."""
    found = checkpoint.load(folder / CHECKPOINT)
    tensors: dict[str, torch.Tensor] = {}
    for part, named in found["trained"].items():
        tensors |= {f"{part}.{name}": tensor for name, tensor in named.items()}
    for number, state in found["optimizer"]["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    return tensors


def same_tensors(folder: Path, other: Path) -> bool:
    """Whether two folders' checkpoints hold the same tensors, bit for bit."""
    one, two = tensors_of(folder), tensors_of(other)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def timeless(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Rows of a folder's curve without the times in it."""
    lines = (folder / "curve.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name != "step_seconds"}
        for line in lines
    ]
