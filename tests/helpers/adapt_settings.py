"""Trainings of `freqexp.train adapt` that take seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from freqexp.config.run import RunConfig
from freqexp.paths import conf_dir
from freqexp.train.adapt.command import settings
from freqexp.train.adapt.config import AdaptConfig, load
from freqexp.train.adapt.curve import Curve
from freqexp.train.adapt.loop import CHECKPOINT, Loop
from freqexp.train.adapt.peers import Peers
from freqexp.train.adapt.student import Student
from freqexp.train.checkpoint import load as load_checkpoint

YAML = conf_dir() / "train" / "adapt.yaml"
TINY = (
    "tracking='off'",
    "model.device=cpu",
    "adapt.shapes=[[1,2]]",
    "adapt.steps=4",
    "adapt.warm_up=0",
    "adapt.conversations=1",
    "adapt.per_pass=1",
    "adapt.questions=1",
    "adapt.held=1",
    "adapt.rank=2",
    "adapt.start_pages=1",
    "adapt.validate_every=100",
    "adapt.checkpoint_every=100",
    "adapt.threads=1",
)


def tiny(*overrides: str) -> tuple[AdaptConfig, RunConfig]:
    """Settings with a conversation of two turns and one question a step, for the bundled reader."""
    return load(YAML, [*TINY, *overrides])


def start(folder: Path, *overrides: str, model: Any = None) -> tuple[Loop, Student, Curve]:
    """A loop at its beginning, or at its checkpoint. model: in place of the composed one."""
    config, run = tiny(f"adapt.out={folder}", *overrides)
    if model is not None:
        run.model = model
    folder.mkdir(parents=True, exist_ok=True)
    student = Student(config, run)
    student.said = settings(config, run)
    curve = Curve(folder)
    loop = Loop(student, folder, Peers(cpu=True), curve)
    loop.resume()
    return loop, student, curve


def leave_after(loop: Loop, step: int) -> Callable[[str], None]:
    """What the loop says goes nowhere; it is told to leave in step `step`."""
    advance = loop._advance

    def counted() -> Any:
        loop.leaving = loop.step + 1 >= step
        return advance()

    loop._advance = counted  # type: ignore[method-assign]
    return lambda line: None


def trained(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder's checkpoint, the optimiser's among them, by name."""
    found = load_checkpoint(folder / CHECKPOINT)
    tensors = {
        f"{part}.{name}": tensor
        for part, parts in found["trained"].items()
        for name, tensor in parts.items()
    }
    for number, state in found["optimizer"]["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    return tensors


def timeless(folder: Path) -> list[dict[str, float]]:
    """Rows of a folder's curve without the times in it."""
    lines = (folder / "curve.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name != "step_seconds"}
        for line in lines
    ]
