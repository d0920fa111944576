"""What every method on the KV cache must hold."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from functools import partial

import torch

from freqexp.coding.share import kept_count
from freqexp.conform.cases import KEEP_RATIOS, PROFILES, Case
from freqexp.conform.expect import alike, each_thread_count, expect, need_gpu, refuses
from freqexp.conform.held import check_storage
from freqexp.conform.inputs import CHANNELS, HEADS
from freqexp.conform.kv_budget_checks import (
    evicts_at_a_smaller_budget_what_it_does_at_a_larger,
    shares_a_whole_budget_out,
    takes_a_budget_before_the_keep_ratio,
)
from freqexp.conform.kv_tools import (
    ENOUGH,
    LONG,
    bits_of,
    compressed,
    config_of,
    layer_of,
    rows,
    same,
    scope_of,
    stored_bytes,
    tolerance,
)
from freqexp.errors import UserError
from freqexp.nouns.cache import CACHE_COMPONENTS
from freqexp.schemas.kv import EvictConfig

DTYPES = (torch.float32, torch.bfloat16)
NO_NUMBERS = (torch.nan, torch.inf)


def says_what_its_schema_says(case: Case) -> None:
    """Queries, budgets, question, library and eviction in class and schema."""
    method, config = case.build(), config_of(case)
    for name, here, there in (
        ("queries", method.queries, config.queries),
        ("all_layers", method.all_layers, config.layer_budgets),
        ("question", method.question, config.question.value),
        ("library", method.library, config.library),
        ("evicts", method.evicts, isinstance(config, EvictConfig)),
    ):
        expect(here == there, f"{name} is {here!r} in the class, {there!r} by the schema")
    expect(not config.uses_budget, "uses_budget is true")
    expect(not config.signals, f"signals are {config.signals}, allowed: none")


def holds_what_it_says(case: Case) -> None:
    """As many tokens as are to stay, every tensor that is held named, the input left alone."""
    for tokens, keep_ratio, dtype in itertools.product((1, 7, LONG), KEEP_RATIOS, DTYPES):
        at = f"{tokens} tokens at {keep_ratio}, {dtype}: "
        layer, before = layer_of(case, tokens, dtype), layer_of(case, tokens, dtype)
        scope, method = scope_of(case, layer), case.build(keep_ratio)
        if not scope:
            continue
        stored = compressed(method, layer, keep_ratio)
        if stored is None:
            continue
        left = len(scope) - kept_count(len(scope), keep_ratio) if method.evicts else 0
        expect(stored.tokens == tokens - left, f"{at}{stored.tokens} stay, not {tokens - left}")
        for side, given in zip(stored.read(), (layer.keys, layer.values), strict=True):
            shape, wanted = tuple(side.shape), (HEADS, stored.tokens, CHANNELS)
            expect(shape == wanted, f"{at}read with shape {shape}, allowed: {wanted}")
            form = (side.dtype, side.device) == (dtype, given.device)
            expect(form, f"{at}read as {side.dtype} on {side.device}")
            expect(torch.isfinite(side).all(), f"{at}NaN or infinity is read")
        unknown = set(stored.tensors()) - set(CACHE_COMPONENTS)
        expect(not unknown, f"{at}unknown components {sorted(unknown)}")
        check_storage(stored)
        expect(same(method.compress(layer), stored), f"{at}another result again")
        again = case.build(keep_ratio).compress(layer)
        expect(same(again, stored), f"{at}another result of another object")
        for name in ("keys", "values", "vision", "queries"):
            one, other = getattr(layer, name), getattr(before, name)
            expect(one is other or torch.equal(one, other), f"{at}{name} was changed")


def is_the_same_with_any_number_of_threads(case: Case) -> None:
    """1, 2 and 5."""
    method, layer = case.build(), layer_of(case, 3 * LONG)
    results = [method.compress(layer) for _ in each_thread_count()]
    for result in results:
        expect(result.tokens == results[0].tokens, "threads change how many tokens stay")
        expect(not method.evicts or same(result, results[0]), "threads change what stays")
        for one, other in zip(result.read(), results[0].read(), strict=True):
            alike(one, other, "threads change what is read", 1e-5)


def reads_new_tokens_last(case: Case) -> None:
    """`append`."""
    for dtype in DTYPES:
        layer, method = layer_of(case, dtype=dtype), case.build()
        stored = method.compress(layer)
        first = [side.clone() for side in stored.read()]
        sides = (layer.keys, layer.values)
        new = [side[:, :0] for side in sides]
        for number, count in enumerate((1, 1, 3, 40, 1), start=1):
            more = layer_of(case, count, dtype, number)
            stored.append(more.keys, more.values)
            new = [torch.cat(pair, 1) for pair in zip(new, (more.keys, more.values), strict=True)]
            wanted = first[0].shape[1] + new[0].shape[1]
            expect(stored.tokens == wanted, f"{stored.tokens} tokens after append, not {wanted}")
            check_storage(stored)
            for read, old, given, added in zip(stored.read(), first, sides, new, strict=True):
                shape, form = tuple(read.shape), (HEADS, stored.tokens, CHANNELS)
                fits = shape == form and read.dtype == dtype
                expect(fits, f"read with shape {shape}, {read.dtype} after append")
                error = float((read[:, old.shape[1] :].double() - added.double()).abs().max())
                allowed = tolerance(bits_of(case), given, added)
                expect(error <= allowed, f"new tokens are off by {error:g}, allowed: {allowed:g}")
                if bits_of(case) is None:
                    kept = torch.equal(read[:, : old.shape[1]], old)
                    expect(kept, "append changes what was there")


def leaves_text_alone_where_only_pages_are_in_scope(case: Case) -> None:
    """And refuses a prompt without pages."""
    if config_of(case).scope.value == "all":
        return
    for dtype in DTYPES:
        layer = layer_of(case, dtype=dtype)
        others = layer.vision.logical_not()
        held = rows(*case.build().compress(layer).read())
        wanted = rows(layer.keys[:, others], layer.values[:, others])
        for head, text in zip(held, wanted, strict=True):
            expect(not Counter(text) - Counter(head), "scope=vision, and text is changed")
        blank = replace(layer, vision=torch.zeros_like(layer.vision))
        said = refuses(partial(case.build().compress, blank), UserError, "takes no pages")
        named = "compressor.scope: got 'vision', allowed: all" in said
        expect(named, f"a prompt without pages is refused with: {said}")


def changes_nothing_at_one_without_a_quantiser(case: Case) -> None:
    """And holds fewer bytes below."""
    for dtype in DTYPES:
        layer, method = layer_of(case, dtype=dtype), case.build(1.0)
        whole = layer.keys.nbytes + layer.values.nbytes
        stored = method.compress(layer)
        simulated = case.config.uses_keep_ratio and bits_of(case) is None
        expect(method.simulated == simulated, f"simulated is {method.simulated} at 1")
        if method.simulated:
            unchanged = all(map(torch.equal, stored.read(), (layer.keys, layer.values)))
            expect(unchanged, "simulated, and something changes at keep_ratio 1")
            expect(stored_bytes(stored) == whole, "simulated, and other bytes are held")
        lower = case.build()
        expect(not lower.simulated, "simulated at keep_ratio 0.5")
        size = stored_bytes(lower.compress(layer))
        expect(size < whole, f"{size} bytes at keep_ratio 0.5, of {whole}")


def refuses_what_is_no_number(case: Case) -> None:
    """NaN and infinity."""
    names = ("keys", "values", "queries") if config_of(case).queries else ("keys", "values")
    for name, value in itertools.product(names, NO_NUMBERS):
        layer = layer_of(case)
        getattr(layer, name)[1, 3, 5] = value
        said = refuses(partial(case.build().compress, layer), UserError, f"takes {value}")
        expect("NaN or infinity" in said, f"{value} in {name} is refused with: {said}")


def refuses_tensors_that_do_not_fit(case: Case) -> None:
    """Of other shapes and dtypes."""
    layer = layer_of(case)
    for wrong in (
        replace(layer, keys=layer.keys[:1]),
        replace(layer, values=layer.values[:, 1:]),
        replace(layer, values=layer.values.bfloat16()),
        replace(layer, keys=layer.keys[None]),
        replace(layer, vision=layer.vision[1:]),
        replace(layer, vision=layer.vision.long()),
    ):
        said = refuses(partial(case.build().compress, wrong), ValueError, "takes what is wrong")
        named = ("keys" in said or "vision" in said) and "allowed: " in said
        expect(named, f"tensors that do not fit are refused with: {said}")


def uses_only_what_its_schema_says(case: Case) -> None:
    """No profile without uses_profile, and the keep ratio just if uses_keep_ratio says so."""
    layer = layer_of(case)
    if not case.config.uses_profile:
        results = [case.build(0.5, name).compress(layer) for name in PROFILES]
        expect(all(same(r, results[0]) for r in results), "the profile changes the result")
    results = [case.build(ratio).compress(layer) for ratio in (ENOUGH, 0.5, 1.0)]
    acts = not same(results[0], results[-1])
    uses = case.config.uses_keep_ratio
    expect(acts == uses, f"uses_keep_ratio is {uses}, and keep_ratio {'acts' if acts else 'rests'}")


def is_the_same_on_a_gpu(case: Case) -> None:
    """As near as rounding leaves it."""
    need_gpu()
    for dtype in DTYPES:
        layer = layer_of(case, dtype=dtype)
        there = replace(
            layer,
            keys=layer.keys.cuda(),
            values=layer.values.cuda(),
            vision=layer.vision.cuda(),
            queries=None if layer.queries is None else layer.queries.cuda(),
        )
        expected, stored = case.build().compress(layer), case.build().compress(there)
        check_storage(stored)
        expect(stored.tokens == expected.tokens, "other tokens on a GPU")
        more = layer_of(case, 3, dtype, number=1)
        stored.append(more.keys.cuda(), more.values.cuda())
        expected.append(more.keys, more.values)
        for side, wanted in zip(stored.read(), expected.read(), strict=True):
            expect(side.is_cuda, "what is read leaves the GPU")
            alike(side.cpu(), wanted, "other numbers on a GPU", 1e-5)


CHECKS = (says_what_its_schema_says,)
"""Of every method."""

STORAGE_CHECKS = (
    holds_what_it_says,
    is_the_same_with_any_number_of_threads,
    reads_new_tokens_last,
    leaves_text_alone_where_only_pages_are_in_scope,
    changes_nothing_at_one_without_a_quantiser,
    evicts_at_a_smaller_budget_what_it_does_at_a_larger,
    takes_a_budget_before_the_keep_ratio,
    shares_a_whole_budget_out,
    refuses_what_is_no_number,
    refuses_tensors_that_do_not_fit,
    uses_only_what_its_schema_says,
    is_the_same_on_a_gpu,
)
"""Of those that store layers themselves."""
