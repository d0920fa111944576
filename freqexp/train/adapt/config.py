"""Settings of `python -m freqexp.train adapt`: `conf/train/adapt.yaml` and `adapt.key=value`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from freqexp.benchmarks.short import NEAR
from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError, fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import Dtype, Family, Input, Text
from freqexp.schemas.learned import LearnedConfig
from freqexp.schemas.section import Section
from freqexp.train.adapt.lessons import FIT
from freqexp.train.config import read

PREFIX = "adapt."


class Trained(Enum):
    """What of the model is trained: every weight of the decoder but its word embeddings, a LoRA on
    its linear layers (arXiv 2106.09685), or nothing.
    """

    decoder = "decoder"
    lora = "lora"
    nothing = "nothing"


class Store(Enum):
    """How a decoder that was trained in full is written: its weights, or what they differ by from
    the ones it had, in 8 bits with a scale for each matrix, which takes a quarter of the bytes.
    """

    float32 = "float32"
    int8 = "int8"


@dataclass
class AdaptConfig(Section):
    """How a reader is adapted.

    out: folder of the checkpoint, the curve and what comes out.
    model: what of it is trained. compressor: whether its parameters are; None: where it has some.
    steps: of the optimiser (AdamW). learning_rate: peak of the model's; compressor_rate: of the
        compressor's. warm_up: steps to the peak. decay: last share of the steps, over which the
        rate falls to zero. clip: largest norm of the gradient. weight_decay: AdamW's.
    conversations: of each step, over all processes. per_pass: of them at once; the others wait,
        and gradients add up. questions: of each conversation.
    shapes: needles and turns of conversations, drawn evenly for each step; []: as `needles` says.
    random_text: share of the conversations with random letters for replies.
    uncompressed: share of the steps without the compressor, which keeps the reader's own score.
    answer, distil, states: weights of the losses: cross-entropy of the answers; divergence from the
        answers of the same reader, not adapted and uncompressed; squared distance to its hidden
        states, relative to their power.
    rank, alpha: of the LoRA; its product is scaled by alpha / rank.
    codes_from: first share of the steps, over which tokens are not quantised yet; codebooks begin
        then. freeze_codes: last share, over which they stay as they are.
    start_lessons: conversations that codebooks begin from (k-means).
    checkpoint_every, validate_every: in steps. held: conversations of each shape to watch on.
    recompute: layers are computed again for the gradient, which saves memory (checkpointing).
    store: how a decoder that was trained in full is written.
    split: of the generated sentences. seed: of the draws. threads: of torch, on a CPU.
    """

    out: str = "outputs/train/adapted"
    model: Trained = Trained.lora
    compressor: bool | None = None
    steps: int = 400
    learning_rate: float = 1e-3
    compressor_rate: float = 1e-3
    warm_up: int = 20
    decay: float = 0.5
    clip: float = 1.0
    weight_decay: float = 0.0
    conversations: int = 8
    per_pass: int = 8
    questions: int = 5
    shapes: list[list[int]] = field(default_factory=list)
    random_text: float = 0.0
    uncompressed: float = 0.2
    answer: float = 1.0
    distil: float = 1.0
    states: float = 1.0
    rank: int = 16
    alpha: int = 32
    codes_from: float = 0.5
    freeze_codes: float = 0.25
    start_lessons: int = 64
    checkpoint_every: int = 50
    validate_every: int = 50
    held: int = 8
    recompute: bool = False
    store: Store = Store.float32
    split: str = FIT
    seed: int = 0
    threads: int | None = None

    def check(self, prefix: str) -> list[str]:
        """Values out of range."""
        counts = (
            "steps",
            "conversations",
            "per_pass",
            "questions",
            "rank",
            "alpha",
            "start_lessons",
        )
        faults = ranges.integers(self, prefix, counts, 1, 10_000_000)
        faults += ranges.integers(
            self, prefix, ("checkpoint_every", "validate_every", "held"), 1, 10**9
        )
        faults += ranges.integers(self, prefix, ("warm_up", "seed"), 0, 2**62)
        faults += ranges.integers(self, prefix, ("threads",), 1, 1024)
        rates = ("learning_rate", "compressor_rate", "clip")
        faults += ranges.positive(self, prefix, rates)
        for name in ("decay", "random_text", "uncompressed", "codes_from", "freeze_codes"):
            if not 0 <= getattr(self, name) <= 1:
                faults.append(fault(f"{prefix}.{name}", getattr(self, name), "0 to 1"))
        for name in ("answer", "distil", "states", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                faults.append(fault(f"{prefix}.{name}", getattr(self, name), "0 or more"))
        if self.answer == self.distil == self.states == 0:
            allowed = f"above 0 where {prefix}.distil and {prefix}.states are 0"
            faults.append(fault(f"{prefix}.answer", self.answer, allowed))
        if self.per_pass >= 1 and self.conversations >= 1 and self.conversations % self.per_pass:
            allowed = f"a divisor of {prefix}.conversations ({self.conversations})"
            faults.append(fault(f"{prefix}.per_pass", self.per_pass, allowed))
        shares = (self.codes_from, self.freeze_codes)
        if all(0 <= share <= 1 for share in shares) and sum(shares) > 1:
            allowed = f"at most 1 - {prefix}.codes_from ({self.codes_from})"
            faults.append(fault(f"{prefix}.freeze_codes", self.freeze_codes, allowed))
        if self.split != FIT:
            allowed = f"{FIT}: scores come from other sentences, which no reader may have seen"
            faults.append(fault(f"{prefix}.split", self.split, allowed))
        return faults + self._check_shapes(prefix)

    def _check_shapes(self, prefix: str) -> list[str]:
        allowed = "pairs of needles (1 to 8) and turns (no fewer), such as [2,6]"
        for shape in self.shapes:
            if len(shape) != 2 or not 1 <= shape[0] <= 8 or not shape[0] <= shape[1] <= 1000:
                return [fault(f"{prefix}.shapes", shape, allowed)]
        return []


def load(path: Path, overrides: Sequence[str]) -> tuple[AdaptConfig, RunConfig]:
    """The settings in `path` with the overrides that begin with `adapt.`, and the run of the
    others: its model, its compressor, its pages, its form of conversations and its cluster.

    Raises ConfigError, all faults at once.
    """
    own = [each.removeprefix(PREFIX) for each in overrides if each.startswith(PREFIX)]
    config = read(AdaptConfig, path, own, PREFIX)
    faults = config.check(PREFIX[:-1])
    try:
        run = compose([each for each in overrides if not each.startswith(PREFIX)])
    except ConfigError as error:
        raise ConfigError([*faults, *error.faults]) from error
    faults += _run_faults(config, run)
    if faults:
        raise ConfigError(faults)
    return config, run


def _run_faults(config: AdaptConfig, run: RunConfig) -> list[str]:
    faults = []
    if run.model.family in (Family.ppocr, Family.api, Family.outside):
        allowed = "a family with a decoder, of this package"
        faults.append(fault("model.family", run.model.family.value, allowed))
    if config.model is Trained.decoder and run.model.dtype is not Dtype.float32:
        allowed = "float32 with adapt.model=decoder: steps are lost in the rounding of less"
        faults.append(fault("model.dtype", run.model.dtype.value, allowed))
    if run.model.adapter is not None:
        allowed = "null: what comes out would be for weights that are nowhere"
        faults.append(fault("model.adapter", run.model.adapter, allowed))
    if run.needles.source is not None:
        allowed = "null: only generated conversations of the train split are taught"
        faults.append(fault("needles.source", run.needles.source, allowed))
    if run.needles.path is not None:
        allowed = "null: only generated conversations of the train split are taught"
        faults.append(fault("needles.path", run.needles.path, allowed))
    for name, value, usual in (
        ("text", run.needles.text.name, Text.english.name),
        ("near", run.needles.near, NEAR),
    ):
        if value != usual:
            allowed = f"{usual}: not of what is taught (random letters: adapt.random_text)"
            faults.append(fault(f"needles.{name}", value, allowed))
    base = None if run.model.path is None else Path(run.model.path).expanduser()
    out = Path(config.out).expanduser()
    if base is not None and base.is_dir() and out.resolve().is_relative_to(base.resolve()):
        faults.append(fault("adapt.out", config.out, f"outside {base}, whose hash would change"))
    parts = [part.config for part in run.compressor.parts(run.keep_ratio)]
    for part in parts:
        if part.stage not in ("codec", "token"):
            allowed = "none, a method on vision tokens, or one on pages"
            faults.append(fault("compressor", f"{part.name} (stage {part.stage})", allowed))
        if part.before_encoder:
            faults.append(fault("compressor.where", "encoder", "decoder while it is trained with"))
    learned = any(isinstance(part, LearnedConfig) for part in parts)
    if config.compressor and not learned:
        allowed = f"null or false for {run.compressor.title}, which has no parameters"
        faults.append(fault("adapt.compressor", True, allowed))
    if config.model is Trained.nothing and not (learned and config.compressor is not False):
        allowed = "decoder or lora where no compressor is trained"
        faults.append(fault("adapt.model", config.model.value, allowed))
    if config.store is not Store.float32 and config.model is not Trained.decoder:
        allowed = "float32, or adapt.model=decoder"
        faults.append(fault("adapt.store", config.store.value, allowed))
    tasks = run.cluster.tasks
    if config.per_pass >= 1 and config.conversations // config.per_pass % tasks:
        allowed = f"one that makes adapt.conversations / adapt.per_pass a multiple of {tasks}"
        faults.append(fault("adapt.per_pass", config.per_pass, f"{allowed} processes"))
    if config.model is Trained.nothing and config.uncompressed > 0:
        allowed = "0 with adapt.model=nothing: nothing else learns without the compressor"
        faults.append(fault("adapt.uncompressed", config.uncompressed, allowed))
    if run.model.input is Input.text and config.states > 0:
        allowed = "0 with model.input=text: its tokens stand at no places of pages"
        faults.append(fault("adapt.states", config.states, allowed))
    elif run.model.family is Family.glm4v_remote and config.states > 0:
        allowed = "0 for glm4v_remote, whose layers are code that comes with its weights"
        faults.append(fault("adapt.states", config.states, allowed))
    return faults
