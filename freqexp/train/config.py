"""Settings of the tiny reader's training: `conf/train/*.yaml` and `key=value` arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from freqexp.errors import UserError

Settings = TypeVar("Settings")


@dataclass
class Lesson:
    """Conversations to draw until step `until` of the decoder stage: pairs of [needles, turns],
    equally often.
    """

    until: int
    shapes: list[list[int]]
    find: float = 0.0


@dataclass
class VisionStage:
    """Stage one: characters into vision tokens. noise: largest standard deviation added to pixels
    (0 to 255).
    """

    steps: int = 400
    batch: int = 8
    learning_rate: float = 2e-3
    noise: float = 25.0


@dataclass
class DecoderStage:
    """Stage two: retrieval on ideal vision tokens.

    positions: about how many sequence positions a batch has. questions: asked of each conversation.
    noise: largest standard deviation added to ideal vision tokens. guide: weight of the attention
    guides.
    """

    steps: int = 1000
    learning_rate: float = 2e-3
    positions: int = 5500
    questions: int = 5
    noise: float = 0.3
    guide: float = 0.5
    lessons: list[Lesson] = field(default_factory=list)


@dataclass
class JointStage:
    """Stage three: real pages through both halves, no guides."""

    steps: int = 100
    learning_rate: float = 3e-4
    positions: int = 4000
    noise: float = 10.0


@dataclass
class TrainConfig:
    """out: folder of checkpoints and of the exported reader. threads: of torch. checkpoint_every:
    in steps.
    """

    out: str = "outputs/train/tiny"
    seed: int = 0
    threads: int = 1
    checkpoint_every: int = 50
    vision: VisionStage = field(default_factory=VisionStage)
    decoder: DecoderStage = field(default_factory=DecoderStage)
    joint: JointStage = field(default_factory=JointStage)


def load(path: Path, overrides: Sequence[str]) -> TrainConfig:
    """The reader's training in `path` with overrides. Raises UserError for anything unknown."""
    return read(TrainConfig, path, overrides)


def read(
    schema: type[Settings], path: Path, overrides: Sequence[str], prefix: str = ""
) -> Settings:
    """The settings in `path` with dotted `key=value` overrides, of the types of `schema`.

    prefix: what stands before their names in errors.
    Raises UserError for anything unknown or of another type, which names it.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(schema),
            OmegaConf.load(path),
            OmegaConf.from_dotlist(list(overrides)),
        )
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        named = f"{prefix}{key}: " if key else ""
        raise UserError(f"training: {named}{str(error).splitlines()[0]}") from error
    assert isinstance(config, schema)
    return config
