"""What every compressor must hold: all options in conf/compressor, with all their switches.
Those of the KV cache are in `test_kv_conformance`.

A new method needs no test here: its YAML file is found, every combination of its boolean and
enumerated settings that the schema allows is built, and its stage says which contract it meets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch

from freqexp.answering.cache import moved
from freqexp.answering.storage import keep_deepstack
from freqexp.codecs.base import COMPONENTS, Codec, CodecResult, decode
from freqexp.coding.bitstream import BitstreamError
from freqexp.composing.compose import compose
from freqexp.errors import ConfigError, UserError
from freqexp.kv.base import KVMethod
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import CompressedTokens, LayerView, Signal, VisionTokens
from freqexp.paths import conf_dir
from freqexp.schemas.codecs import LosslessConfig
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.method import CompressorConfig, StageName
from freqexp.schemas.profile import ProfileConfig
from freqexp.schemas.section import option_name
from freqexp.tokens.base import TokenCompressor
from freqexp.tokens.layer_base import LayerMethod
from freqexp.tokens.truncate import Truncate

KEEP_RATIOS = (0.01, 0.3, 0.5, 0.7, 1.0)
GRIDS = ((12, 12), (30, 21), (1, 7), (7, 1), (1, 1))
PROFILES = sorted(path.stem for path in (conf_dir() / "profile").glob("*.yaml"))
OPTIONS = sorted(path.stem for path in (conf_dir() / "compressor").glob("*.yaml"))


@dataclass(frozen=True)
class Case:
    """A method as Hydra composed it, with one combination of its switches.

    faults: why it can't be built here.
    """

    name: str
    config: CompressorConfig
    faults: tuple[str, ...] = ()

    def build(
        self, keep_ratio: float, profile: str = "aggressive"
    ) -> Codec | TokenCompressor | LayerMethod | KVMethod | Truncate | None:
        return self.config.build(keep_ratio, load_profile(profile))


@cache
def load_profile(name: str) -> ProfileConfig:
    return compose((f"profile={name}",)).profile


def switches(config: CompressorConfig) -> Iterator[dict[str, object]]:
    """Every combination of the boolean and enumerated settings."""
    choices: dict[str, list[object]] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, bool):
            choices[field.name] = [True, False]
        elif isinstance(value, Enum):
            choices[field.name] = list(type(value))
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def all_cases() -> list[Case]:
    """The combinations that the schema allows, of every option; of one that this machine can't
    build, such as a program that is not installed, the option with what the schema says.
    """
    cases: list[Case] = []
    schemas = {option_name(schema): schema for schema in COMPRESSORS}
    for option in OPTIONS:
        try:
            needed = ("model.input=text",) if schemas[option].stage == "text" else ()
            composed = compose((f"compressor={option}", *needed)).compressor
        except ConfigError as error:
            cases.append(Case(option, schemas[option](name=option), error.faults))
            continue
        for settings in switches(composed):
            config = replace(composed, **settings)  # type: ignore[arg-type]
            if not config.check("compressor"):
                shown = [getattr(value, "name", str(value)) for value in settings.values()]
                pairs = [f"{k}={v}" for k, v in zip(settings, shown, strict=True)]
                cases.append(Case(",".join([option, *pairs]), config))
    return cases


CASES = all_cases()


def of_stage(stage: str) -> pytest.MarkDecorator:
    chosen = [
        pytest.param(case, id=case.name, marks=[pytest.mark.skip("; ".join(case.faults))])
        if case.faults
        else pytest.param(case, id=case.name)
        for case in CASES
        if case.config.stage == stage
    ]
    return pytest.mark.parametrize("case", chosen)


def build_codec(case: Case, keep_ratio: float, profile: str = "aggressive") -> Codec:
    codec = case.build(keep_ratio, profile)
    assert isinstance(codec, Codec)
    return codec


def build_token(case: Case, keep_ratio: float, profile: str = "aggressive") -> TokenCompressor:
    compressor = case.build(keep_ratio, profile)
    assert isinstance(compressor, TokenCompressor)
    return compressor


def make_pages(text_page: Pixels, colour_page: Pixels) -> list[Pixels]:
    """Text, colour, blank, smaller than any block, a single pixel; all read-only."""
    blank = np.full((45, 31), 255, dtype=np.uint8)
    pages = [text_page[:70, :98], text_page[:61, :90], colour_page[:40, :50]]
    pages += [blank, text_page[12:17, 12:21], text_page[12:13, 12:13]]
    copies = [page.copy() for page in pages]
    for page in copies:
        page.flags.writeable = False
    return copies


def make_tokens(
    grid: tuple[int, int], dtype: torch.dtype = torch.float32, budget: int | None = None
) -> VisionTokens:
    """A page that is blank from the middle of each line on, with every signal there is."""
    size, rng = grid[0] * grid[1], np.random.default_rng(grid)
    features = torch.from_numpy(rng.normal(size=(size, 16))).to(dtype)
    pixels = rng.integers(0, 256, (*grid, 4, 4, 3), dtype=np.uint8)
    pixels[:, grid[1] // 2 :] = 255
    attention = torch.from_numpy(rng.random(size)).float()
    signals: dict[Signal, torch.Tensor] = {
        "pixels": torch.from_numpy(pixels).flatten(0, 1),
        "attention": attention / attention.sum(),
        "keys": torch.from_numpy(rng.normal(size=(size, 8))).float(),
        "question": torch.from_numpy(rng.normal(size=(5, 16))).to(dtype),
    }
    return VisionTokens(features, grid, signals=signals, budget=budget)


def only_signals(tokens: VisionTokens, names: tuple[Signal, ...]) -> VisionTokens:
    return replace(tokens, signals={name: tokens.signals[name] for name in names})


def as_asked(tokens: VisionTokens, compressor: TokenCompressor) -> VisionTokens:
    """With the signals that a compressor asks for and no other; before the encoder, the tokens that
    it lets through.
    """
    asked = only_signals(tokens, compressor.signals)
    if not compressor.before_encoder:
        return asked
    places = compressor.choose(tokens.signals["pixels"], tokens.grid)
    return replace(asked, features=tokens.features[places], places=places, signals={})


def same_page(one: CodecResult, other: CodecResult) -> bool:
    same_counts = (one.nominal_ratio, one.stored_bytes) == (other.nominal_ratio, other.stored_bytes)
    return same_counts and np.array_equal(one.pixels, other.pixels)


def same_tokens(one: CompressedTokens, other: CompressedTokens) -> bool:
    same_counts = (one.nominal_ratio, one.stored_bytes) == (other.nominal_ratio, other.stored_bytes)
    same_places = torch.equal(one.kept, other.kept) and one.grid == other.grid
    return same_counts and same_places and torch.equal(one.features, other.features)


def check_counts(nominal_ratio: float | None, stored_bytes: int | None) -> None:
    """A ratio of at least one and a positive number of bytes, where they exist."""
    assert nominal_ratio is None or nominal_ratio >= 1
    assert stored_bytes is None or stored_bytes > 0


def test_the_stages_are_all_there() -> None:
    assert {case.config.stage for case in CASES} == set(get_args(StageName))
    names = {case.config.name for case in CASES}
    assert names == set(OPTIONS)
    # Skipped for want of a program and for nothing else.
    assert all("not found" in fault for case in CASES for fault in case.faults)


@of_stage("none")
def test_the_baseline_is_no_compressor(case: Case) -> None:
    assert case.build(0.5) is None
    assert case.config.parts(0.5) == ()


@of_stage("combined")
def test_a_combination_is_made_of_methods_in_the_order_of_their_stages(case: Case) -> None:
    parts = case.config.parts(0.5)
    assert [part.config.stage for part in parts] == ["codec", "token"]
    assert [part.keep_ratio for part in parts] == [0.5, 0.5]
    assert {part.config.name for part in parts} <= {case.config.name for case in CASES}
    for uses in ("uses_keep_ratio", "uses_profile"):
        assert getattr(case.config, uses) == any(getattr(part.config, uses) for part in parts)


@of_stage("codec")
@pytest.mark.parametrize("keep_ratio", KEEP_RATIOS)
def test_codec_result(
    case: Case, keep_ratio: float, text_page: Pixels, colour_page: Pixels
) -> None:
    codec = build_codec(case, keep_ratio)
    for page in make_pages(text_page, colour_page):
        before = page.copy()
        result = codec.compress(page)
        assert result.pixels.dtype == np.uint8
        assert result.pixels.shape[2:] == page.shape[2:]
        if codec.keeps_size:
            assert result.pixels.shape == page.shape
        check_counts(result.nominal_ratio, result.stored_bytes)
        assert (result.stored_bytes is None) == codec.simulated
        assert sum(result.components.values()) == (result.stored_bytes or 0)
        assert set(result.components) <= set(COMPONENTS)
        np.testing.assert_array_equal(page, before)
        assert same_page(codec.compress(page), result)
        assert same_page(build_codec(case, keep_ratio).compress(page), result)
        assert np.array_equal(codec.restored(page), result.pixels)


@of_stage("codec")
def test_codec_error_falls_with_keep_ratio(
    case: Case, text_page: Pixels, colour_page: Pixels
) -> None:
    for page in make_pages(text_page, colour_page)[:3]:
        results = [build_codec(case, ratio).compress(page) for ratio in KEEP_RATIOS]
        counts = [result.nominal_ratio for result in results if result.nominal_ratio is not None]
        assert counts == sorted(counts, reverse=True)
        if not case.config.uses_keep_ratio:
            # Lossless, or so at the few levels that the format has.
            lossless = isinstance(case.config, LosslessConfig)
            kept = page if lossless else build_codec(case, 0.5).compress(results[0].pixels).pixels
            assert all(np.array_equal(result.pixels, kept) for result in results)
        elif build_codec(case, 0.5).keeps_size:
            best = results[-1].pixels.astype(np.int64)
            errors = [int(((result.pixels - best) ** 2).sum()) for result in results]
            assert errors == sorted(errors, reverse=True)
            assert errors[0] > 0


@of_stage("codec")
def test_codec_rate_rises_with_keep_ratio(
    case: Case, text_page: Pixels, colour_page: Pixels
) -> None:
    for page in (text_page[:140, :300], text_page[:70, :98], colour_page[:70, :98]):
        codecs = [build_codec(case, ratio) for ratio in KEEP_RATIOS]
        if not codecs[0].simulated:
            sizes = [len(codec.encode(page)) for codec in codecs]
            assert sizes == sorted(sizes)
            assert (sizes[0] < sizes[-1]) == case.config.uses_keep_ratio


@of_stage("codec")
def test_codec_result_is_its_decoded_bitstream(
    case: Case, text_page: Pixels, colour_page: Pixels
) -> None:
    codec = build_codec(case, 0.3)
    for page in make_pages(text_page, colour_page) if not codec.simulated else ():
        data = codec.encode(page)
        result = codec.compress(page)
        np.testing.assert_array_equal(decode(data), result.pixels)
        assert result.stored_bytes == len(data) + codec.shared_bytes


@of_stage("codec")
def test_codec_bitstream_that_is_not_whole(case: Case, text_page: Pixels) -> None:
    codec = build_codec(case, 0.3)
    if codec.simulated:
        return
    data = codec.encode(text_page[:29, :45])
    for length in range(0, len(data), 7):
        with pytest.raises(BitstreamError, match=r"truncated|empty"):
            decode(data[:length])
    for place in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            decode(bytes(damaged))
    with pytest.raises(BitstreamError, match="2 bytes follow"):
        decode(data + b"\0\0")


@of_stage("codec")
def test_codec_without_a_bitstream_keeps_everything_at_one(
    case: Case, text_page: Pixels, colour_page: Pixels
) -> None:
    codec = build_codec(case, 1.0)
    for page in make_pages(text_page, colour_page):
        result = codec.compress(page)
        if codec.simulated and result.pixels.shape == page.shape:
            np.testing.assert_array_equal(result.pixels, page)
            assert result.nominal_ratio in (None, 1)


@of_stage("codec")
def test_codec_is_the_same_with_any_number_of_threads(case: Case, text_page: Pixels) -> None:
    codec = build_codec(case, 0.5)
    results = [codec.compress(text_page[:300, :300]) for _ in each_thread_count()]
    assert all(same_page(result, results[0]) for result in results)


@of_stage("codec")
def test_codec_uses_only_what_its_schema_says(case: Case, text_page: Pixels) -> None:
    page = text_page[:70, :98]
    if not case.config.uses_profile:
        results = [build_codec(case, 0.5, name).compress(page) for name in PROFILES]
        assert all(same_page(result, results[0]) for result in results)
    if not case.config.uses_keep_ratio:
        results = [build_codec(case, ratio).compress(page) for ratio in KEEP_RATIOS]
        assert all(same_page(result, results[0]) for result in results)


def check_count(compressor: TokenCompressor, kept: int, wanted: int) -> None:
    """Whether as many tokens stay as the compressor's word for it allows."""
    if compressor.adaptive:
        return
    assert kept == wanted if compressor.fills_budget else 1 <= kept <= wanted


@of_stage("token")
@pytest.mark.parametrize("keep_ratio", KEEP_RATIOS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_token_result(case: Case, keep_ratio: float, dtype: torch.dtype) -> None:
    compressor = build_token(case, keep_ratio)
    for grid in GRIDS:
        tokens = as_asked(make_tokens(grid, dtype), compressor)
        before, size = tokens.features.clone(), grid[0] * grid[1]
        result = compressor.compress(tokens)
        assert result.features.dtype == dtype
        assert result.features.shape == (len(result.kept), 16)
        assert bool(torch.isfinite(result.features).all())
        assert result.kept.dtype == torch.int64
        assert result.kept.device == result.features.device == tokens.features.device
        assert result.kept.tolist() == sorted(set(result.kept.tolist()))
        assert 0 <= int(result.kept[0]) <= int(result.kept[-1]) < size
        assert result.grid == grid
        wanted = size if compressor.simulated else max(1, math.floor(keep_ratio * size + 0.5))
        check_count(compressor, len(result.kept), wanted)
        check_counts(result.nominal_ratio, result.stored_bytes)
        assert torch.equal(tokens.features, before)
        assert same_tokens(compressor.compress(tokens), result)
        assert same_tokens(build_token(case, keep_ratio).compress(tokens), result)


@of_stage("token")
def test_token_compressor_says_what_its_schema_says(case: Case) -> None:
    compressor = build_token(case, 0.5)
    assert compressor.signals == case.config.signals
    assert compressor.before_encoder == case.config.before_encoder
    assert compressor.adaptive == case.config.adaptive
    assert not (compressor.adaptive and case.config.uses_keep_ratio)


@of_stage("token")
def test_token_budget_goes_before_the_keep_ratio(case: Case) -> None:
    compressor = build_token(case, 0.5)
    for grid in GRIDS:
        size = grid[0] * grid[1]
        for budget in {1, (size + 2) // 3, size}:
            tokens = as_asked(make_tokens(grid, budget=budget), compressor)
            wanted = size if compressor.simulated else budget
            check_count(compressor, len(compressor.compress(tokens).kept), wanted)
    if compressor.adaptive or compressor.simulated:
        return
    for budget in (0, 145):
        with pytest.raises(ValueError, match=f"keep_tokens: got {budget}, allowed: 1 to .* 144"):
            compressor.compress(as_asked(make_tokens((12, 12), budget=budget), compressor))


@of_stage("token")
def test_token_compressor_of_a_page_of_equal_tokens(case: Case) -> None:
    for value, keep_ratio in itertools.product((0.0, 1.0), (0.01, 0.5)):
        compressor, page = build_token(case, keep_ratio), make_tokens((6, 5))
        flat: dict[Signal, torch.Tensor] = {
            "pixels": torch.full_like(page.signals["pixels"], 255),
            "attention": torch.full_like(page.signals["attention"], 1 / 30),
            "keys": torch.full_like(page.signals["keys"], value),
            "question": torch.full_like(page.signals["question"], value),
        }
        page = replace(page, features=torch.full_like(page.features, value), signals=flat)
        result = compressor.compress(as_asked(page, compressor))
        assert result.kept.tolist() == sorted(set(result.kept.tolist()))
        assert bool(torch.isfinite(result.features).all())
        if not compressor.simulated:
            check_count(compressor, len(result.kept), max(1, math.floor(keep_ratio * 30 + 0.5)))


@of_stage("token")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_token_features_that_are_no_numbers(case: Case, value: float) -> None:
    compressor = build_token(case, 0.5)
    tokens = as_asked(make_tokens((12, 12)), compressor)
    tokens.features[3, 5] = value
    with pytest.raises(UserError, match="NaN or infinity"):
        compressor.compress(tokens)


@of_stage("token")
def test_token_sets_are_nested(case: Case) -> None:
    if not build_token(case, 0.5).nested:
        return
    for grid in GRIDS:
        built = [build_token(case, ratio) for ratio in KEEP_RATIOS]
        results = [each.compress(as_asked(make_tokens(grid), each)) for each in built]
        kept = [set(result.kept.tolist()) for result in results]
        assert all(fewer <= more for fewer, more in itertools.pairwise(kept))


@of_stage("token")
def test_token_compressor_that_keeps_everything_is_simulated(case: Case) -> None:
    compressor = build_token(case, 1.0)
    assert compressor.simulated != compressor.adaptive
    exact = not case.config.uses_profile and not compressor.quantises
    if exact and not compressor.adaptive:
        for grid in GRIDS:
            tokens = as_asked(make_tokens(grid), compressor)
            assert torch.equal(compressor.compress(tokens).features, tokens.features)


@of_stage("token")
def test_token_deep_stack_goes_the_way_of_its_tokens(case: Case) -> None:
    """With the features as a level of the deep stack, what becomes of it is what became of them,
    unless these went through a transform or a quantiser of their own.
    """
    for grid in ((12, 12), (5, 7)):
        compressor = build_token(case, 0.5)
        tokens = as_asked(make_tokens(grid, torch.float64), compressor)
        levels = (tokens.features.clone(), -2 * tokens.features)
        given = replace(tokens, deepstack=levels)
        result = keep_deepstack(given, compressor.compress(given))
        assert torch.equal(result.features, compressor.compress(tokens).features)
        assert [level.shape for level in result.deepstack] == [result.features.shape] * 2
        own = case.config.uses_profile or compressor.quantises
        if not own and not getattr(case.config, "transform", False):
            torch.testing.assert_close(result.deepstack[0], result.features)
            torch.testing.assert_close(result.deepstack[1], -2 * result.features)


@of_stage("token")
def test_token_compressor_is_the_same_with_any_number_of_threads(case: Case) -> None:
    compressor = build_token(case, 0.5)
    tokens = as_asked(make_tokens((30, 21)), compressor)
    results = [compressor.compress(tokens) for _ in each_thread_count()]
    for result in results:
        assert torch.equal(result.kept, results[0].kept)
        torch.testing.assert_close(result.features, results[0].features, rtol=1e-6, atol=1e-6)


@of_stage("token")
def test_token_compressor_uses_only_what_its_schema_says(case: Case) -> None:
    tokens = as_asked(make_tokens((12, 12)), build_token(case, 0.5))
    if not case.config.uses_profile:
        results = [build_token(case, 0.5, name).compress(tokens) for name in PROFILES]
        assert all(same_tokens(result, results[0]) for result in results)
    if not case.config.uses_keep_ratio:
        results = [build_token(case, ratio).compress(tokens) for ratio in KEEP_RATIOS]
        assert all(same_tokens(result, results[0]) for result in results)


@of_stage("token")
def test_token_compressor_without_a_signal_it_needs(case: Case) -> None:
    compressor = build_token(case, 0.5)
    for name in () if compressor.before_encoder else compressor.signals:
        rest = tuple(other for other in compressor.signals if other != name)
        with pytest.raises(ValueError, match=name):
            compressor.compress(only_signals(make_tokens((12, 12)), rest))


@pytest.mark.parametrize("profile", PROFILES)
def test_token_compressors_take_every_profile(profile: str) -> None:
    tokens = make_tokens((30, 21))
    cases = [c for c in CASES if c.config.stage == "token" and not c.faults]
    used = [case for case in cases if case.config.uses_profile]
    assert used
    for case in used:
        result = build_token(case, 0.5, profile).compress(tokens)
        assert bool(torch.isfinite(result.features).all())
        assert result.nominal_ratio is not None
        assert result.nominal_ratio > 1


@of_stage("token")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_token_compressor_is_the_same_on_a_gpu(case: Case) -> None:
    for grid in GRIDS:
        compressor = build_token(case, 0.5)
        tokens = as_asked(make_tokens(grid), compressor)
        expected = compressor.compress(tokens)
        result = build_token(case, 0.5).compress(moved(tokens, "cuda"))
        assert result.features.is_cuda
        assert torch.equal(result.kept.cpu(), expected.kept)
        torch.testing.assert_close(result.features.cpu(), expected.features, rtol=1e-6, atol=1e-6)


def each_thread_count() -> Iterator[int]:
    """Set torch to 1, 2 and 5 threads in turn, and back."""
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            yield count
    finally:
        torch.set_num_threads(threads)


def make_view(vision: int, others: int = 9) -> LayerView:
    """A request whose vision tokens stand between other ones."""
    random = np.random.default_rng((vision, others))
    length = vision + others

    def noise(*shape: int) -> torch.Tensor:
        return torch.from_numpy(random.normal(size=shape)).float()

    places = torch.arange(vision) + others // 2
    return LayerView(noise(length, 16), noise(2, length, 8), noise(4, 8), 8**-0.5, places)


@of_stage("decoder")
def test_a_method_inside_the_decoder_keeps_what_it_says(case: Case) -> None:
    """As many as the keep ratio or a budget says, in order, deterministic, nested where it says
    so, and no key of the profile reaches it.
    """
    assert case.config.uses_keep_ratio
    assert not case.config.uses_profile
    for tokens in (1, 7, 144):
        view, last = make_view(tokens), set[int]()
        for keep_ratio in KEEP_RATIOS:
            method = case.build(keep_ratio)
            assert isinstance(method, LayerMethod)
            assert method.layer == getattr(case.config, "layer", None)
            assert method.simulated == (keep_ratio == 1)
            kept = method.choose(view)
            count = max(1, math.floor(keep_ratio * tokens + 0.5))
            assert (kept.dtype, kept.shape) == (torch.int64, (count,))
            assert int(kept[0]) >= 0
            assert int(kept[-1]) < tokens
            assert bool((kept[1:] > kept[:-1]).all())
            again = case.build(keep_ratio)
            assert isinstance(again, LayerMethod)
            chosen = [again.choose(view) for _ in each_thread_count()]
            assert all(torch.equal(places, kept) for places in chosen)
            budgeted = again.choose(replace(view, budget=count))
            assert torch.equal(budgeted, kept)
            assert not method.nested or last <= set(kept.tolist())
            last = set(kept.tolist())
            for name in ("hidden", "keys", "query", "vision"):
                assert torch.equal(getattr(view, name), getattr(make_view(tokens), name))


@of_stage("text")
def test_a_method_on_text_leaves_the_newest_turns(case: Case) -> None:
    """No more tokens than the keep ratio or a budget says, those of the text's end; nested."""
    assert case.config.uses_keep_ratio
    assert case.config.uses_keep_tokens
    assert not case.config.uses_budget
    assert not case.config.uses_profile

    def tokenize(text: str) -> torch.Tensor:
        return torch.tensor([ord(letter) for letter in text], dtype=torch.int64)

    for turns in (["abc\n"], ["one\n", "twotwo\n", "three is longest\n", "4\n"]):
        whole, last = tokenize("".join(turns)), 0
        for keep_ratio in KEEP_RATIOS:
            method = case.build(keep_ratio)
            assert isinstance(method, Truncate)
            assert method.simulated == (keep_ratio == 1)
            kept = method.newest(turns, whole, tokenize)
            most = max(1, math.floor(keep_ratio * len(whole) + 0.5))
            assert 1 <= len(kept) <= most
            assert torch.equal(kept, whole[-len(kept) :])
            again = method.newest(turns, whole, tokenize, most)
            assert torch.equal(again, kept)
            assert len(kept) >= last
            last = len(kept)
        assert last == len(whole)
