"""What every family must hold, with a small random checkpoint of the real class on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from reader_checkpoints import HEAD_DIM, KV_HEADS, LAYERS, Plain, configure, noise_pages
from torch import Tensor

from freqexp.errors import UserError
from freqexp.nouns.vision import CompressedTokens, VisionTokens, keep_all
from freqexp.readers.base import Answer, Request
from freqexp.readers.families.hf import HfReader
from freqexp.readers.load import load_reader
from freqexp.schemas.choices import Dtype
from freqexp.tokens.dct import TokenDct

if TYPE_CHECKING:
    from conftest import Loaded

QUESTION = "What does page 2 say, and why?"
ONE_PAGE = ((3, 4),)
PAGES = ((3, 4), (2, 5), (4, 2))
FLOAT32_BYTES = 4


def keep(page: VisionTokens, kept: Tensor) -> CompressedTokens:
    deepstack = tuple(layer[kept] for layer in page.deepstack)
    return CompressedTokens(page.features[kept], kept, page.grid, deepstack=deepstack)


def half(vision: Sequence[VisionTokens]) -> list[CompressedTokens]:
    """Half of each page's tokens, as the encoder made them."""
    compressor = TokenDct(keep_ratio=0.5, transform=False, quantize=False)
    return [keep(page, compressor.compress(page).kept) for page in vision]


def check_cache(answer: Answer, tokens: int) -> None:
    assert answer.decoder_tokens == tokens
    assert answer.cache_tokens == (tokens,) * LAYERS
    assert answer.kv_cache_bytes == tokens * 2 * LAYERS * KV_HEADS * HEAD_DIM * FLOAT32_BYTES


@pytest.mark.parametrize("sizes", [ONE_PAGE, PAGES], ids=["one", "several"])
def test_everything_kept_is_plain_generate(
    loaded: Loaded, sizes: tuple[tuple[int, int], ...]
) -> None:
    pages = noise_pages(loaded.kind, sizes)
    vision = loaded.reader.encode(pages)
    assert [page.grid for page in vision] == list(sizes)
    answer = loaded.reader.answer(QUESTION, [keep_all(page) for page in vision])
    expected = loaded.plain.generate(QUESTION, pages)
    assert answer.text == answer.raw_text == expected
    assert len(set(expected)) > 3
    assert answer.truncated
    assert answer.new_tokens == 12
    assert answer.vision_tokens_in == answer.vision_tokens_out == sum(r * c for r, c in sizes)
    check_cache(answer, loaded.plain.inputs(QUESTION, pages)["input_ids"].shape[1])


def test_half_precision_is_plain_generate(loaded: Loaded) -> None:
    reader = load_reader(replace(configure(loaded.kind, loaded.folder), dtype=Dtype.bfloat16))
    plain = Plain.load(loaded.kind, loaded.folder, dtype=torch.bfloat16)
    pages = noise_pages(loaded.kind, ONE_PAGE)
    vision = reader.encode(pages)
    answer = reader.answer(QUESTION, [keep_all(page) for page in vision])
    assert vision[0].features.dtype == torch.bfloat16
    assert answer.text == plain.generate(QUESTION, pages)
    float32 = loaded.reader.answer(QUESTION, [keep_all(p) for p in loaded.reader.encode(pages)])
    assert 2 * answer.kv_cache_bytes == float32.kv_cache_bytes


@pytest.mark.parametrize("sizes", [ONE_PAGE, PAGES], ids=["one", "several"])
def test_half_the_tokens_decode_as_by_hand(
    loaded: Loaded, sizes: tuple[tuple[int, int], ...]
) -> None:
    pages = noise_pages(loaded.kind, sizes)
    compressed = half(loaded.reader.encode(pages))
    answer = loaded.reader.answer(QUESTION, compressed)
    kept = [page.kept for page in compressed]
    assert answer.text == loaded.plain.pruned_by_hand(QUESTION, pages, kept)
    assert answer.text != loaded.plain.generate(QUESTION, pages)
    assert answer.vision_tokens_in == sum(r * c for r, c in sizes)
    assert answer.vision_tokens_out == answer.vision_tokens_in // 2
    full = loaded.plain.inputs(QUESTION, pages)["input_ids"].shape[1]
    check_cache(answer, full - answer.vision_tokens_in // 2)


def requests_of(loaded: Loaded) -> list[Request]:
    """Three requests of different lengths, one of them compressed."""
    encode = loaded.reader.encode
    one, two, three = (
        noise_pages(loaded.kind, s, i) for i, s in enumerate([PAGES, ONE_PAGE, PAGES])
    )
    return [
        Request(QUESTION, [keep_all(page) for page in encode(one)]),
        Request("Who?", [keep_all(page) for page in encode(two)]),
        Request(QUESTION * 2, half(encode(three))),
    ]


def test_a_batch_answers_as_one_by_one(loaded: Loaded) -> None:
    requests = requests_of(loaded)
    together = loaded.reader.answer_batch(requests)
    alone = [loaded.reader.answer(request.question, request.vision) for request in requests]
    assert len({answer.text for answer in alone}) == 3
    for one, batched in zip(alone, together, strict=True):
        times = {"prefill_ms": one.prefill_ms, "decode_ms": one.decode_ms}
        assert (one.batch_size, batched.batch_size) == (1, 3)
        assert replace(batched, **times, batch_size=1) == one
    assert loaded.reader.answer_batch([]) == []


def test_a_repetition_penalty_is_the_same_in_a_batch(loaded: Loaded) -> None:
    config = replace(configure(loaded.kind, loaded.folder), repetition_penalty=8.0)
    reader = load_reader(config)
    requests = requests_of(loaded)
    together = reader.answer_batch(requests)
    alone = [reader.answer(request.question, request.vision) for request in requests]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    pages = noise_pages(loaded.kind, PAGES, 0)
    assert alone[0].text == loaded.plain.generate(QUESTION, pages, repetition_penalty=8.0)
    assert alone[0].text != loaded.plain.generate(QUESTION, pages)


def test_the_length_is_known_before_answering(loaded: Loaded) -> None:
    for request in requests_of(loaded):
        answer = loaded.reader.answer(request.question, request.vision)
        assert loaded.reader.prompt_tokens(request) == answer.decoder_tokens


def test_kept_tokens_have_the_positions_of_the_full_sequence(loaded: Loaded) -> None:
    pages = noise_pages(loaded.kind, PAGES)
    vision = loaded.reader.encode(pages)
    inputs = loaded.plain.inputs(QUESTION, pages)
    full, _ = loaded.plain.model.model.get_rope_index(
        inputs["input_ids"],
        inputs["mm_token_type_ids"],
        image_grid_thw=inputs["image_grid_thw"],
    )
    everything = loaded.reader.prompt(Request(QUESTION, [keep_all(page) for page in vision]))
    assert torch.equal(everything.ids, inputs["input_ids"][0])
    assert torch.equal(everything.positions[1:], full[:, 0])
    pruned = loaded.reader.prompt(
        Request(QUESTION, [keep(p, torch.tensor([1, 6])) for p in vision])
    )
    is_image = (pruned.ids == loaded.reader.image_id).nonzero()[:, 0]
    grid = pruned.positions[2:, is_image] - pruned.positions[1, is_image]
    expected = [[k // columns, k % columns] for _, columns in PAGES for k in (1, 6)]
    assert grid.T.tolist() == expected
    assert pruned.positions[1:, -1].tolist() == full[:, 0, -1].tolist()
    assert pruned.positions[0].tolist() == list(range(len(pruned.ids)))


def hooks_and_state(reader: HfReader) -> list[object]:
    modules = list(reader.model.modules())
    state: list[object] = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules]
    return [*state, [vars(m).get("forward") for m in modules], reader.model.model.rope_deltas]


def test_nothing_is_left_on_the_model_after_an_exception(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = loaded.reader
    kept = [keep_all(page) for page in reader.encode(noise_pages(loaded.kind, ONE_PAGE))]
    before = hooks_and_state(reader)
    expected = reader.answer(QUESTION, kept).text
    assert hooks_and_state(reader) == before

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(reader.model.lm_head, "forward", fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            reader.answer(QUESTION, kept)
    assert hooks_and_state(reader) == before
    assert reader.answer(QUESTION, kept).text == expected


def test_encodings_are_the_same_alone_and_among_others(loaded: Loaded) -> None:
    pages = noise_pages(loaded.kind, PAGES)
    together = loaded.reader.encode(pages)
    alone = [loaded.reader.encode([page])[0] for page in pages]
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.features, other.features)


def test_no_pages(loaded: Loaded) -> None:
    with pytest.raises(UserError, match="got no pages"):
        loaded.reader.encode([])
    with pytest.raises(UserError, match="got no pages"):
        loaded.reader.answer(QUESTION, [])


def test_tokens_that_do_not_fit(loaded: Loaded) -> None:
    vision = loaded.reader.encode(noise_pages(loaded.kind, PAGES))
    good, page = [keep_all(other) for other in vision[:1]], keep_all(vision[1])
    channels = page.features.shape[1]
    for wrong, said in [
        (replace(page, features=page.features[:-1]), r"features \(9, 64\)"),
        (replace(page, features=torch.zeros(10, channels + 1)), r"features \(10, 65\)"),
        (replace(page, grid=(3, 3)), "positions on its 3 x 3 grid"),
        (replace(page, kept=page.kept.flip(0)), "strictly increasing"),
        (replace(page, kept=page.kept.float()), "allowed: int64"),
        (replace(page, deepstack=(page.features,) * 5), "deep-stack features"),
    ]:
        with pytest.raises(UserError, match=rf"^page 2: .*{said}"):
            loaded.reader.answer(QUESTION, [*good, wrong])


def test_pages_outside_the_limits(loaded: Loaded) -> None:
    large = np.zeros((3000, 3000), np.uint8)
    with pytest.raises(UserError, match=r"^page 2: got 3000 x 3000 px, allowed: at most \d+ px"):
        loaded.reader.encode([*noise_pages(loaded.kind, ONE_PAGE), large])
    with pytest.raises(UserError, match=r"^page 1: got 30000 x 1 px"):
        loaded.reader.encode([np.zeros((1, 30000), np.uint8)])


def test_pixel_limits_of_the_configuration(loaded: Loaded) -> None:
    side = 2 * loaded.kind.patch
    config = configure(loaded.kind, loaded.folder)
    limits = {"min_pixels": 20 * side**2, "max_pixels": 30 * side**2}
    reader = load_reader(replace(config, **limits))
    vision = reader.encode([np.zeros((side * 2, side * 2), np.uint8)])
    assert vision[0].grid == (5, 5)
    with pytest.raises(UserError, match=rf"at most {30 * side**2} px in all \(30 vision tokens\)"):
        reader.encode([np.zeros((side * 6, side * 6), np.uint8)])


def test_a_sample_beyond_the_context_says_the_numbers(loaded: Loaded) -> None:
    vision = loaded.reader.encode(noise_pages(loaded.kind, PAGES))
    config = replace(configure(loaded.kind, loaded.folder), context=79)
    reader = load_reader(config)
    everything = [keep_all(page) for page in vision]
    with pytest.raises(UserError, match=r"needs 68 prompt and 12 new tokens, allowed: at most 79"):
        reader.answer(QUESTION, everything)
    assert reader.answer(QUESTION, half(vision)).text
    with pytest.raises(UserError, match=r"needs 53 prompt \(68 before compression\)"):
        load_reader(replace(config, context=64)).answer(QUESTION, half(vision))
    with pytest.raises(UserError, match=r"model\.context: got 4096, allowed: at most 2048"):
        load_reader(replace(config, context=4096))


def test_a_placeholder_in_the_question_is_refused(loaded: Loaded) -> None:
    vision = [keep_all(p) for p in loaded.reader.encode(noise_pages(loaded.kind, ONE_PAGE))]
    with pytest.raises(UserError, match=r"question: must not contain '<\|image\|>'"):
        loaded.reader.answer("what is <|image|>?", vision)


def test_a_checkpoints_own_settings_do_not_act(loaded: Loaded) -> None:
    """`generate` fills what it is not told from the model: there is nothing to fill it from."""
    reader = load_reader(configure(loaded.kind, loaded.folder))
    assert isinstance(reader, HfReader)
    told = dict(reader.generation)
    assert (told["do_sample"], told["repetition_penalty"]) == (False, 1.0)
    assert told["max_new_tokens"] == 12
    assert not {"no_repeat_ngram_size", "set_aside"} & set(told)


def test_logits_that_are_no_numbers_are_an_error(loaded: Loaded) -> None:
    reader = load_reader(configure(loaded.kind, loaded.folder))
    assert isinstance(reader, HfReader)
    tokens = [keep_all(page) for page in reader.encode(noise_pages(loaded.kind, ONE_PAGE))]
    with torch.no_grad():
        next(reader.text_model.layers[0].parameters()).view(-1)[0] = float("nan")
    with pytest.raises(UserError, match=r"logits are not finite"):
        reader.answer(QUESTION, tokens)


def test_a_repetition_penalty_of_the_checkpoint_is_told_and_in_effect(loaded: Loaded) -> None:
    from freqexp.readers.decoding import greedy

    reader = load_reader(configure(loaded.kind, loaded.folder))
    assert isinstance(reader, HfReader)
    pages = noise_pages(loaded.kind, ONE_PAGE)
    tokens = [keep_all(page) for page in reader.encode(pages)]
    plain = reader.answer(QUESTION, tokens).raw_text
    own = reader.model.generation_config
    own.repetition_penalty = 8.0
    config = configure(loaded.kind, loaded.folder)
    reader._generation = greedy(own, config)
    assert reader.generation["repetition_penalty"] == 8.0
    assert reader.answer(QUESTION, tokens).raw_text != plain
    # The configuration's takes the place of the checkpoint's.
    reader._generation = greedy(own, replace(config, repetition_penalty=1.0))
    assert reader.generation["repetition_penalty"] == 1.0
    assert reader.answer(QUESTION, tokens).raw_text == plain


def test_a_warm_up_changes_no_answer(loaded: Loaded) -> None:
    reader = load_reader(configure(loaded.kind, loaded.folder))
    tokens = half(reader.encode(noise_pages(loaded.kind, ONE_PAGE)))
    before = reader.answer(QUESTION, tokens)
    assert reader.warms_up
    reader.warm_up(Request(QUESTION, tokens))
    after = reader.answer(QUESTION, tokens)
    assert (after.raw_text, after.new_tokens) == (before.raw_text, before.new_tokens)


def test_a_checkpoint_cannot_take_the_cache_or_the_tokens_away(loaded: Loaded) -> None:
    reader = load_reader(configure(loaded.kind, loaded.folder))
    assert isinstance(reader, HfReader)
    tokens = [keep_all(page) for page in reader.encode(noise_pages(loaded.kind, ONE_PAGE))]
    before = reader.answer(QUESTION, tokens)
    reader.model.generation_config.use_cache = False
    reader.model.generation_config.return_dict_in_generate = True
    after = reader.answer(QUESTION, tokens)
    assert (after.raw_text, after.kv_cache_bytes) == (before.raw_text, before.kv_cache_bytes)
