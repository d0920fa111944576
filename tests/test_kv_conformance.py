"""What every compressor of the KV cache must hold, see `test_conformance`.

Of methods that evict, quantising what stays is a switch, too.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from held import check_storage
from test_conformance import CASES, KEEP_RATIOS, PROFILES, Case, each_thread_count

from freqexp.coding.share import kept_count
from freqexp.errors import BudgetError, UserError
from freqexp.kv.base import KVMethod
from freqexp.kv.evict import Evictor
from freqexp.kv.stored import Exact
from freqexp.nouns.cache import CACHE_COMPONENTS, LayerCache, Shared, StoredLayer
from freqexp.schemas.choices import Question
from freqexp.schemas.kv import EvictConfig, KVConfig

HEADS, CHANNELS = 2, 16
LONG = 160
"""Enough tokens for every method's defaults at a ratio of `ENOUGH`."""
ENOUGH = 0.3
DTYPES = (torch.float32, torch.bfloat16)


def kv_cases() -> Iterator[Case]:
    """Those of the stage, and of evictions each with what stays in 4 bits."""
    for case in CASES:
        if case.config.stage == "kv":
            yield case
            if isinstance(case.config, EvictConfig):
                yield Case(f"{case.name},bits=4", replace(case.config, bits=4))


def build(case: Case, keep_ratio: float = 0.5, profile: str = "aggressive") -> KVMethod:
    method = case.build(keep_ratio, profile)
    assert isinstance(method, KVMethod)
    return method


def config_of(case: Case) -> KVConfig:
    assert isinstance(case.config, KVConfig)
    return case.config


def stores(case: Case) -> bool:
    """Whether the method stores layers itself, and not a library's cache. When it is called is not
    its matter.
    """
    return build(case).library is None and config_of(case).question is Question.unseen


every_case = pytest.mark.parametrize("case", list(kv_cases()), ids=lambda case: case.name)
every_storage = pytest.mark.parametrize(
    "case", [case for case in kv_cases() if stores(case)], ids=lambda case: case.name
)


def bits_of(case: Case) -> int | None:
    """Of a number in the method's codes; None: numbers stay as they are."""
    bits: int | None = getattr(case.config, "bits", None)
    return bits


def make_layer(
    case: Case, tokens: int = LONG, dtype: torch.dtype = torch.float32, number: int = 0
) -> LayerCache:
    """A row of a padded batch, as readers have it: every tensor is a view of a larger one. Two
    stretches are pages; of one all tokens are alike.
    """
    rng = np.random.default_rng((tokens, number))

    def row(heads: int, length: int) -> torch.Tensor:
        batch = rng.normal(size=(2, heads, length + 5, CHANNELS))
        return torch.from_numpy(batch).to(dtype)[1, :, 5:]

    places = torch.arange(tokens)
    keys, values = row(HEADS, tokens), row(HEADS, tokens)
    alike = (places > 0.4 * tokens) & (places < 0.5 * tokens)
    keys[:, alike], values[:, alike] = keys[:, :1].clone(), values[:, :1].clone()
    vision = (places >= tokens // 20) & (places % 50 < 45) & (places < tokens - tokens // 20)
    asked = config_of(case).queries
    queries = row(2 * HEADS, min(asked, tokens)) if asked else None
    return LayerCache(keys, values, vision, queries, CHANNELS**-0.5, number)


def scope_of(case: Case, layer: LayerCache) -> list[int]:
    """The places that a method may act on."""
    everything = config_of(case).scope.value == "all"
    return [place for place, seen in enumerate(layer.vision.tolist()) if seen or everything]


def same(one: StoredLayer, other: StoredLayer) -> bool:
    pairs = zip(one.read(), other.read(), strict=True)
    return one.tokens == other.tokens and all(torch.equal(*pair) for pair in pairs)


def rows(*sides: torch.Tensor) -> list[list[bytes]]:
    """Each head's tokens as bytes, keys beside values."""
    whole = torch.cat(sides, dim=2).contiguous().view(torch.uint8).numpy()
    return [[row.tobytes() for row in head] for head in whole]


def stored_bytes(stored: StoredLayer) -> int:
    return sum(tensor.nbytes for tensors in stored.tensors().values() for tensor in tensors)


def compressed(method: KVMethod, layer: LayerCache, keep_ratio: float) -> StoredLayer | None:
    """None where the prompt is refused, as only short ones or low ratios may be, in one line, and
    by evictions only if some tokens must stay.
    """
    if len(layer.vision) >= LONG and keep_ratio >= ENOUGH:
        return method.compress(layer)
    if isinstance(method, Evictor) and not method.holds:
        return method.compress(layer)
    try:
        return method.compress(layer)
    except UserError as error:
        if "\n" in str(error):
            raise
        return None


@every_case
def test_method_says_what_its_schema_says(case: Case) -> None:
    method, config = build(case), config_of(case)
    assert method.queries == config.queries
    assert method.all_layers == config.layer_budgets
    assert method.question == config.question.value
    assert method.library == getattr(config, "library", None)
    assert method.evicts == isinstance(config, EvictConfig)
    assert not config.uses_budget
    assert not config.signals


@every_storage
@pytest.mark.parametrize("dtype", DTYPES)
def test_stored_layer(case: Case, dtype: torch.dtype) -> None:
    for tokens, keep_ratio in itertools.product((1, 7, LONG), KEEP_RATIOS):
        layer = make_layer(case, tokens, dtype)
        before = make_layer(case, tokens, dtype)
        scope, method = scope_of(case, layer), build(case, keep_ratio)
        if not scope:
            continue
        stored = compressed(method, layer, keep_ratio)
        if stored is None:
            continue
        left = len(scope) - kept_count(len(scope), keep_ratio) if method.evicts else 0
        assert stored.tokens == tokens - left
        for side, given in zip(stored.read(), (layer.keys, layer.values), strict=True):
            assert side.shape == (HEADS, stored.tokens, CHANNELS)
            assert (side.dtype, side.device) == (dtype, given.device)
            assert bool(torch.isfinite(side).all())
        assert set(stored.tensors()) <= set(CACHE_COMPONENTS)
        check_storage(stored)
        assert same(method.compress(layer), stored)
        assert same(build(case, keep_ratio).compress(layer), stored)
        for name in ("keys", "values", "vision", "queries"):
            one, other = getattr(layer, name), getattr(before, name)
            assert one is other or torch.equal(one, other)


@every_storage
def test_stored_layer_is_the_same_with_any_number_of_threads(case: Case) -> None:
    method, layer = build(case), make_layer(case, 3 * LONG)
    results = [method.compress(layer) for _ in each_thread_count()]
    for result in results:
        assert result.tokens == results[0].tokens
        if method.evicts:
            assert same(result, results[0])
        torch.testing.assert_close(result.read(), results[0].read(), rtol=1e-5, atol=1e-5)


def tolerance(bits: int | None, *numbers: torch.Tensor) -> float:
    """How far a number may be from what is read: half a step between the smallest and the largest,
    and what bfloat16 makes of both.
    """
    if bits is None:
        return 0.0
    low, high = (float(end) for end in torch.cat(numbers, dim=1).aminmax())
    step: float = (high - low) / (2**bits - 1)
    return 0.51 * step + max(abs(low), abs(high)) * 2**-7


@every_storage
@pytest.mark.parametrize("dtype", DTYPES)
def test_tokens_appended_are_read_last(case: Case, dtype: torch.dtype) -> None:
    layer, method = make_layer(case, dtype=dtype), build(case)
    stored = method.compress(layer)
    first = [side.clone() for side in stored.read()]
    sides = (layer.keys, layer.values)
    new = [side[:, :0] for side in sides]
    for number, count in enumerate((1, 1, 3, 40, 1), start=1):
        more = make_layer(case, count, dtype, number)
        stored.append(more.keys, more.values)
        new = [torch.cat(pair, 1) for pair in zip(new, (more.keys, more.values), strict=True)]
        assert stored.tokens == first[0].shape[1] + new[0].shape[1]
        check_storage(stored)
        for read, old, given, wanted in zip(stored.read(), first, sides, new, strict=True):
            assert read.shape == (HEADS, stored.tokens, CHANNELS)
            assert read.dtype == dtype
            error = (read[:, old.shape[1] :].double() - wanted.double()).abs().max()
            assert float(error) <= tolerance(bits_of(case), given, wanted)
            if bits_of(case) is None:
                assert torch.equal(read[:, : old.shape[1]], old)


@every_storage
@pytest.mark.parametrize("dtype", DTYPES)
def test_text_stays_as_it_is_where_only_pages_are_in_scope(case: Case, dtype: torch.dtype) -> None:
    if config_of(case).scope.value == "all":
        return
    layer, others = (
        make_layer(case, dtype=dtype),
        make_layer(case, dtype=dtype).vision.logical_not(),
    )
    stored = build(case).compress(layer)
    held = rows(*stored.read())
    wanted = rows(layer.keys[:, others], layer.values[:, others])
    for head, text in zip(held, wanted, strict=True):
        assert not Counter(text) - Counter(head)
    blank = replace(layer, vision=torch.zeros_like(layer.vision))
    with pytest.raises(UserError, match=r"compressor\.scope: got 'vision', allowed: all"):
        build(case).compress(blank)


@every_storage
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_ratio_of_one_without_a_quantiser_changes_nothing(case: Case, dtype: torch.dtype) -> None:
    layer, method = make_layer(case, dtype=dtype), build(case, 1.0)
    whole = layer.keys.nbytes + layer.values.nbytes
    stored = method.compress(layer)
    assert method.simulated == (case.config.uses_keep_ratio and bits_of(case) is None)
    if method.simulated:
        assert all(map(torch.equal, stored.read(), (layer.keys, layer.values)))
        assert stored_bytes(stored) == whole
    lower = build(case, 0.5)
    assert not lower.simulated
    assert stored_bytes(lower.compress(layer)) < whole


@every_storage
def test_what_is_evicted_at_a_larger_budget_is_at_a_smaller_one(case: Case) -> None:
    """Also: each head holds tokens of the prompt, each at most as often as it was there."""
    method = build(case)
    if not (method.evicts and method.nested) or bits_of(case) is not None:
        return
    layer = make_layer(case)
    given, fewer = rows(layer.keys, layer.values), [Counter[bytes]() for _ in range(HEADS)]
    for keep_ratio in (ENOUGH, 0.5, 0.7, 1.0):
        kept = [Counter(head) for head in rows(*build(case, keep_ratio).compress(layer).read())]
        for head, held in enumerate(kept):
            assert held <= Counter(given[head])
            assert fewer[head] <= held
        fewer = kept


@every_storage
def test_budgets_go_before_the_keep_ratio(case: Case) -> None:
    layer = make_layer(case)
    scope = len(scope_of(case, layer))
    if not build(case).evicts:
        return
    for keep_ratio in (ENOUGH, 0.5, 1.0):
        budgeted = replace(layer, budget=kept_count(scope, keep_ratio))
        wanted = build(case, keep_ratio).compress(layer)
        assert same(build(case, 0.7).compress(budgeted), wanted)
    for budget in (0, scope + 1):
        with pytest.raises(
            BudgetError, match=f"keep_tokens: got {budget}, allowed: 1 to .*{scope}"
        ):
            build(case).compress(replace(layer, budget=budget))


@every_storage
def test_layer_budgets_sum_to_those_of_equal_layers(case: Case) -> None:
    layers = [make_layer(case, number=number) for number in range(4)]
    loud = replace(layers[2], keys=layers[2].keys + 9, values=layers[2].values + 9)
    layers[2] = loud
    if not build(case).all_layers:
        with pytest.raises(TypeError):
            build(case).plan(layers)
        return
    scope = len(scope_of(case, loud))
    for keep_ratio in KEEP_RATIOS:
        method = build(case, keep_ratio)
        budgets = method.plan(layers)
        assert budgets == build(case, keep_ratio).plan(layers)
        assert sum(budgets) == 4 * kept_count(scope, keep_ratio)
        for layer, budget in zip(layers, budgets, strict=True):
            assert 1 <= budget <= scope
            stored = method.compress(replace(layer, budget=budget))
            assert stored.tokens == LONG - scope + budget
        assert len(set(budgets)) > 1 or keep_ratio in (0.01, 1.0)


@every_storage
def test_numbers_that_are_none_are_refused(case: Case) -> None:
    names = ("keys", "values", "queries") if config_of(case).queries else ("keys", "values")
    for name, value in itertools.product(names, (torch.nan, torch.inf)):
        layer = make_layer(case)
        getattr(layer, name)[1, 3, 5] = value
        with pytest.raises(UserError, match="NaN or infinity"):
            build(case).compress(layer)


@every_storage
def test_tensors_that_do_not_fit_are_refused(case: Case) -> None:
    layer = make_layer(case)
    wrong = [
        replace(layer, keys=layer.keys[:1]),
        replace(layer, values=layer.values[:, 1:]),
        replace(layer, values=layer.values.bfloat16()),
        replace(layer, keys=layer.keys[None]),
        replace(layer, vision=layer.vision[1:]),
        replace(layer, vision=layer.vision.long()),
    ]
    for each in wrong:
        with pytest.raises(ValueError, match=r"(keys|vision).*: got .*, allowed: "):
            build(case).compress(each)


@every_storage
def test_a_method_uses_only_what_its_schema_says(case: Case) -> None:
    layer = make_layer(case)
    if not case.config.uses_profile:
        results = [build(case, 0.5, name).compress(layer) for name in PROFILES]
        assert all(same(result, results[0]) for result in results)
    results = [build(case, ratio).compress(layer) for ratio in (ENOUGH, 0.5, 1.0)]
    assert same(results[0], results[-1]) != case.config.uses_keep_ratio


@every_storage
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_stored_layer_is_the_same_on_a_gpu(case: Case) -> None:
    for dtype in DTYPES:
        layer = make_layer(case, dtype=dtype)
        there = replace(
            layer,
            keys=layer.keys.cuda(),
            values=layer.values.cuda(),
            vision=layer.vision.cuda(),
            queries=None if layer.queries is None else layer.queries.cuda(),
        )
        expected = build(case).compress(layer)
        stored = build(case).compress(there)
        check_storage(stored)
        assert stored.tokens == expected.tokens
        more = make_layer(case, 3, dtype, number=1)
        stored.append(more.keys.cuda(), more.values.cuda())
        expected.append(more.keys, more.values)
        for side, wanted in zip(stored.read(), expected.read(), strict=True):
            assert side.is_cuda
            torch.testing.assert_close(side.cpu(), wanted, rtol=1e-5, atol=1e-5)


class Fake(Exact):
    """An exact storage that keeps more than it says."""

    __slots__ = ("beside",)

    def __init__(self, beside: object) -> None:
        super().__init__(torch.ones(2, 3, 4), torch.ones(2, 3, 4))
        self.beside = beside


class Views(Exact):
    """Holds on to the whole batch by a row of it."""

    def __init__(self) -> None:
        self._keys, self._values = torch.ones(2, 2, 3, 4)[0], torch.ones(2, 3, 4)


class Twice(Exact):
    """Two names of one storage."""

    def __init__(self) -> None:
        self._keys = torch.ones(2, 3, 4)
        self._values = self._keys.view(2, 3, 4)


def hiding_places(tensor: torch.Tensor) -> list[object]:
    def closure() -> torch.Tensor:
        return tensor

    return [
        tensor,
        {"a": [(tensor,)]},
        closure,
        partial(torch.add, tensor),
        lambda kept=tensor: kept,
        tensor.sum,
        Exact(tensor, tensor),
        tensor.numpy(),
        tensor.numpy().tobytes(),
        iter([tensor]),
    ]


def test_a_storage_that_hides_what_it_holds_is_caught() -> None:
    harmless: list[object] = [None, 7, "text", torch.empty(0), Shared((torch.ones(5),)), torch.int8]
    for beside in harmless:
        check_storage(Fake(beside))
    for beside in hiding_places(torch.ones(1, 5, 3)):
        with pytest.raises(AssertionError):
            check_storage(Fake(beside))
    for stored in (Views(), Twice()):
        with pytest.raises(AssertionError):
            check_storage(stored)
