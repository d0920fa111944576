"""The reader that learns, the one it learns from, and the compressor between pages and decoder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from freqexp.errors import UserError, fault
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import VisionTokens
from freqexp.readers.adapters import layer_parameters
from freqexp.readers.adapting import disabled, lora
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import SHOWS_LAYERS
from freqexp.tokens.learned import LearnedCompressor
from freqexp.train.adapt.config import AdaptConfig, Trained
from freqexp.train.adapt.lessons import Lesson
from freqexp.train.adapt.peers import Peers
from freqexp.train.adapt.reading import Read, Reading
from freqexp.train.adapt.said import settings

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig


class Student:
    """A loaded reader with what is trained of it, and the compressor of a run.

    weights: of the model, those that are trained, by name. network: the compressor's, or None.
    said: the settings of the training, as its checkpoints say them.
    Raises UserError for weights that can't be had, and where the reader can't be taught.
    """

    def __init__(self, config: AdaptConfig, run: RunConfig) -> None:
        self.config, self.run = config, run
        self.said = settings(config, run)
        self.reader = cast(Any, load_reader(run.model))
        if not self.reader.teaches:
            raise UserError(fault("model.family", run.model.family.value, "one that can be taught"))
        self.reader.model.requires_grad_(False)
        self.reading = Reading(run, self.reader)
        self._full_copy: Any = None
        self.weights: dict[str, nn.Parameter] = {}
        if config.model is Trained.decoder:
            self._full_copy = _frozen_copy(self.reader)
            self.weights = layer_parameters(self.reader.model)
        elif config.model is Trained.lora:
            # Where it starts from is drawn from torch's own generator.
            torch.manual_seed(config.seed)
            lora(self.reader.model, config.rank, config.alpha)
            named = self.reader.model.named_parameters()
            self.weights = {name: weight for name, weight in named if weight.requires_grad}
            # Steps of the optimiser are lost in the rounding of half precision.
            for weight in self.weights.values():
                weight.data = weight.data.float()
        for weight in self.weights.values():
            weight.requires_grad_(True)
        if config.recompute:
            self.reader.model.activation_checkpointing_enable()
            self.reader.model.train()
        channels = int(self.reader.model.config.get_text_config().hidden_size)
        self.network = None if self.learned is None else self.learned.network(channels)
        if self.network is not None:
            self.network.requires_grad_(self.starts)
            self.network.to(self.reader.device)

    @property
    def learned(self) -> LearnedCompressor | None:
        """The compressor, if it has parameters."""
        return self.reading.learned

    @property
    def base(self) -> Any:
        """The model as it was before; None where it is this one without its LoRA."""
        return None if self._full_copy is None else self._full_copy.model

    @property
    def compresses(self) -> bool:
        """Whether anything acts between pages and decoder."""
        return self.reading.acts

    def groups(self) -> list[dict[str, Any]]:
        """What the optimiser is to change, with the peak rate of each group."""
        own = [each for each in self._network_parameters() if each.requires_grad]
        groups = [
            {"params": list(self.weights.values()), "lr": self.config.learning_rate},
            {"params": own, "lr": self.config.compressor_rate},
        ]
        return [group for group in groups if group["params"]]

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Copies of all that training changes: weights of the model, the compressor's state."""
        network = {} if self.network is None else self.network.state_dict()
        grid = None if self.learned is None else self.learned.grid
        parts = {
            "model": dict(self.weights),
            "compressor": network,
            "grid": {} if grid is None else {"grid": torch.tensor(grid)},
        }
        return {
            part: {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
            for part, tensors in parts.items()
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Inverse of `state`."""
        for name, weight in self.weights.items():
            weight.copy_(state["model"][name])
        if self.learned is not None:
            grid = state.get("grid", {}).get("grid")
            size = None if grid is None else (int(grid[0]), int(grid[1]))
            self.learned.restore(state["compressor"], size)

    def read(self, lessons: Sequence[Lesson], compressed: bool = True, full: bool = True) -> Read:
        """See `Reading.read`."""
        return self.reading.read(lessons, compressed, full)

    @property
    def learns_from_pages(self) -> bool:
        """Whether a step without whole pages has nobody to learn from."""
        return bool(self.config.distil or self.config.states)

    def teach(self, exercises: Sequence[Exercise], states: bool) -> Taught:
        """A pass of the reader that learns."""
        found: Taught = self.reader.teach(exercises, states)
        return found

    @torch.no_grad()
    def teacher(self, exercises: Sequence[Exercise], states: bool) -> Taught:
        """A pass of the reader as it was before."""
        found: Taught
        if self._full_copy is not None:
            found = self._full_copy.teach(exercises, states)
        else:
            with disabled(self.reader.model):
                found = self.reader.teach(exercises, states)
        return found

    @contextmanager
    def resting(self) -> Iterator[None]:
        """The compressor as it acts in a run, without gradients: codebooks keep still."""
        network = self.network
        training = network is not None and network.training
        # Without codebooks of its own a quantiser would make some for each page.
        if network is not None and bool(getattr(network, "begun", True)):
            network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            if network is not None:
                network.train(training)

    @property
    def starts(self) -> bool:
        """Whether the compressor is trained, and so begins from real tokens."""
        return self.learned is not None and self.config.compressor is not False

    def settle(self, lessons: Sequence[Lesson]) -> None:
        """See `LearnedCompressor.settle`."""
        if self.learned is None or not self.starts:
            return
        with torch.no_grad():
            read = self.read(lessons, compressed=False)
            found = self.teacher(read.full, states=True) if self.shows_states else None
            pages = [page for exercise in read.full for page in exercise.vision]
            if found is not None:
                tokens = [VisionTokens(page.features, page.grid) for page in pages]
                features = torch.cat([page.features for page in pages])
                levels = [features, *(level[found.vision] for level in found.states)]
                self.learned.settle(tokens, torch.stack([_spread(each) for each in levels]).sum(0))

    @property
    def shows_states(self) -> bool:
        """Whether hidden states of the decoder can be had."""
        return self.run.model.family in SHOWS_LAYERS

    def begin_codes(self, lessons: Sequence[Lesson]) -> None:
        """See `LearnedCompressor.start`."""
        if self.learned is not None and self.starts:
            with torch.no_grad():
                self.learned.start(self._pages_of(lessons))

    def freeze_codes(self, lessons: Sequence[Lesson]) -> None:
        """See `LearnedCompressor.freeze`."""
        if self.learned is not None and self.starts:
            with torch.no_grad():
                self.learned.freeze(self._pages_of(lessons))

    def _pages_of(self, lessons: Sequence[Lesson]) -> list[VisionTokens]:
        return [page for lesson in lessons for page in self.reading.encode(lesson, coded=True)]

    def after_step(self, peers: Peers) -> Mapping[str, float]:
        """Bring the processes' running statistics together, and let the compressor keep house."""
        if self.learned is None or self.network is None or not self.starts:
            return {}
        peers.add(self.learned.pending())
        figures = self.learned.after_step()
        peers.follow(self.network.buffers())
        return figures

    def _network_parameters(self) -> list[nn.Parameter]:
        return [] if self.network is None else list(self.network.parameters())


def _spread(states: Tensor) -> Tensor:
    """Covariance float64 [channels, channels] of states [n, channels]."""
    return torch.cov(states.double().T)


def _frozen_copy(reader: Any) -> Any:
    """The same reader with weights of its own, which nothing changes."""
    other = copy.copy(reader)
    other.model = copy.deepcopy(reader.model).requires_grad_(False).eval()
    return other
