"""GLM-4V-9B: consent before code runs, dropped tokens leave the sequence, nothing dropped is the
family's own answer.

What runs here is `glm4v_remote_double`, a small model written for these tests with the outer
interface of zai-org/glm-4v-9b: a checkpoint folder with `auto_map`, loaded as a user would load
that one. The published code and weights were not run, so these tests say nothing of whether it
works under the installed transformers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import glm4v_remote_checkpoint as ckpt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from freqexp.composing.compose import collect, compose
from freqexp.errors import UserError
from freqexp.nouns.page import Pixels
from freqexp.nouns.teaching import Exercise
from freqexp.nouns.vision import CompressedTokens, VisionTokens, keep_all
from freqexp.readers.base import Request
from freqexp.readers.bundled import weights_hash
from freqexp.readers.families.glm4v_remote import Glm4vRemoteReader
from freqexp.readers.load import load_reader
from freqexp.running.sweep import run_points
from freqexp.schemas.choices import Family
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.section import option_name
from freqexp.tokens.dct import TokenDct

Configure = Callable[..., ModelConfig]
TOKENS = ckpt.SIDE**2
SIZES = ((112, 112), (200, 90), (60, 150))
MARKERS = 2


@pytest.fixture(scope="module", autouse=True)
def code_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Code of checkpoints is copied here and not to the user's cache."""
    with ckpt.code_cache_in(tmp_path_factory.mktemp("modules")) as folder:
        yield folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return ckpt.build_checkpoint(tmp_path_factory.mktemp("glm4v_remote") / "reader")


@pytest.fixture(scope="module")
def configure(model_config: Configure) -> Configure:
    def make(path: Path, **changes: Any) -> ModelConfig:
        settings = {"family": Family.glm4v_remote, "trust_remote_code": True, **changes}
        return replace(model_config(path), **settings)

    return make


@pytest.fixture(scope="module")
def reader(checkpoint: Path, configure: Configure) -> Glm4vRemoteReader:
    loaded = load_reader(configure(checkpoint))
    assert isinstance(loaded, Glm4vRemoteReader)
    return loaded


def some_page(size: tuple[int, int] = SIZES[0], seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def own_inputs(reader: Glm4vRemoteReader, page: Pixels, question: str) -> Any:
    """What the family's tokenizer makes of page and question."""
    return reader.tokenizer.apply_chat_template(
        [{"role": "user", "image": Image.fromarray(page), "content": question}],
        add_generation_prompt=True,
        tokenize=True,
        return_tensors="pt",
        return_dict=True,
    )


def plain_generate(reader: Glm4vRemoteReader, page: Pixels, question: str) -> list[int]:
    """What a user of the published model would type."""
    inputs = own_inputs(reader, page, question)
    output = reader.model.generate(**inputs, max_new_tokens=12, do_sample=False)
    return [int(token) for token in output[0, inputs["input_ids"].shape[1] :]]


@torch.no_grad()
def pruned_by_hand(
    reader: Glm4vRemoteReader, page: Pixels, question: str, kept: Tensor
) -> list[int]:
    """Greedy tokens from full passes through the layers, no cache and none of our decoding."""
    model = reader.model.transformer
    inputs = own_inputs(reader, page, question)
    marked = model.vision(inputs["images"])
    inside = torch.cat([torch.tensor([0]), kept + 1, torch.tensor([TOKENS + 1])])
    words = model.get_input_embeddings()
    embeds = words(inputs["input_ids"])
    # [gMASK] <sop> <|user|> newline, then begin, placeholder, end at 4, 5, 6.
    hidden_in = torch.cat([embeds[:, :4], marked[:, inside], embeds[:, 7:]], dim=1)
    at = torch.tensor([[0, 1, 2, 3, 4, *[5] * len(kept), *range(6, embeds.shape[1])]])
    tokens: list[int] = []
    for _ in range(reader.max_new_tokens):
        length = hidden_in.shape[1]
        allowed = torch.ones(1, length, length).bool().tril()
        hidden = hidden_in
        for layer in model.layers:
            hidden, _ = layer(hidden, allowed, at, None)
        tokens.append(int(model.output_layer(model.final(hidden))[0, -1].argmax()))
        hidden_in = torch.cat([hidden_in, words(torch.tensor([[tokens[-1]]]))], dim=1)
        at = torch.cat([at, at[:, -1:] + 1], dim=1)
    return tokens


def decoded(reader: Glm4vRemoteReader, tokens: Sequence[int]) -> str:
    return str(reader.tokenizer.decode(tokens, skip_special_tokens=True))


def cache_bytes(tokens: int) -> int:
    float32_bytes = 4
    return tokens * ckpt.LAYERS * 2 * ckpt.GROUPS * ckpt.CHANNELS * float32_bytes


@pytest.mark.parametrize("size", SIZES)
def test_everything_kept_is_plain_generate(
    reader: Glm4vRemoteReader, size: tuple[int, int]
) -> None:
    page = some_page(size)
    (tokens,) = reader.encode([page])
    assert tokens.grid == (ckpt.SIDE, ckpt.SIDE)
    answer = reader.answer("what is here?", [keep_all(tokens)])
    expected = plain_generate(reader, page, "what is here?")
    assert answer.raw_text == answer.text == decoded(reader, expected)
    assert answer.new_tokens == len(expected) == 12
    assert len(set(expected)) >= 5
    text = own_inputs(reader, page, "what is here?")["input_ids"].shape[1] - 1 - MARKERS
    assert answer.vision_tokens_in == answer.vision_tokens_out == TOKENS
    assert answer.decoder_tokens == text + MARKERS + TOKENS
    assert answer.cache_tokens == (answer.decoder_tokens,) * ckpt.LAYERS
    assert answer.kv_cache_bytes == cache_bytes(answer.decoder_tokens)


def test_answers_depend_on_page_and_question(reader: Glm4vRemoteReader) -> None:
    texts = [
        reader.answer(question, [keep_all(tokens)]).text
        for seed in (1, 2, 3)
        for tokens in reader.encode([some_page(seed=seed)])
        for question in ("what?", "who is it?")
    ]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("keep_ratio", [0.5, 0.25])
def test_kept_tokens_decode_as_by_hand(reader: Glm4vRemoteReader, keep_ratio: float) -> None:
    page = some_page()
    (tokens,) = reader.encode([page])
    small = TokenDct(keep_ratio, transform=False, quantize=False).compress(tokens)
    assert len(small.kept) == keep_ratio * TOKENS
    answer = reader.answer("what is here?", [small])
    by_hand = pruned_by_hand(reader, page, "what is here?", small.kept)
    assert answer.raw_text == decoded(reader, by_hand)
    assert len(set(by_hand)) >= 5
    full = reader.answer("what is here?", [keep_all(tokens)])
    assert full.raw_text != answer.raw_text
    assert answer.vision_tokens_out == len(small.kept)
    assert answer.vision_tokens_in == full.vision_tokens_in == TOKENS
    assert answer.decoder_tokens == full.decoder_tokens - (TOKENS - len(small.kept))
    assert answer.cache_tokens == (answer.decoder_tokens,) * ckpt.LAYERS
    assert answer.kv_cache_bytes == cache_bytes(answer.decoder_tokens)


def test_batch_gives_the_answers_of_batch_one(reader: Glm4vRemoteReader) -> None:
    requests = []
    for number, keep_ratio in enumerate((1.0, 0.5, 0.3)):
        (tokens,) = reader.encode([some_page(seed=number)])
        small = TokenDct(keep_ratio, transform=False, quantize=False).compress(tokens)
        requests.append(Request("what is here?"[: 4 + 4 * number], [small]))
    together = reader.answer_batch(requests)
    for request, answer in zip(requests, together, strict=True):
        alone = reader.answer(request.question, request.vision)
        assert answer.raw_text == alone.raw_text
        assert answer.cache_tokens == alone.cache_tokens
        assert answer.kv_cache_bytes == alone.kv_cache_bytes
        assert answer.vision_tokens_out == alone.vision_tokens_out == len(request.vision[0].kept)
        assert answer.decoder_tokens == alone.decoder_tokens == reader.prompt_tokens(request)
        assert (answer.batch_size, alone.batch_size) == (3, 1)
    assert len({answer.decoder_tokens for answer in together}) == 3
    assert len({answer.text for answer in together}) == 3


def test_repetition_penalty_is_that_of_generate(checkpoint: Path, configure: Configure) -> None:
    reader = Glm4vRemoteReader.load(configure(checkpoint, repetition_penalty=3.0))
    page = some_page()
    inputs = own_inputs(reader, page, "what?")
    output = reader.model.generate(
        **inputs, max_new_tokens=12, do_sample=False, repetition_penalty=3.0
    )
    expected = [int(token) for token in output[0, inputs["input_ids"].shape[1] :]]
    answer = reader.answer("what?", [keep_all(tokens) for tokens in reader.encode([page])])
    assert answer.raw_text == decoded(reader, expected)
    assert expected != plain_generate(reader, page, "what?")


def test_answer_ends_at_the_first_end_token(
    checkpoint: Path, configure: Configure, tmp_path: Path
) -> None:
    plain = Glm4vRemoteReader.load(configure(checkpoint))
    tokens = plain_generate(plain, some_page(), "what?")
    end = tokens[4]
    folder = tmp_path / "ending"
    shutil.copytree(checkpoint, folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    ckpt.edit(folder / "config.json", eos_token_id=[0, end])
    reader = Glm4vRemoteReader.load(configure(folder))
    request = [keep_all(page) for page in reader.encode([some_page()])]
    answer = reader.answer("what?", request)
    assert answer.new_tokens == tokens.index(end) + 1
    assert not answer.truncated
    assert plain.answer("what?", request).truncated


def test_encodings_of_another_session_give_the_same_answer(
    reader: Glm4vRemoteReader, checkpoint: Path, configure: Configure
) -> None:
    """The markers come from the encoder, so a reader that has encoded nothing must get them."""
    (tokens,) = reader.encode([some_page()])
    fresh = Glm4vRemoteReader.load(configure(checkpoint))
    request = [keep_all(tokens)]
    assert fresh.answer("what?", request).text == reader.answer("what?", request).text


@pytest.mark.parametrize("keep_ratio", [1.0, 0.5])
def test_it_is_taught_what_it_answers(reader: Glm4vRemoteReader, keep_ratio: float) -> None:
    exercises, alone, questions = [], [], ("what is here?", "who?")
    for seed in (0, 1):
        (tokens,) = reader.encode([some_page(seed=seed)])
        small = TokenDct(keep_ratio, transform=False, quantize=False).compress(tokens)
        answers = [str(reader.answer(asked, [small]).raw_text) for asked in questions]
        exercises.append(Exercise([small], list(zip(questions, answers, strict=True))))
        alone += [Exercise([small], [told]) for told in exercises[-1].questions]
    with torch.no_grad():
        taught = reader.teach(exercises)
        each = [reader.teach([exercise]) for exercise in alone]
    assert taught.firsts.tolist() == [0, 13, 26, 39]
    inside = torch.arange(len(taught.labels)) % 13 != 12
    assert torch.equal(taught.logits.argmax(-1)[inside], taught.labels[inside])
    assert set(taught.labels[~inside].tolist()) == {int(reader.ends[0])}
    torch.testing.assert_close(
        taught.logits, torch.cat([one.logits for one in each]), rtol=0.0, atol=1e-4
    )


def test_places_and_gradients_of_what_it_is_taught(checkpoint: Path, configure: Configure) -> None:
    reader = Glm4vRemoteReader.load(configure(checkpoint))
    (tokens,) = Glm4vRemoteReader.load(configure(checkpoint)).encode([some_page()])
    small = TokenDct(0.5, transform=False, quantize=False).compress(tokens)
    small = replace(small, features=small.features.clone().requires_grad_())
    asked = [("what is here?", "a tapir"), ("who?", "")]
    whole = reader.teach([Exercise([keep_all(tokens)], asked)])
    for row, places in enumerate(whole.places):
        length = int((places >= 0).sum())
        assert places.tolist() == [*[-1] * (len(places) - length), *range(length)]
        assert whole.vision[row, -length:].nonzero()[:, 0].tolist() == list(range(5, 5 + TOKENS))
    few = reader.teach([Exercise([small], asked)])
    for row, places in enumerate(few.places):
        inside = places >= 0
        full = whole.vision[row, whole.places[row] >= 0]
        assert torch.equal(full[places[inside]], few.vision[row, inside])
        assert (5 + small.kept).tolist() == places[few.vision[row]].tolist()
        assert places[-1] == whole.places[row, -1]
    for _ in range(2):
        taught = reader.teach([Exercise([small], asked)])
        torch.nn.functional.cross_entropy(taught.logits, taught.labels).backward()
    assert small.features.grad is not None
    assert (small.features.grad.abs().amax(dim=1) > 0).all()
    layers = reader.model.transformer.layers
    assert all(parameter.grad.abs().max() > 0 for parameter in layers.parameters())
    assert all(p.grad is None for p in reader.model.transformer.vision.parameters())


def test_what_it_can_not_be_taught(reader: Glm4vRemoteReader) -> None:
    page = [keep_all(tokens) for tokens in reader.encode([some_page()])]
    told = [("what?", "a")]
    with pytest.raises(UserError, match=r"model.family: got 'glm4v_remote', allowed: a family of"):
        reader.teach([Exercise(page, told)], states=True)
    for exercises, said in [
        ([], "exercises: got none"),
        ([Exercise(page, [])], "exercise 1: got no questions"),
        ([Exercise(page, told), Exercise(page * 2, told)], "exercise 2: sample: got 2 pages"),
        ([Exercise(page, [("what?", "a" * 240)])], r"exercise 1: needs \d+ prompt and 241 answer"),
    ]:
        with pytest.raises(UserError, match=said):
            reader.teach(exercises)


def test_hooks_are_gone_after_an_exception(
    reader: Glm4vRemoteReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [keep_all(tokens) for tokens in reader.encode([some_page()])]
    modules = list(reader.model.modules())
    before = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(reader.model.transformer.output_layer, "forward", fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            reader.answer("what?", kept)
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules] == before


@pytest.mark.parametrize("count", [0, 2, 3])
def test_other_than_one_page(reader: Glm4vRemoteReader, count: int) -> None:
    with pytest.raises(UserError, match=rf"got {count} pages, allowed: exactly 1"):
        reader.encode([some_page()] * count)
    tokens = keep_all(VisionTokens(torch.zeros(TOKENS, 48), reader.grid))
    with pytest.raises(UserError, match=rf"got {count} pages, allowed: exactly 1"):
        reader.answer("what?", [tokens] * count)


def test_tokens_of_another_grid(reader: Glm4vRemoteReader) -> None:
    tokens = keep_all(VisionTokens(torch.zeros(8, 48), (2, 4)))
    with pytest.raises(UserError, match=r"got grid \(2, 4\), allowed: \(4, 4\)"):
        reader.answer("what?", [tokens])


def test_features_of_another_width(reader: Glm4vRemoteReader) -> None:
    wrong = CompressedTokens(torch.zeros(3, 47), torch.arange(3), reader.grid)
    with pytest.raises(UserError, match=r"got features \(3, 47\), allowed: \(3, 48\)"):
        reader.answer("what?", [wrong])


def test_markers_in_the_question(reader: Glm4vRemoteReader) -> None:
    kept = [keep_all(tokens) for tokens in reader.encode([some_page()])]
    with pytest.raises(UserError, match="must not contain the markers of an image"):
        reader.answer("what is <|begin_of_image|>?", kept)


def test_sample_beyond_the_context_names_the_numbers(reader: Glm4vRemoteReader) -> None:
    kept = [keep_all(tokens) for tokens in reader.encode([some_page()])]
    with pytest.raises(UserError, match=r"needs 3\d\d prompt and 12 new .* at most 256 in all"):
        reader.answer("what? " * 50, kept)


def test_no_code_runs_without_consent(
    checkpoint: Path, configure: Configure, tmp_path: Path, code_cache: Path
) -> None:
    folder, ran = tmp_path / "unread", tmp_path / "ran"
    shutil.copytree(checkpoint, folder)
    first = "from __future__ import annotations\n"
    for file in folder.glob("*.py"):
        text = file.read_text()
        assert first in text
        file.write_text(text.replace(first, f"{first}open({str(ran)!r}, 'w').close()\n"))
    held = {str(path) for path in code_cache.rglob("*.py")}
    with pytest.raises(UserError, match=r"model\.trust_remote_code: got False, allowed: true"):
        Glm4vRemoteReader.load(configure(folder, trust_remote_code=False))
    assert not ran.exists()
    assert {str(path) for path in code_cache.rglob("*.py")} == held
    Glm4vRemoteReader.load(configure(folder))
    assert ran.exists()


def test_code_beside_the_weights_is_part_of_their_hash(
    checkpoint: Path, configure: Configure, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    assert weights_hash(configure(folder)) == weights_hash(configure(checkpoint))
    with (folder / "visual.py").open("a") as file:
        file.write("# another revision\n")
    assert weights_hash(configure(folder)) != weights_hash(configure(checkpoint))


def test_nothing_is_fetched_without_consent(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr("transformers.configuration_utils.cached_file", fetch)
    config = configure(Path("zai-org/glm-4v-9b"), revision="0" * 40, trust_remote_code=False)
    with pytest.raises(UserError, match=r"model\.trust_remote_code"):
        Glm4vRemoteReader.load(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type chatglm .* this one is llama"),
        ({"vision_config": None}, "no vision_config"),
        ({"auto_map": None}, "no auto_map"),
        ({"num_layers": 4}, "missing keys: transformer.layers.3"),
        ({"num_layers": 2}, "unexpected keys: transformer.layers.2"),
    ],
)
def test_wrong_checkpoints(
    checkpoint: Path,
    configure: Configure,
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(checkpoint, folder)
    ckpt.edit(folder / "config.json", **changes)
    with pytest.raises(UserError, match=message):
        Glm4vRemoteReader.load(configure(folder))


def test_code_that_fails_is_named_with_its_version(
    checkpoint: Path, configure: Configure, tmp_path: Path
) -> None:
    folder = tmp_path / "failing"
    shutil.copytree(checkpoint, folder)
    (folder / "modeling_chatglm.py").write_text("raise IndexError('too old')\n")
    with pytest.raises(UserError, match=r"its own code under transformers \d.*IndexError: too old"):
        Glm4vRemoteReader.load(configure(folder))


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [("max_pixels", 9000, "null"), ("context", 5000, "at most 256")],
)
def test_settings_it_can_not_follow(
    checkpoint: Path, configure: Configure, field: str, value: int, allowed: str
) -> None:
    with pytest.raises(UserError, match=rf"model\.{field}: got {value}, allowed: {allowed}"):
        Glm4vRemoteReader.load(configure(checkpoint, **{field: value}))


def test_token_methods_run(checkpoint: Path, tmp_path: Path) -> None:
    """Those whose signals this family gives; the others are refused (test_token_methods.py)."""
    methods = [
        option_name(option)
        for option in COMPRESSORS
        if option.stage == "token"
        and set(compose((f"compressor={option_name(option)}",)).compressor.signals)
        <= {"pixels", "question"}
    ]
    assert {"pixel_prune", "blank_prune", "pool"} <= set(methods)
    points = collect(
        [
            "-m",
            f"compressor={','.join(methods)}",
            "model.family=glm4v_remote",
            f"model.path={checkpoint}",
            "model.trust_remote_code=true",
            "model.max_new_tokens=3",
            "model.render.rows=40",
            "model.render.columns=40",
            "samples=1",
            "tracking=off",
            f"output_dir={tmp_path}",
        ]
    )
    summaries = run_points([point.config for point in points], lambda cfg: ())
    assert {summary.compressor for summary in summaries} == {"none", *methods}
    assert [summary.failed for summary in summaries] == [0] * len(summaries)
