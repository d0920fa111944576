"""What every token compressor must hold."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import partial

import torch

from freqexp.answering.cache import moved
from freqexp.answering.storage import keep_deepstack
from freqexp.conform.cases import KEEP_RATIOS, PROFILES, Case
from freqexp.conform.expect import (
    REFUSALS,
    alike,
    each_thread_count,
    expect,
    need_gpu,
    refuses,
)
from freqexp.conform.inputs import GRIDS, as_asked, make_tokens, only_signals
from freqexp.conform.token_tools import check_count, check_places, same_tokens
from freqexp.errors import UserError
from freqexp.nouns.vision import Signal
from freqexp.tokens.base import TokenCompressor


def leaves_what_it_says(case: Case) -> None:
    """As many tokens as asked for, in order, in their dtype; the input left alone, the same each
    time.
    """
    for keep_ratio, dtype, grid in itertools.product(
        KEEP_RATIOS, (torch.float32, torch.bfloat16), GRIDS
    ):
        compressor: TokenCompressor = case.build(keep_ratio)
        at = f"at keep_ratio {keep_ratio}, {dtype}, grid {grid}: "
        tokens = as_asked(make_tokens(grid, dtype), compressor)
        before, size = tokens.features.clone(), grid[0] * grid[1]
        result = compressor.compress(tokens)
        expect(result.features.dtype == dtype, f"{at}features are {result.features.dtype}")
        check_places(result, size, at)
        expect(torch.isfinite(result.features).all(), f"{at}NaN or infinity in the features")
        here = result.kept.device == result.features.device == tokens.features.device
        expect(here, f"{at}another device")
        expect(result.grid == grid, f"{at}grid is {result.grid}, allowed: the page's")
        wanted = size if compressor.simulated else max(1, math.floor(keep_ratio * size + 0.5))
        check_count(compressor, len(result.kept), wanted, at)
        ratio, stored = result.nominal_ratio, result.stored_bytes
        expect(ratio is None or ratio >= 1, f"{at}nominal_ratio is {ratio}, below 1")
        expect(stored is None or stored > 0, f"{at}stored_bytes is {stored}")
        expect(torch.equal(tokens.features, before), f"{at}the input was changed")
        expect(same_tokens(compressor.compress(tokens), result), f"{at}another result again")
        again = case.build(keep_ratio).compress(tokens)
        expect(same_tokens(again, result), f"{at}another result of another object")


def says_what_its_schema_says(case: Case) -> None:
    """Signals, place and count in class and schema."""
    compressor: TokenCompressor = case.build()
    for name in ("signals", "before_encoder", "adaptive"):
        here, there = getattr(compressor, name), getattr(case.config, name)
        expect(here == there, f"{name} is {here!r} in the class, {there!r} in the schema")
    both = compressor.adaptive and case.config.uses_keep_ratio
    expect(not both, "adaptive, and uses_keep_ratio")


def takes_a_budget_before_the_keep_ratio(case: Case) -> None:
    """`keep_tokens`, and a refusal of one that the page has no tokens for."""
    compressor: TokenCompressor = case.build()
    for grid in GRIDS:
        size = grid[0] * grid[1]
        for budget in {1, (size + 2) // 3, size}:
            tokens = as_asked(make_tokens(grid, budget=budget), compressor)
            wanted = size if compressor.simulated else budget
            kept = len(compressor.compress(tokens).kept)
            check_count(compressor, kept, wanted, f"budget {budget} of grid {grid}: ")
    if compressor.adaptive or compressor.simulated:
        return
    for budget in (0, 145):
        tokens = as_asked(make_tokens((12, 12), budget=budget), compressor)
        said = refuses(partial(compressor.compress, tokens), ValueError, f"takes {budget}")
        named = f"keep_tokens: got {budget}, allowed: 1 to" in said and "144" in said
        expect(named, f"budget {budget} of 144 tokens is refused with: {said}")


def takes_a_page_of_equal_tokens(case: Case) -> None:
    """All zeros, and all ones."""
    for value, keep_ratio in itertools.product((0.0, 1.0), (0.01, 0.5)):
        compressor, page = case.build(keep_ratio), make_tokens((6, 5))
        flat: dict[Signal, torch.Tensor] = {
            "pixels": torch.full_like(page.signals["pixels"], 255),
            "attention": torch.full_like(page.signals["attention"], 1 / 30),
            "keys": torch.full_like(page.signals["keys"], value),
            "question": torch.full_like(page.signals["question"], value),
        }
        page = replace(page, features=torch.full_like(page.features, value), signals=flat)
        result = compressor.compress(as_asked(page, compressor))
        at = f"tokens that are all {value}: "
        check_places(result, 30, at)
        expect(torch.isfinite(result.features).all(), f"{at}NaN or infinity in the features")
        if not compressor.simulated:
            wanted = max(1, math.floor(keep_ratio * 30 + 0.5))
            check_count(compressor, len(result.kept), wanted, at)


def refuses_what_is_no_number(case: Case) -> None:
    """NaN and infinity."""
    for value in (math.nan, math.inf):
        compressor: TokenCompressor = case.build()
        tokens = as_asked(make_tokens((12, 12)), compressor)
        tokens.features[3, 5] = value
        said = refuses(partial(compressor.compress, tokens), UserError, f"takes {value}")
        expect("NaN or infinity" in said, f"{value} is refused with: {said}")


def keeps_nested_sets(case: Case) -> None:
    """Places kept at a smaller keep ratio are among those at a larger one, if it is `nested`."""
    if not case.build().nested:
        return
    for grid in GRIDS:
        built = [case.build(ratio) for ratio in KEEP_RATIOS]
        results = [each.compress(as_asked(make_tokens(grid), each)) for each in built]
        kept = [set(result.kept.tolist()) for result in results]
        nested = all(fewer <= more for fewer, more in itertools.pairwise(kept))
        expect(nested, f"`nested`, and the sets kept of grid {grid} are not")


def is_simulated_where_it_keeps_everything(case: Case) -> None:
    """At keep_ratio 1; what rounds nothing then changes nothing."""
    compressor: TokenCompressor = case.build(1.0)
    said = compressor.simulated != compressor.adaptive
    expect(said, f"simulated is {compressor.simulated}, adaptive {compressor.adaptive} at 1")
    exact = not case.config.uses_profile and not compressor.quantises
    if exact and not compressor.adaptive:
        for grid in GRIDS:
            tokens = as_asked(make_tokens(grid), compressor)
            same = torch.equal(compressor.compress(tokens).features, tokens.features)
            expect(same, f"features of grid {grid} change at keep_ratio 1")


def takes_the_deep_stack_along(case: Case) -> None:
    """With the features as a level of the deep stack, what becomes of it is what became of them,
    unless these went through a transform or a quantiser of their own.
    """
    for grid in ((12, 12), (5, 7)):
        compressor: TokenCompressor = case.build()
        tokens = as_asked(make_tokens(grid, torch.float64), compressor)
        levels = (tokens.features.clone(), -2 * tokens.features)
        given = replace(tokens, deepstack=levels)
        result = keep_deepstack(given, compressor.compress(given))
        same = torch.equal(result.features, compressor.compress(tokens).features)
        expect(same, "the deep stack changes the features")
        shapes = [level.shape for level in result.deepstack]
        expect(shapes == [result.features.shape] * 2, f"levels of shapes {shapes}")
        own = case.config.uses_profile or compressor.quantises
        if not own and not getattr(case.config, "transform", False):
            words = "a level of the deep stack goes another way than its tokens"
            alike(result.deepstack[0], result.features, words, 1e-7)
            alike(result.deepstack[1], -2 * result.features, words, 1e-7)


def is_the_same_with_any_number_of_threads(case: Case) -> None:
    """1, 2 and 5."""
    compressor: TokenCompressor = case.build()
    tokens = as_asked(make_tokens((30, 21)), compressor)
    results = [compressor.compress(tokens) for _ in each_thread_count()]
    for result in results:
        expect(torch.equal(result.kept, results[0].kept), "threads change the places kept")
        alike(result.features, results[0].features, "threads change the features")


def uses_only_what_its_schema_says(case: Case) -> None:
    """No profile without uses_profile, no keep ratio without uses_keep_ratio; every profile with
    it.
    """
    tokens = as_asked(make_tokens((12, 12)), case.build())
    by_profile = [case.build(0.5, name).compress(tokens) for name in PROFILES]
    if not case.config.uses_profile:
        same = all(same_tokens(result, by_profile[0]) for result in by_profile)
        expect(same, "the profile changes the result")
    for name, result in zip(PROFILES, by_profile, strict=True):
        finite = torch.isfinite(result.features).all()
        expect(finite, f"profile {name}: NaN or infinity in the features")
        if case.config.uses_profile:
            ratio = result.nominal_ratio
            expect(ratio is not None and ratio > 1, f"profile {name}: nominal_ratio is {ratio}")
    if not case.config.uses_keep_ratio:
        results = [case.build(ratio).compress(tokens) for ratio in KEEP_RATIOS]
        same = all(same_tokens(result, results[0]) for result in results)
        expect(same, "keep_ratio changes the result")


def names_a_signal_that_is_missing(case: Case) -> None:
    """One that it asks for and does not get."""
    compressor: TokenCompressor = case.build()
    for name in () if compressor.before_encoder else compressor.signals:
        rest = tuple(other for other in compressor.signals if other != name)
        tokens = only_signals(make_tokens((12, 12)), rest)
        said = refuses(partial(compressor.compress, tokens), REFUSALS, f"goes without {name}")
        expect(name in said, f"without {name} it says: {said}")


def is_the_same_on_a_gpu(case: Case) -> None:
    """The same places; features as near as rounding leaves them."""
    need_gpu()
    for grid in GRIDS:
        compressor: TokenCompressor = case.build()
        tokens = as_asked(make_tokens(grid), compressor)
        expected = compressor.compress(tokens)
        result = case.build().compress(moved(tokens, "cuda"))
        expect(result.features.is_cuda, "the features leave the GPU")
        expect(torch.equal(result.kept.cpu(), expected.kept), "other places on a GPU")
        alike(result.features.cpu(), expected.features, "other features on a GPU")


CHECKS = (
    leaves_what_it_says,
    says_what_its_schema_says,
    takes_a_budget_before_the_keep_ratio,
    takes_a_page_of_equal_tokens,
    refuses_what_is_no_number,
    keeps_nested_sets,
    is_simulated_where_it_keeps_everything,
    takes_the_deep_stack_along,
    is_the_same_with_any_number_of_threads,
    uses_only_what_its_schema_says,
    names_a_signal_that_is_missing,
    is_the_same_on_a_gpu,
)
