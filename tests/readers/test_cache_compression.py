"""Compressing the KV cache equals hiding what was evicted, in every family.

The checkpoints are small and random, of the real classes; the bundled reader has partial rotation
and more layers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from reader_checkpoints import KINDS, configure, noise_pages, write_checkpoint
from test_in_decoder import BUNDLED, NAMES, SIZES, caught, config_of
from torch import Tensor

from freqexp.answering.work import figures
from freqexp.composing.compose import compose
from freqexp.errors import BudgetError, ConfigError, UserError
from freqexp.kv.base import KVMethod
from freqexp.kv.dct_outlier import DctOutlier
from freqexp.kv.evict import Eviction
from freqexp.kv.kivi import Kivi
from freqexp.kv.kv_random import KVRandom
from freqexp.kv.sink_recent import SinkRecent
from freqexp.kv.snapkv import SnapKV
from freqexp.kv.stored import Exact, at
from freqexp.nouns.cache import Asked, LayerCache, StoredLayer
from freqexp.nouns.vision import VisionTokens, keep_all
from freqexp.readers.base import Answer, Request
from freqexp.readers.families.foreign_cache import pairs
from freqexp.readers.families.hf import HfReader
from freqexp.readers.load import load_reader
from freqexp.readers.meter import Meter
from freqexp.schemas.choices import Attention, Dtype, LayerShares, Question, Scope
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.kv import KVConfig
from freqexp.schemas.section import option_name

QUESTION = "What does page 2 say?"
LONGER = "And what is the very first word of page 1, then? Say it twice, and nothing else."
ASKED: tuple[Asked, ...] = ("seen", "unseen")
OPTIONS = sorted(option_name(option) for option in COMPRESSORS if issubclass(option, KVConfig))


@dataclass(frozen=True, eq=False)
class Subject:
    """One family's model, read with the default attention and with eager attention."""

    name: str
    reader: HfReader
    eager: HfReader
    vision: list[VisionTokens]

    def request(self, compressor: Any = None, budget: int | None = None) -> Request:
        pages = [keep_all(page) for page in self.vision]
        return Request(QUESTION, pages, compressor=compressor, cache_budget=budget)

    def shorter(self, compressor: Any = None) -> Request:
        """One page, and a longer question."""
        pages = [keep_all(page) for page in self.vision[: self.reader.grids_a_page]]
        return Request(LONGER, pages, compressor=compressor)

    def pages_end(self, request: Request) -> int:
        ids = self.reader.prompt(request).ids
        return int((ids == self.reader.image_id).nonzero()[-1]) + 1


@pytest.fixture(scope="module", params=NAMES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    torch.set_num_threads(1)
    name = request.param
    config = config_of(name, tmp_path_factory.mktemp("cache") / name)
    reader, eager = load_reader(config), load_reader(replace(config, attention=Attention.eager))
    assert isinstance(reader, HfReader)
    assert isinstance(eager, HfReader)
    pages = noise_pages(KINDS.get(name, KINDS["glm4v"]), SIZES)
    return Subject(name, reader, eager, reader.encode(pages))


@functools.cache
def profile() -> Any:
    return compose(("compressor=none",)).profile


def built(name: str, question: Asked, keep_ratio: float, **changes: Any) -> KVMethod:
    """An option of the group as it is composed; small windows and groups, as the prompts are."""
    config = compose((f"compressor={name}",)).compressor
    small = {"window": 4, "residual": 8, "group": 8}
    names = set(vars(config))
    changes = {**{k: v for k, v in small.items() if k in names}, **changes}
    config = replace(config, question=Question(question), **changes)  # type: ignore[call-arg]
    assert not config.check("compressor")
    method = config.build(keep_ratio, profile())
    assert isinstance(method, KVMethod)
    return method


def steps_of(reader: HfReader, requests: Sequence[Request]) -> tuple[Tensor, list[Answer]]:
    """Logits [steps, batch, vocabulary] of the last token from the first answer token on."""
    with caught(reader.model.lm_head, before=False) as found:
        answers = reader.answer_batch(requests)
    compressor = requests[0].compressor
    passes = 1 if compressor is not None and compressor.question == "unseen" else 0
    return torch.stack([step[:, -1] for step in found[passes:]]), answers


def everything() -> Iterator[Any]:
    """Methods that keep everything as it is."""
    for question in ASKED:
        yield KVRandom(Eviction(1.0, "all", question))
        yield Kivi(4, 8, 1024, question=question)
        yield SinkRecent(Eviction(1.0, "vision", question))


def test_nothing_compressed_is_bit_by_bit_the_uncompressed_run(subject: Subject) -> None:
    """Alone and in a batch padded on the left. Where the pages are read first, bit by bit what a
    plain cache makes of the same two passes, and that is near the one pass.
    """
    for reader in (subject.reader, subject.eager):
        for make in (
            lambda m: [subject.request(m)],
            lambda m: [subject.request(m), subject.shorter(m)],
        ):
            expected, plain = steps_of(reader, make(None))
            twice, _ = steps_of(reader, make(Plain()))
            for method in everything():
                logits, answers = steps_of(reader, make(method))
                if method.question == "seen":
                    assert torch.equal(logits, expected)
                else:
                    assert torch.equal(logits, twice)
                    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
                for answer, other in zip(answers, plain, strict=True):
                    assert answer.text == other.text
                    assert answer.decoder_tokens == other.decoder_tokens
                    assert answer.cache_tokens == other.cache_tokens
                    assert answer.kv_cache_bytes == other.kv_cache_bytes


class Plain(KVMethod):
    """Holds each layer as it is, in a cache of the library's own kind."""

    simulated = True

    def compress(self, layer: LayerCache) -> StoredLayer:
        return Exact(layer.keys, layer.values)


@pytest.mark.parametrize("question", ASKED)
def test_together_is_alone(subject: Subject, question: Asked) -> None:
    """Every option; a request of two pages beside one of one page with a longer question.

    Products of other shapes round otherwise in the last bit, as processors differ; a quantiser may
    then give a number that lies between two codes the other one.
    """
    methods = {name: built(name, question, 0.5) for name in OPTIONS}
    # Layers of different lengths, and tokens of different lengths in bits.
    methods["energy"] = built("dct_outlier", question, 0.5, layers=LayerShares.energy)
    methods["bits"] = built("keydiff", question, 0.5, bits=4, scope=Scope.vision)
    for name, method in methods.items():
        requests = [subject.request(method), subject.shorter(method)]
        together, answers = steps_of(subject.reader, requests)
        for row, request in enumerate(requests):
            alone, (answer,) = steps_of(subject.reader, [request])
            if method.library is None:
                shared = min(len(alone), len(together))
                scale = float(alone.abs().max())
                error = (alone[:shared, 0] - together[:shared, row]).abs().max()
                near = 5e-3 if name in ("kivi", "bits") else 1e-5
                assert float(error) <= near * max(1.0, scale), name
            assert answers[row].text == answer.text
            assert answers[row].cache_tokens == answer.cache_tokens
            assert answers[row].kv_cache_bytes == answer.kv_cache_bytes


@dataclass
class Watching(KVMethod):
    """What another method does, and what it kept, layer by layer."""

    inner: Any
    simulated: bool = False
    layers: dict[int, LayerCache] = field(default_factory=dict)
    kept: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.question = self.inner.question
        self.queries, self.all_layers = self.inner.queries, self.inner.all_layers

    def plan(self, layers: Sequence[LayerCache]) -> list[int]:
        return self.inner.plan(layers)  # type: ignore[no-any-return]

    def compress(self, layer: LayerCache) -> StoredLayer:
        self.layers[layer.number] = replace(
            layer, keys=layer.keys.clone(), values=layer.values.clone()
        )
        chosen, scope = self.inner.places(layer)
        rest = torch.ones(layer.keys.shape[1], dtype=torch.bool)
        rest[scope] = False
        others = rest.nonzero()[:, 0].expand(len(chosen), -1)
        self.kept[layer.number] = torch.cat([chosen, others], dim=1)
        return self.inner.compress(layer)  # type: ignore[no-any-return]


def evicting(question: Asked) -> list[Any]:
    return [
        KVRandom(Eviction(0.4, "all", question)),
        KVRandom(Eviction(0.3, "vision", question)),
        SnapKV(Eviction(0.4, "all", question), window=4, kernel=3),
        DctOutlier(Eviction(0.5, "all", question), layers="energy"),
    ]


@contextmanager
def hidden(reader: HfReader, first: int, kept: dict[int, Tensor], length: int) -> Iterator[None]:
    """In each layer and head, queries from place `first` on see none of the first `length` tokens
    but the kept ones. For eager attention, whose mask has a dimension for heads.
    """
    heads = reader.model.config.get_text_config().num_attention_heads

    def before(number: int, module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mask = kwargs["attention_mask"].expand(-1, heads, -1, -1).clone()
        for head in range(heads):
            own = kept[number][head * len(kept[number]) // heads]
            gone = torch.ones(length, dtype=torch.bool)
            gone[own] = False
            mask[:, head, first:, :length][..., gone] = torch.finfo(mask.dtype).min
        return args, {**kwargs, "attention_mask": mask}

    with ExitStack() as stack:
        for number, layer in enumerate(reader.text_model.layers):
            hook = functools.partial(before, number)
            handle = layer.self_attn.register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        yield


@torch.no_grad()
@pytest.mark.parametrize("question", ASKED)
def test_evicting_is_hiding(subject: Subject, question: Asked) -> None:
    """Logits of every step equal those of one eager pass over the prompt and the answer in which
    what comes after the compressed part sees only what was kept of it, in each layer and head.
    """
    for method in evicting(question):
        watching = Watching(method)
        request = subject.request(watching)
        logits, (answer,) = steps_of(subject.reader, [request])
        new = logits.argmax(dim=-1)[:, 0]
        length = answer.decoder_tokens
        end = subject.pages_end(request) if question == "unseen" else length
        with caught(subject.eager.text_model, before=True) as found:
            subject.eager.answer_batch([subject.request()])
        given = found[0]
        positions = given["position_ids"]
        positions = positions[1:] if positions.dim() == 3 else positions
        more = torch.arange(1, len(new) + 1).expand(*positions.shape[:-1], -1)
        words = subject.eager.model.get_input_embeddings()(new)[None]
        inputs: dict[str, Any] = {
            "inputs_embeds": torch.cat([given["inputs_embeds"], words], dim=1),
            "position_ids": torch.cat([positions, positions[..., -1:] + more], dim=-1),
            "attention_mask": torch.ones(1, length + len(new)),
        }
        if given.get("deepstack_visual_embeds"):
            places = given["visual_pos_masks"]
            later = torch.zeros(1, len(new), dtype=torch.bool)
            inputs["visual_pos_masks"] = torch.cat([places, later], dim=1)
            inputs["deepstack_visual_embeds"] = given["deepstack_visual_embeds"]
        with hidden(subject.eager, end, watching.kept, end):
            output = subject.eager.text_model(**inputs, use_cache=False).last_hidden_state
        expected = subject.eager.model.lm_head(output[0, length - 1 : -1])
        torch.testing.assert_close(logits[:, 0], expected, rtol=1e-4, atol=1e-4)
        held = [watching.kept[n].shape[1] + length - end for n in sorted(watching.kept)]
        assert answer.cache_tokens == tuple(held)
        evicted = [length - n for n in held]
        assert min(evicted) > 0
        assert answer.cache is not None
        per_token = answer.cache.full_bytes // (length * len(held))
        assert answer.kv_cache_bytes == sum(held) * per_token
        assert answer.cache.components["exact"] == answer.kv_cache_bytes


@torch.no_grad()
def test_snapkv_keeps_what_eager_attention_says(subject: Subject) -> None:
    """The weights of the eager map, in plain loops."""
    window, kernel = 4, 3
    for question in ASKED:
        watching = Watching(SnapKV(Eviction(0.4, "all", question), window=window, kernel=kernel))
        request = subject.request(watching)
        subject.reader.answer_batch([request])
        maps: list[Any] = []
        with ExitStack() as stack:
            for layer in subject.eager.text_model.layers:
                seen = stack.enter_context(caught(layer.self_attn, before=False))
                maps.append(seen)
            subject.eager.answer_batch([subject.request()])
        for number, chosen in watching.kept.items():
            length = watching.layers[number].keys.shape[1]
            weights = maps[number][0][1][0, :, length - window : length, :length].double()
            group = len(weights) // len(chosen)
            for head, own in enumerate(chosen.tolist()):
                scores = [0.0] * length
                for token in range(length):
                    for query_head in range(head * group, (head + 1) * group):
                        for query in range(window):
                            scores[token] += float(weights[query_head, query, token])
                before = length - window
                pooled = []
                for token in range(before):
                    near = range(token - kernel // 2, token + kernel // 2 + 1)
                    pooled.append(sum(scores[n] for n in near if 0 <= n < before))
                count = len(own) - window
                least = sorted(pooled, reverse=True)[count - 1]
                assert set(range(before, length)) <= set(own)
                for token in range(before):
                    if abs(pooled[token] - least) > 1e-3 * least:
                        assert (token in own) == (pooled[token] > least), (number, head, token)


def test_positions_are_those_of_the_uncompressed_run(subject: Subject) -> None:
    def positions(request: Request) -> list[list[int]]:
        with caught(subject.reader.text_model, before=True) as found:
            subject.reader.answer_batch([request])
        steps = [call["position_ids"] for call in found]
        return [step.reshape(-1, step.shape[-1]).tolist() for step in steps]

    whole = positions(subject.request())
    for method in (KVRandom(Eviction(0.3, "all", "seen")), built("kivi", "seen", 0.5)):
        found = positions(subject.request(method))
        shared = min(len(found), len(whole))
        assert found[:shared] == whole[:shared]
    found = positions(subject.request(KVRandom(Eviction(0.3))))
    joined = [a + b for a, b in zip(found[0], found[1], strict=True)]
    assert joined == whole[0]
    later = found[2:]
    assert later[: len(whole) - 1] == whole[1 : len(later) + 1]


def test_bytes_are_those_of_the_storages(subject: Subject) -> None:
    """Of every option what is alive after prefill is the sum of its components, read by the meter
    off the storages; and a view of a larger storage counts as that.
    """
    for name in OPTIONS:
        for question in ASKED:
            method = built(name, question, 0.5)
            (answer,) = subject.reader.answer_batch([subject.request(method)])
            use = answer.cache
            assert use is not None
            assert answer.kv_cache_bytes == sum(use.components.values())
            (whole,) = subject.reader.answer_batch([subject.request()])
            assert use.full_bytes == whole.kv_cache_bytes
            assert use.end_bytes > 0
            assert (use.compress_ms is None) == (method.library is not None)
            found = figures(answer)
            assert found["mean_layer_tokens"] == answer.decoder_tokens
            if method.evicts:
                assert answer.kv_cache_bytes < use.full_bytes
                assert use.read_bytes == 0


class Slicing(KVMethod):
    """Keeps views of a tenth of what it was given."""

    simulated = False

    def compress(self, layer: LayerCache) -> StoredLayer:
        few = max(1, layer.keys.shape[1] // 10)
        stored = Exact(layer.keys[:, :1], layer.values[:, :1])
        stored._keys, stored._values = layer.keys[:, :few], layer.values[:, :few]
        return stored


def test_views_count_as_what_they_keep_alive(subject: Subject) -> None:
    (whole,) = subject.reader.answer_batch([subject.request()])
    (answer,) = subject.reader.answer_batch([subject.request(Slicing("seen"))])
    assert answer.cache_tokens[0] == max(1, answer.decoder_tokens // 10)
    assert answer.kv_cache_bytes == whole.kv_cache_bytes


def test_a_second_answer_is_compressed_again(subject: Subject) -> None:
    for name in OPTIONS:
        method = built(name, "unseen", 0.5)
        answers = [subject.reader.answer_batch([subject.request(m)])[0] for m in (method,) * 2]
        subject.reader.answer_batch([subject.request()])
        answers += subject.reader.answer_batch([subject.request(method)])
        assert len({answer.text for answer in answers}) == 1
        assert len({answer.kv_cache_bytes for answer in answers}) == 1
        assert answers[0].kv_cache_bytes != answers[0].cache.full_bytes  # type: ignore[union-attr]


def test_budgets_of_tokens(subject: Subject) -> None:
    for question in ASKED:
        method = KVRandom(Eviction(1.0, "all", question))
        request = subject.request(method, budget=7)
        (answer,) = subject.reader.answer_batch([request])
        asked = answer.decoder_tokens - subject.pages_end(request)
        assert set(answer.cache_tokens) == {7 if question == "seen" else 7 + asked}
        with pytest.raises(BudgetError, match="keep_tokens: got 100000, allowed: 1 to"):
            subject.reader.answer_batch([subject.request(method, budget=100_000)])


def test_text_stays_where_only_pages_are_in_scope(subject: Subject) -> None:
    for question in ASKED:
        watching = Watching(KVRandom(Eviction(0.2, "vision", question)))
        subject.reader.answer_batch([subject.request(watching)])
        for number, layer in watching.layers.items():
            text = (~layer.vision).nonzero()[:, 0]
            for kept in watching.kept[number]:
                assert set(text.tolist()) <= set(kept.tolist())
            stored = watching.inner.compress(layer)
            keys, _ = stored.read()
            rows = at(layer.keys, text)
            same = (keys[:, :, None] == rows[:, None]).all(dim=-1).any(dim=1)
            assert bool(same.all())


def test_nothing_is_left_on_the_model(subject: Subject) -> None:
    class Failing(KVMethod):
        simulated, queries = False, 2

        def compress(self, layer: LayerCache) -> StoredLayer:
            raise RuntimeError("no room")

    def hooks() -> list[int]:
        modules = list(subject.reader.model.modules())
        return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules]

    before = hooks()
    subject.reader.answer_batch([subject.request(built("snapkv", "seen", 0.5))])
    assert hooks() == before
    with pytest.raises(RuntimeError, match="no room"):
        subject.reader.answer_batch([subject.request(Failing())])
    assert hooks() == before


def test_prompts_too_short_for_the_settings(subject: Subject) -> None:
    for method, said in (
        (SnapKV(Eviction(0.5), window=4000), "compressor.window: got 4000, allowed: at most the"),
        (SnapKV(Eviction(0.1), window=20), "at least the 20"),
    ):
        with pytest.raises(BudgetError, match=said):
            subject.reader.answer_batch([subject.request(method)])
    channels = subject.reader.text_model.layers[0].self_attn.head_dim
    with pytest.raises(ConfigError, match=f"compressor.group: got 20, .* {channels} channels"):
        subject.reader.answer_batch([subject.request(Kivi(4, 20, 20))])


def test_scope_vision_without_vision_tokens() -> None:
    layer = LayerCache(torch.ones(1, 4, 8), torch.ones(1, 4, 8), torch.zeros(4).bool())
    with pytest.raises(UserError, match=r"compressor\.scope: got 'vision', allowed: all"):
        KVRandom(Eviction(0.5, "vision")).compress(layer)


def test_layers_that_forget_are_refused(tmp_path: Path) -> None:
    write_checkpoint(KINDS["qwen2_5_vl"], tmp_path)
    reader = load_reader(configure(KINDS["qwen2_5_vl"], tmp_path, 4))
    assert isinstance(reader, HfReader)
    text = reader.model.config.get_text_config()
    text.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(UserError, match="layers with sliding attention have no cache"):
        reader.check_compressor(KVRandom(Eviction(0.5)))


def test_caches_that_are_no_list_of_layers() -> None:
    class Decoder(torch.nn.Module):
        def forward(self, inputs_embeds: Tensor) -> Any:
            keys = torch.zeros(1, 2, 3, 4)
            return SimpleNamespace(last_hidden_state=inputs_embeds, past_key_values=((keys, keys),))

    decoder = Decoder()
    with Meter(decoder, [0]), pytest.raises(UserError, match="its cache is a tuple, allowed: one"):
        decoder(inputs_embeds=torch.zeros(1, 3, 4))
    keys = torch.zeros(1, 2, 3, 4)
    assert len(pairs(((keys, keys),))) == 1
    for cache in (None, (), ((keys,),), ((keys, keys[0]),), "cache"):
        with pytest.raises(UserError, match=r"its cache is a .*, allowed: one pair of"):
            pairs(cache)


def test_half_precision_holds_half(tmp_path: Path) -> None:
    """fp8 holds half of bfloat16 and two scales a layer; a repetition penalty changes nothing."""
    config = replace(config_of(BUNDLED, tmp_path), dtype=Dtype.bfloat16, repetition_penalty=1.1)
    reader = load_reader(config)
    assert isinstance(reader, HfReader)
    vision = [keep_all(page) for page in reader.encode(noise_pages(KINDS["glm4v"], SIZES))]
    for question in ASKED:
        request = Request(QUESTION, vision, compressor=built("fp8", question, 0.5))
        (answer,) = reader.answer_batch([request])
        layers = len(answer.cache_tokens)
        assert answer.cache is not None
        assert answer.kv_cache_bytes == answer.cache.full_bytes // 2 + 8 * layers
        assert answer.cache.components["scales"] == 8 * layers
