"""The three stages: vision, decoder, joint. Each draws from its own seeded generator and can be cut
off anywhere.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from freqexp.pages.cells import CellsRenderer
from freqexp.train.config import Lesson, TrainConfig
from freqexp.train.data import ExampleMaker
from freqexp.train.decoder import Batch, collate, embed, losses
from freqexp.train.tokenizer import CharacterCode
from freqexp.train.vision import PageMaker, patches, vision_losses

WARM_UP_STEPS = 40
DECAY_SHARE = 0.35
QUESTION_POSITIONS = 45
PAGE_POSITIONS = 146


def rate(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up, constant, then a cosine to a fiftieth over the last part."""
    left = (steps - step) / (steps * DECAY_SHARE)
    decay = 1.0 if left >= 1 else 0.02 + 0.98 * 0.5 * (1 - math.cos(math.pi * left))
    return peak * min(1.0, (step + 1) / WARM_UP_STEPS) * decay


class Stage(ABC):
    """One stage: its parameters, optimizer and random state. Everything needed to go on is in
    `state`.
    """

    name: str

    def __init__(self, config: TrainConfig, steps: int, peak: float, parameters: Iterable[Tensor]):
        self.config = config
        self.steps = steps
        self.peak = peak
        self.parameters = list(parameters)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=peak, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.rng = random.Random(f"{config.seed}:{self.name}")
        self.step = 0

    @abstractmethod
    def loss(self) -> tuple[Tensor, str]:
        """Loss of a fresh batch, and a line that says how it goes."""

    def advance(self) -> str:
        """One optimizer step."""
        torch.manual_seed(self.rng.randrange(2**31))
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, self.steps, self.peak)
        loss, line = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        return line

    def state(self) -> dict[str, object]:
        """What a checkpoint holds of this stage beside the model: numbers and tensors alone.

        rng: version, 625 integers and the next Gaussian of Python's generator. Torch's is seeded
        from it at every step.
        """
        version, words, gauss = self.rng.getstate()
        return {
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
            "rng": [version, list(words), gauss],
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from a checkpoint's `state`."""
        self.step = state["step"]  # type: ignore[assignment]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        rng: Any = state["rng"]
        version, words, gauss = rng
        self.rng.setstate((version, tuple(words), gauss))


class VisionTraining(Stage):
    """Stage one: the vision encoder learns the character code."""

    name = "vision"

    def __init__(
        self, config: TrainConfig, model: Any, code: CharacterCode, renderer: CellsRenderer
    ) -> None:
        self.visual = model.model.visual
        stage = config.vision
        super().__init__(config, stage.steps, stage.learning_rate, self.visual.parameters())
        self.code = code
        self.maker = PageMaker(renderer)

    def loss(self) -> tuple[Tensor, str]:
        """Distance to the code and cross-entropy of the characters."""
        stage = self.config.vision
        pages, symbols = self.maker.batch(self.rng, stage.batch)
        noise = torch.rand(stage.batch, 1, 1) * stage.noise * torch.randn(pages.shape)
        distance, cross, right = vision_losses(self.visual, self.code, pages + noise, symbols)
        line = f"distance {distance:.4f} characters {right:.4f}"
        return distance + cross, line


class DecoderTraining(Stage):
    """Stage two: the decoder learns to retrieve from ideal vision tokens."""

    name = "decoder"

    def __init__(
        self, config: TrainConfig, model: Any, code: CharacterCode, renderer: CellsRenderer
    ) -> None:
        self.model = model
        self.decoder = model.model.language_model
        self.probes = model.probes
        self.code = code
        self.maker = ExampleMaker(renderer)
        stage = config.decoder
        self.table = self.decoder.embed_tokens.weight.detach()
        own = [p for n, p in self.decoder.named_parameters() if "embed_tokens" not in n]
        super().__init__(
            config, stage.steps, stage.learning_rate, [*own, *self.probes.parameters()]
        )

    def lesson(self, step: int) -> Lesson:
        """What is taught at a step."""
        return next(lesson for lesson in self.config.decoder.lessons if step < lesson.until)

    def draw(self, positions: int, guided: bool, step: int) -> Batch:
        """A batch of about `positions` sequence positions, all of one shape of conversation."""
        stage = self.config.decoder
        needles, turns = self.rng.choice(self.lesson(step).shapes)
        length = PAGE_POSITIONS * math.ceil(turns / 4) + QUESTION_POSITIONS * stage.questions
        size = max(2, positions // length)
        examples = [self.maker.make(self.rng, needles, turns, stage.questions) for _ in range(size)]
        return collate(examples, self.rng, guided)

    def loss(self) -> tuple[Tensor, str]:
        """Answers, attention guides and ordinals on ideal vision tokens."""
        stage = self.config.decoder
        batch = self.draw(stage.positions, True, self.step)
        inputs = embed(self.code, self.table, batch, stage.noise)
        result = losses(self.model, self.probes, inputs, batch)
        weight = {"count": 2.0, "find": self.lesson(self.step).find}
        guides = torch.stack([weight.get(k, 1.0) * v for k, v in result.guides.items()]).sum()
        total = result.answer + stage.guide * guides + result.ordinal + 0.5 * result.request
        shown = " ".join(f"{name} {value:.2f}" for name, value in result.guides.items())
        line = (
            f"answer {result.answer:.4f} right {result.right:.4f} first {result.right_first:.3f} "
        )
        return (
            total,
            line + f"ordinal {result.right_ordinal:.3f} request {result.request:.3f} | {shown}",
        )


class JointTraining(DecoderTraining):
    """Stage three: real pages through the vision encoder and the decoder."""

    name = "joint"

    def __init__(
        self, config: TrainConfig, model: Any, code: CharacterCode, renderer: CellsRenderer
    ) -> None:
        super().__init__(config, model, code, renderer)
        stage = config.joint
        both = [*self.parameters, *model.model.visual.parameters()]
        Stage.__init__(self, config, stage.steps, stage.learning_rate, both)
        self.visual = model.model.visual
        self.pages = PageMaker(renderer)

    def loss(self) -> tuple[Tensor, str]:
        """Answers on features of drawn pages; guides and ordinals with small weight."""
        stage = self.config.joint
        batch = self.draw(stage.positions, True, self.config.decoder.steps)
        symbols = torch.cat(batch.symbols)
        pages = self.pages.draw(symbols)
        noise = torch.rand(len(pages), 1, 1) * stage.noise * torch.randn(pages.shape)
        _, rows, columns, _ = symbols.shape
        grid = torch.tensor([[1, 2 * rows, 2 * columns]] * len(pages))
        features = self.visual(patches(pages + noise), grid_thw=grid).pooler_output
        inputs = self.table[batch.ids].clone()
        example = torch.cat([torch.full_like(at, i) for i, at in enumerate(batch.image_at)])
        inputs[example, torch.cat(batch.image_at)] = features
        result = losses(self.model, self.probes, inputs, batch)
        guides = torch.stack(list(result.guides.values())).sum()
        total = result.answer + 0.1 * guides + 0.3 * result.ordinal
        line = f"answer {result.answer:.4f} right {result.right:.4f} first {result.right_first:.3f}"
        return total, line + f" ordinal {result.right_ordinal:.3f}"


STAGES: tuple[type[VisionTraining | DecoderTraining], ...] = (
    VisionTraining,
    DecoderTraining,
    JointTraining,
)
