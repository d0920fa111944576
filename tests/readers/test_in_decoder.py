"""Dropping vision tokens inside the decoder equals hiding them there, in every family.

The checkpoints are small and random, of the real classes; the bundled reader has partial rotation
and more layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import llava_checkpoint
import pytest
import torch
from reader_checkpoints import KINDS, configure, noise_pages, write_checkpoint
from torch import Tensor

from freqexp.answering.work import figures
from freqexp.errors import UserError
from freqexp.nouns.vision import CompressedTokens, LayerView, VisionTokens, keep_all
from freqexp.readers.base import Request
from freqexp.readers.families.hf import HfReader
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import PRUNES_IN_DECODER, Attention, Dtype, Family
from freqexp.schemas.model import ModelConfig
from freqexp.tokens.dart import Dart
from freqexp.tokens.fastv import Fastv, attention_row

QUESTION = "What does page 2 say?"
SIZES = ((3, 4), (2, 5))
STEPS = 5
BUNDLED = "bundled"
NAMES = (*sorted(KINDS), "llava_onevision", BUNDLED)


@dataclass
class Fixed:
    """Leaves the same tokens whatever it sees, and keeps what it saw."""

    layer: int
    kept: Sequence[int] = ()
    seen: list[LayerView] = field(default_factory=list)

    def choose(self, view: LayerView) -> Tensor:
        self.seen.append(view)
        return torch.tensor(self.kept)


@dataclass(frozen=True, eq=False)
class Subject:
    """One family's model, read with the default attention and with eager attention."""

    name: str
    reader: HfReader
    eager: HfReader
    vision: list[VisionTokens]

    @property
    def layers(self) -> int:
        return len(self.reader.text_model.layers)

    @property
    def tokens(self) -> int:
        return sum(len(page.features) for page in self.vision)

    def request(self, pruner: Any = None, thin: bool = False, **changes: Any) -> Request:
        """thin: half of the tokens were dropped before the decoder."""
        pages = [every_second(page) if thin else keep_all(page) for page in self.vision]
        return Request(QUESTION, pages, pruner, **changes)


def every_second(page: VisionTokens) -> CompressedTokens:
    kept = torch.arange(0, len(page.features), 2)
    deepstack = tuple(level[kept] for level in page.deepstack)
    return CompressedTokens(page.features[kept], kept, page.grid, deepstack=deepstack)


def config_of(name: str, folder: Path) -> ModelConfig:
    if name == BUNDLED:
        return replace(configure(KINDS["glm4v"], folder, STEPS), path=None)
    if name == "llava_onevision":
        llava_checkpoint.build_checkpoint(folder)
        config = configure(KINDS["glm4v"], folder, STEPS)
        return replace(config, family=Family.llava_onevision)
    write_checkpoint(KINDS[name], folder)
    return configure(KINDS[name], folder, STEPS)


@pytest.fixture(scope="module", params=NAMES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    torch.set_num_threads(1)
    name = request.param
    config = config_of(name, tmp_path_factory.mktemp("in_decoder") / name)
    reader, eager = load_reader(config), load_reader(replace(config, attention=Attention.eager))
    assert isinstance(reader, HfReader)
    assert isinstance(eager, HfReader)
    pages = noise_pages(KINDS.get(name, KINDS["glm4v"]), SIZES)
    return Subject(name, reader, eager, reader.encode(pages))


def thinned(count: int, seed: int = 0) -> list[int]:
    """About half of the numbers below `count`."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return sorted(drawn[: count // 2].tolist())


@contextmanager
def caught(module: Any, *, before: bool) -> Iterator[list[Any]]:
    """What every call of a module was given by name, its first argument as "first"; or gave."""
    found: list[Any] = []

    def given(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        found.append({**kwargs, "first": args[0] if args else None})

    def gave(_: Any, args: Any, output: Any) -> None:
        found.append(output)

    if before:
        hook = module.register_forward_pre_hook(given, with_kwargs=True)
    else:
        hook = module.register_forward_hook(gave)
    try:
        yield found
    finally:
        hook.remove()


def logits_of(reader: HfReader, request: Request) -> tuple[Tensor, Tensor]:
    """Logits [steps, vocabulary] of the last token at every step, and the tokens they gave."""
    with caught(reader.model.lm_head, before=False) as found:
        reader.answer_batch([request])
    logits = torch.stack([step[0, -1] for step in found])
    return logits, logits.argmax(dim=-1)


def whole_inputs(reader: HfReader, request: Request, new: Tensor) -> dict[str, Any]:
    """What the decoder is given of the request and the tokens `new` after it, at once: nothing
    dropped, no cache.
    """
    with caught(reader.text_model, before=True) as found:
        reader.answer_batch([replace(request, pruner=None)])
    given = found[0]
    positions = given["position_ids"]
    positions = positions[1:] if positions.dim() == 3 else positions
    steps = torch.arange(1, len(new) + 1).expand(*positions.shape[:-1], -1)
    words = reader.model.get_input_embeddings()(new)[None]
    inputs = {
        "inputs_embeds": torch.cat([given["inputs_embeds"], words], dim=1),
        "position_ids": torch.cat([positions, positions[..., -1:] + steps], dim=-1),
        # Without one transformers takes a gap in the positions for the start of another text.
        "attention_mask": torch.ones(1, given["inputs_embeds"].shape[1] + len(new)),
    }
    if given.get("deepstack_visual_embeds"):
        places = given["visual_pos_masks"]
        more = torch.zeros(1, len(new), dtype=torch.bool)
        inputs["visual_pos_masks"] = torch.cat([places, more], dim=1)
        inputs["deepstack_visual_embeds"] = given["deepstack_visual_embeds"]
    return inputs


@torch.no_grad()
def masked_logits(subject: Subject, request: Request, new: Tensor) -> Tensor:
    """Logits [steps, vocabulary] of one eager pass over everything, in which no token sees those
    dropped in layers from `layer` on.
    """
    reader, pruner = subject.eager, request.pruner
    assert isinstance(pruner, Fixed)
    vision = reader.prompt(request).vision
    dropped = vision[[n for n in range(len(vision)) if n not in pruner.kept]]
    inputs = whole_inputs(reader, request, new[:-1])

    def hide(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mask = kwargs["attention_mask"]
        return args, {**kwargs, "attention_mask": mask.index_fill(-1, dropped, -torch.inf)}

    layers = reader.text_model.layers[pruner.layer :]
    hooks = [layer.register_forward_pre_hook(hide, with_kwargs=True) for layer in layers]
    try:
        hidden = reader.text_model(**inputs, use_cache=False).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    logits: Tensor = reader.model.lm_head(hidden[0, -len(new) :])
    return logits


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("thin", [False, True], ids=["full", "after_pruning"])
def test_dropped_is_hidden_from_every_layer_on(
    subject: Subject, attention: str, thin: bool
) -> None:
    reader = subject.reader if attention == "sdpa" else subject.eager
    plain, _ = logits_of(reader, subject.request(thin=thin))
    for layer in {1, 2, subject.layers - 1}:
        count = len(reader.prompt(subject.request(thin=thin)).vision)
        pruner = Fixed(layer, thinned(count, layer))
        logits, new = logits_of(reader, subject.request(pruner, thin))
        assert len(new) == STEPS or subject.name == BUNDLED
        expected = masked_logits(subject, subject.request(pruner, thin), new)
        assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
        assert not torch.allclose(logits[0], plain[0], rtol=1e-2)


def test_layers_below_are_untouched_and_caches_are_as_long_as_said(subject: Subject) -> None:
    reader, layers = subject.reader, subject.reader.text_model.layers
    for layer in {1, subject.layers - 1}:
        pruner = Fixed(layer, thinned(subject.tokens))
        inputs = []
        for request in (subject.request(), subject.request(pruner)):
            with caught(layers[layer], before=False) as after:
                hooks = [caught(layers[number], before=True) for number in range(layer + 1)]
                found = [hook.__enter__() for hook in hooks]
                answer = reader.answer_batch([request])[0]
                for hook in hooks:
                    hook.__exit__(None, None, None)
            inputs.append([calls[0]["first"] for calls in found])
        full, dropped = answer.decoder_tokens, subject.tokens - len(pruner.kept)
        # The hook that looks stands before the one that drops.
        for one, other in zip(*inputs, strict=True):
            assert torch.equal(one, other)
        assert after[0].shape[1] == full - dropped
        assert answer.decoder_tokens == full == len(reader.prompt(subject.request()).ids)
        assert answer.vision_tokens_out == answer.vision_tokens_in
        lengths = (full,) * layer + (full - dropped,) * (subject.layers - layer)
        assert answer.cache_tokens == lengths
        mean = full - dropped * (subject.layers - layer) / subject.layers
        assert figures(answer)["mean_layer_tokens"] == pytest.approx(mean)
        whole = reader.answer_batch([subject.request()])[0]
        assert answer.kv_cache_bytes * full * subject.layers == whole.kv_cache_bytes * sum(lengths)
        assert figures(whole)["mean_layer_tokens"] == whole.decoder_tokens == full


@torch.no_grad()
def test_the_view_is_what_the_model_computed(subject: Subject) -> None:
    """The row is that of the eager map, and the hidden states are those of the whole run."""
    for layer in {1, subject.layers - 1}:
        pruner = Fixed(layer, range(subject.tokens))
        request = subject.request(pruner)
        subject.reader.answer_batch([request])
        (view,) = pruner.seen
        eager = subject.eager.text_model
        inputs = whole_inputs(subject.eager, request, torch.tensor([], dtype=torch.int64))
        before = eager.layers[layer - 1].self_attn
        with (
            caught(before, before=False) as maps,
            caught(eager.layers[layer], before=True) as given,
        ):
            eager(**inputs, use_cache=False)
        row = maps[0][1][0, :, -1].mean(dim=0)
        assert attention_row(view).sum() == pytest.approx(1)
        assert torch.allclose(attention_row(view).float(), row, rtol=1e-4, atol=1e-7)
        normed = eager.norm(given[0]["first"])[0]
        assert torch.allclose(view.hidden, normed, rtol=1e-3, atol=1e-4)
        ids = subject.reader.prompt(request).ids
        assert (ids[view.vision] == subject.reader.image_id).all()
        assert len(view.vision) == subject.tokens
        placed = int((ids == subject.reader.image_id).sum())
        newlines = sum(page.grid[0] for page in subject.vision[1::2])
        expected = newlines if subject.name == "llava_onevision" else 0
        assert placed - subject.tokens == expected


@pytest.mark.parametrize("method", [Fastv, Dart])
def test_everything_kept_is_the_uncompressed_answer(subject: Subject, method: type) -> None:
    for reader in (subject.reader, subject.eager):
        expected, tokens = logits_of(reader, subject.request())
        for layer in (1, subject.layers - 1):
            logits, new = logits_of(reader, subject.request(method(1.0, layer)))
            assert torch.equal(new, tokens)
            assert torch.allclose(logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [Fastv, Dart])
def test_methods_leave_as_many_as_they_say(subject: Subject, method: type) -> None:
    answer = subject.reader.answer_batch([subject.request(method(0.3, 1))])[0]
    assert answer.kept is not None
    assert len(answer.kept) == int(0.3 * subject.tokens + 0.5)
    assert min(answer.cache_tokens) == answer.decoder_tokens - subject.tokens + len(answer.kept)
    eager = subject.eager.answer_batch([subject.request(method(0.3, 1))])[0]
    assert (eager.kept, eager.text) == (answer.kept, answer.text)
    few = subject.reader.answer_batch([subject.request(method(0.3, 1), budget=2)])[0]
    assert few.kept is not None
    assert len(few.kept) == 2


@pytest.mark.parametrize("method", [Fastv, Dart])
def test_another_number_of_threads_keeps_the_same(subject: Subject, method: type) -> None:
    request = subject.request(method(0.4, 1))
    try:
        found = []
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            found.append(subject.reader.answer_batch([request])[0].kept)
    finally:
        torch.set_num_threads(1)
    assert found[0] == found[1] == found[2]


def test_together_is_one_by_one(subject: Subject) -> None:
    requests = [subject.request(Fastv(0.4, 1)), subject.request(), subject.request(Dart(0.4, 2))]
    together = subject.reader.answer_batch(requests)
    for answer, request in zip(together, requests, strict=True):
        alone = subject.reader.answer_batch([request])[0]
        times = {"prefill_ms": 0.0, "decode_ms": 0.0, "choose_ms": None}
        assert replace(answer, **times) == replace(alone, **times)
        assert (answer.choose_ms is None) == (request.pruner is None)
        assert answer.prefill_ms > 0


def test_nothing_is_left_on_the_model(subject: Subject) -> None:
    reader, model = subject.reader, subject.reader.model

    def hooks() -> list[Any]:
        modules = list(model.modules())
        counts = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules]
        return [counts, vars(reader.text_model).get("_deepstack_process")]

    class Failing(Fixed):
        def choose(self, view: LayerView) -> Tensor:
            raise RuntimeError("no choice")

    before, expected = hooks(), reader.answer_batch([subject.request()])[0].text
    reader.answer_batch([subject.request(Fastv(0.5, 1))])
    assert hooks() == before
    with pytest.raises(RuntimeError, match="no choice"):
        reader.answer_batch([subject.request(Failing(1))])
    assert hooks() == before
    reader.warm_up(subject.request(Dart(0.5, 1)))
    assert hooks() == before
    assert reader.answer_batch([subject.request()])[0].text == expected


def test_a_layer_outside_the_model_is_refused(subject: Subject) -> None:
    last = subject.layers - 1
    for layer in (0, subject.layers):
        said = rf"^compressor\.layer: got {layer}, allowed: 1 to {last} for these weights"
        with pytest.raises(UserError, match=said):
            subject.reader.check_layer(layer)
        with pytest.raises(UserError, match=said):
            subject.reader.answer_batch([subject.request(Fixed(layer, [0]))])
    subject.reader.check_layer(last)


def test_half_precision_drops_and_answers(tmp_path: Path) -> None:
    config = replace(config_of("qwen3_vl", tmp_path / "model"), dtype=Dtype.bfloat16)
    reader = load_reader(config)
    vision = [keep_all(p) for p in reader.encode(noise_pages(KINDS["qwen3_vl"], SIZES))]
    for method in (Fastv(0.5, 1), Dart(0.5, 2)):
        answer = reader.answer_batch([Request(QUESTION, vision, method)])[0]
        assert answer.new_tokens == STEPS
        assert answer.kept is not None
        assert len(answer.kept) == 11


def test_sliding_windows_are_refused(tmp_path: Path) -> None:
    reader = load_reader(config_of("qwen2_vl", tmp_path / "model"))
    assert isinstance(reader, HfReader)
    reader.model.config.get_text_config().layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(UserError, match="sliding attention can't drop tokens"):
        reader.check_layer(1)


def test_the_families_that_can_are_those_that_say_so() -> None:
    from freqexp.readers.families.glm4v_remote import Glm4vRemoteReader
    from freqexp.readers.recogniser.ppocr import PpocrReader
    from freqexp.readers.served.api import ApiReader

    able = {Family(name) for name in NAMES if name != BUNDLED}
    assert able == PRUNES_IN_DECODER
    assert HfReader.prunes_in_decoder
    others = {Family.glm4v_remote, Family.ppocr, Family.api, Family.outside}
    assert set(Family) - PRUNES_IN_DECODER == others
    for other in (Glm4vRemoteReader, PpocrReader, ApiReader):
        assert not other.prunes_in_decoder
