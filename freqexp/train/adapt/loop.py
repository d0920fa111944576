"""Step after step, from the last checkpoint on."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from freqexp.errors import UserError
from freqexp.train.adapt.curve import Curve
from freqexp.train.adapt.lessons import FIT, Lesson, draw
from freqexp.train.adapt.losses import pass_loss
from freqexp.train.adapt.peers import Peers
from freqexp.train.adapt.shapes import shapes_of
from freqexp.train.adapt.student import Student
from freqexp.train.adapt.validation import Validation
from freqexp.train.checkpoint import load, save

CHECKPOINT, BEST = "checkpoint.pt", "best.pt"
SAID_EVERY = 10
SETTLED = 16
"""Conversations that a learned compressor settles on before the first step."""
Say = Callable[[str], None]


class Loop:
    """Trains a student. What is drawn at a step follows from its number, and all else is in the
    checkpoint.

    leaving: set it, as a signal handler does, to stop after the step in work.
    """

    def __init__(self, student: Student, folder: Path, peers: Peers, curve: Curve) -> None:
        self.step, self.leaving, self._begun = 0, False, False
        self._seen: dict[str, list[float]] = {}
        self._student, self._config = student, student.config
        self._folder, self._peers, self._curve = folder, peers, curve
        self._shapes = shapes_of(student.config, student.run)
        self._validation = Validation(student, self._shapes)
        self._best = math.inf
        self._groups = student.groups()
        self._optimizer = torch.optim.AdamW(
            self._groups, betas=(0.9, 0.95), weight_decay=self._config.weight_decay
        )
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        passes = self._config.conversations // self._config.per_pass
        if passes % peers.world:
            raise UserError(
                f"adapt.per_pass: {passes} passes a step can't be shared by {peers.world} "
                "processes evenly; allowed: conversations / per_pass a multiple of them"
            )

    def run(self, say: Say) -> bool:
        """To the last step, or until told to leave; whether it came to the end.

        Raises UserError when the loss is no number, and when nothing can be written.
        """
        config, started, first = self._config, time.monotonic(), self.step
        if not self._begun:
            self._begin(say)
        while self.step < config.steps and not self._peers.any(self.leaving):
            for name, value in self.advance().items():
                self._seen.setdefault(name, []).append(value)
            if self.step % SAID_EVERY == 0 or self.step == config.steps:
                means = {name: sum(each) / len(each) for name, each in self._seen.items()}
                seconds = (time.monotonic() - started) / (self.step - first)
                say(f"{self.step}/{config.steps} {seconds:.2f} s/step {_shown(means)}")
                self._curve.add(self.step, {**means, "step_seconds": seconds})
                self._seen.clear()
            if self.step % config.validate_every == 0 or self.step == config.steps:
                self._validate(say)
            if self.step % config.checkpoint_every == 0:
                self.save()
        self.save()
        return self.step == config.steps

    def save(self) -> None:
        """Write the checkpoint. Raises UserError when there is no room, the old one kept."""
        if self._peers.rank == 0:
            state = {
                "stage": 0,
                "settings": self._student.said,
                "step": self.step,
                "best": self._best,
                "seen": self._seen,
                "trained": self._student.state(),
                "optimizer": self._optimizer.state_dict(),
                "torch": torch.get_rng_state(),
            }
            save(self._folder / CHECKPOINT, state)
        self._peers.wait()

    def resume(self) -> bool:
        """Take up the checkpoint, if there is one; whether there was.

        Raises UserError for one of another configuration, naming what differs, and for a damaged
        one.
        """
        path = self._folder / CHECKPOINT
        found = load(path)
        if "settings" not in found:
            if path.exists():
                raise UserError(f"{path}: not a checkpoint of `adapt`; choose another adapt.out")
            return False
        refuse_other(path, found["settings"], self._student.said)
        self.step, self._best = int(found["step"]), float(found["best"])
        self._begun, self._seen = True, dict(found["seen"])
        self._student.restore(found["trained"])
        self._optimizer.load_state_dict(found["optimizer"])
        torch.set_rng_state(found["torch"])
        self._curve.resume(self.step)
        return True

    def take_best(self) -> int:
        """Put the best checkpoint into the student; its step. Raises UserError when it is gone."""
        found: dict[str, Any] = load(self._folder / BEST)
        if "trained" not in found:
            raise UserError(f"{self._folder / BEST}: gone, so there is nothing to write")
        self._student.restore(found["trained"])
        return int(found["step"])

    def _begin(self, say: Say) -> None:
        """What begins from real tokens, and where it starts from."""
        self._student.settle(self._drawn(SETTLED))
        self._validate(say)
        self._begun = True

    def _drawn(self, count: int) -> list[Lesson]:
        """The same conversations whenever they are asked for."""
        drawn = []
        for number in range(count):
            shape = self._shapes[number % len(self._shapes)]
            drawn += draw(shape, 1, 1, f"start:{self._config.seed}:{number}", FIT)
        return drawn

    @property
    def _codes(self) -> tuple[int, int]:
        """Before which steps codebooks begin and stay as they are; -1 without any."""
        config, student = self._config, self._student
        if student.learned is None or not student.learned.quantises or not student.starts:
            return -1, -1
        first, last = config.codes_from, 1 - config.freeze_codes
        end = min(math.floor(last * config.steps), config.steps - 1)
        return math.floor(first * config.steps), end

    def _keep_codes(self) -> None:
        """Begin codebooks, and leave them as they are, when their time has come."""
        begin, freeze = self._codes
        if self.step == begin:
            self._student.begin_codes(self._drawn(self._config.start_lessons))
        if self.step == freeze:
            self._student.freeze_codes(self._drawn(self._config.start_lessons))

    def advance(self) -> Mapping[str, float]:
        """One step; its losses and the size of its gradient. Raises UserError, see `run`."""
        config, student = self._config, self._student
        rng = random.Random(f"adapt:{config.seed}:{self.step}")
        shape = rng.choice(self._shapes)
        compressed = student.compresses and rng.random() >= config.uncompressed
        seed = f"{config.seed}:{self.step}"
        lessons = draw(shape, config.conversations, config.questions, seed, FIT, config.random_text)
        self._keep_codes()
        terms = self._gradients(_cut(lessons, config.per_pass), compressed)
        trained = [each for group in self._groups for each in group["params"]]
        gradients = [each.grad for each in trained if each.grad is not None]
        self._peers.average(gradients)
        terms["gradient"] = float(torch.nn.utils.clip_grad_norm_(trained, config.clip))
        self._check(terms)
        rate = schedule(self.step, config.steps, config.warm_up, config.decay)
        for group, peak in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = peak * rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        terms.update(student.after_step(self._peers))
        self.step += 1
        return terms

    def _gradients(self, passes: Sequence[Sequence[Lesson]], compressed: bool) -> dict[str, float]:
        """Add up the gradients of this process's passes; the means of their terms."""
        own = passes[self._peers.rank :: self._peers.world]
        found: dict[str, list[float]] = defaultdict(list)
        for lessons in own:
            full = not compressed or self._student.learns_from_pages
            read = self._student.read(lessons, compressed, full)
            loss = pass_loss(self._student, read, compressed)
            (loss.total / len(own)).backward()
            for name, value in loss.terms.items():
                found[name].append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}

    def _check(self, terms: Mapping[str, float]) -> None:
        """Raises UserError in every process when a figure of one is no number."""
        wrong = [name for name, value in terms.items() if not math.isfinite(value)]
        if self._peers.any(bool(wrong)):
            named = ", ".join(f"{name} {terms[name]}" for name in wrong) or "in another process"
            raise UserError(
                f"step {self.step + 1}: the loss is no number ({named}); stopped before it changed "
                "a weight. The last checkpoint is kept; a smaller adapt.learning_rate, or a wider "
                "model.dtype, may help"
            )

    def _validate(self, say: Say) -> None:
        figures = self._validation.figures()
        value = self._validation.value(figures)
        if not math.isfinite(value):
            raise UserError(
                f"step {self.step}: the loss on held-out conversations is no number "
                f"({_shown(figures)}). The last checkpoint is kept; a smaller adapt.learning_rate, "
                "or a wider model.dtype, may help"
            )
        say(f"{self.step}/{self._config.steps} held out: {_shown(figures)}")
        self._curve.add(self.step, figures)
        # Nothing to keep: what has changed nothing yet, and what codebooks let through that move.
        if value < self._best and self.step >= max(1, self._codes[1]):
            self._best = value
            if self._peers.rank == 0:
                found = {"stage": 0, "step": self.step, "trained": self._student.state()}
                save(self._folder / BEST, found)
        self._peers.wait()


def schedule(step: int, steps: int, warm_up: int, decay: float) -> float:
    """Share of the peak rate at a step: a linear rise over `warm_up` steps, then the peak, and over
    the last share `decay` of the steps a linear fall to nearly nothing.
    """
    rise = (step + 1) / (warm_up + 1)
    fall = (steps - step) / max(1.0, decay * steps)
    return min(1.0, rise, fall)


def refuse_other(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises UserError unless the settings of a checkpoint are those wanted."""
    names = [name for name in wanted if found.get(name) != wanted[name]]
    if names:
        listed = "; ".join(f"{name} was {found.get(name)!r}, is {wanted[name]!r}" for name in names)
        raise UserError(
            f"{path}: a checkpoint of another configuration ({listed}); choose another adapt.out, "
            "or move it away"
        )


def _cut(lessons: Sequence[Lesson], size: int) -> list[Sequence[Lesson]]:
    return [lessons[at : at + size] for at in range(0, len(lessons), size)]


def _shown(figures: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in figures.items())
