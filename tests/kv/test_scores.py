"""Methods that evict, against slow references in plain Python and float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import fft

from freqexp.coding.share import kept_count
from freqexp.errors import BudgetError, ConfigError
from freqexp.kv.dct_outlier import DctOutlier, shared_out
from freqexp.kv.evict import Eviction, Evictor
from freqexp.kv.keydiff import KeyDiff
from freqexp.kv.kv_random import KVRandom
from freqexp.kv.sink_recent import SinkRecent
from freqexp.kv.snapkv import SnapKV
from freqexp.nouns.cache import LayerCache

WINDOW = 8
METHODS: dict[str, Callable[[Eviction], Evictor]] = {
    "kv_random": KVRandom,
    "sink_recent": SinkRecent,
    "snapkv": lambda told: SnapKV(told, window=WINDOW),
    "keydiff": KeyDiff,
    "dct_outlier": DctOutlier,
}
every_method = pytest.mark.parametrize("name", METHODS)
Places = list[list[int]]


def make_layer(
    tokens: int,
    kv_heads: int = 2,
    group: int = 2,
    window: int = WINDOW,
    dtype: torch.dtype = torch.float32,
    number: int = 0,
) -> LayerCache:
    """Smooth along the tokens with noise on top; every third of the middle ones is text."""
    rng = np.random.default_rng((tokens, kv_heads, group, number))
    smooth = np.sin(np.arange(tokens) / (3 + number))[None, :, None]

    def noise(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape))

    keys, values = (
        (noise(kv_heads, tokens, 6) * (0.2 + number) + torch.from_numpy(2 * smooth)).to(dtype)
        for _ in range(2)
    )
    vision = (torch.arange(tokens) % 3 > 0) & (torch.arange(tokens) > tokens // 8)
    queries = noise(kv_heads * group, tokens, 6).to(dtype)[:, tokens - window :]
    return LayerCache(keys, values, vision, queries, scale=0.4, number=number)


def kept(method: Evictor, layer: LayerCache) -> Places:
    places, _ = method.places(layer)
    found: Places = places.tolist()
    return found


def top(scores: list[float], count: int, among: list[int]) -> list[int]:
    """The places of the highest scores, the first ones where they are equal."""
    return sorted(sorted(among, key=lambda place: (-scores[place], place))[:count])


def scope_of(layer: LayerCache, scope: str) -> list[int]:
    if scope == "all":
        return list(range(len(layer.vision)))
    return [place for place, seen in enumerate(layer.vision.tolist()) if seen]


def full_attention(layer: LayerCache, group: int) -> list[list[list[float]]]:
    """[heads][T][T] of queries that only the window's rows were cut from: row i of softmax over
    keys 0 to i, the rows before the window left 0.
    """
    assert layer.queries is not None
    queries, keys = layer.queries.double().numpy(), layer.keys.double().numpy()
    tokens, window = keys.shape[1], queries.shape[1]
    found = []
    for head, rows in enumerate(queries):
        weights = [[0.0] * tokens for _ in range(tokens)]
        for row, query in enumerate(rows):
            place = tokens - window + row
            logits = [
                layer.scale * math.fsum(q * k for q, k in zip(query, key, strict=True))
                for key in keys[head // group][: place + 1]
            ]
            powers = [math.exp(logit - max(logits)) for logit in logits]
            for other, power in enumerate(powers):
                weights[place][other] = power / math.fsum(powers)
        found.append(weights)
    return found


def snapkv_places(
    layer: LayerCache, group: int, count: int, kernel: int, pooling: str, scope: str = "all"
) -> Places:
    assert layer.queries is not None
    kv_heads, tokens = layer.keys.shape[:2]
    window = layer.queries.shape[1]
    weights, found = full_attention(layer, group), []
    for head in range(kv_heads):
        summed = [
            math.fsum(
                weights[head * group + each][row][place] / group
                for each in range(group)
                for row in range(tokens - window, tokens)
            )
            for place in range(tokens - window)
        ]
        pooled = []
        for place in range(tokens - window):
            near = range(place - kernel // 2, place + kernel // 2 + 1)
            inside = [summed[other] for other in near if 0 <= other < tokens - window]
            pooled.append(math.fsum(inside) / kernel if pooling == "avg" else max(inside))
        among = scope_of(layer, scope)
        safe = [place for place in among if place >= tokens - window]
        rest = [place for place in among if place < tokens - window]
        found.append(top(pooled, count - len(safe), rest) + safe)
    return found


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("kernel", [1, 5, 7])
@pytest.mark.parametrize(
    ("tokens", "window", "kv_heads", "group"), [(40, 8, 2, 2), (23, 1, 1, 4), (9, 8, 3, 1)]
)
def test_snapkv_is_full_attention_cut_to_the_window(
    tokens: int, window: int, kv_heads: int, group: int, kernel: int, pooling: str
) -> None:
    layer = make_layer(tokens, kv_heads, group, window)
    for count in {window, (tokens + window) // 2, tokens - 1}:
        method = SnapKV(Eviction(), window, kernel, pooling)
        expected = snapkv_places(layer, group, count, kernel, pooling)
        assert kept(method, replace(layer, budget=count)) == expected


def test_snapkv_leaves_text_and_its_window_and_pools_over_both() -> None:
    layer = make_layer(40)
    method = SnapKV(Eviction(0.5, "vision"), WINDOW, 5, "avg")
    count = kept_count(int(layer.vision.sum()), 0.5)
    assert kept(method, layer) == snapkv_places(layer, 2, count, 5, "avg", "vision")


def test_snapkv_with_a_window_of_the_whole_prompt_keeps_it() -> None:
    layer = make_layer(WINDOW)
    assert kept(METHODS["snapkv"](Eviction(1.0)), layer) == [list(range(WINDOW))] * 2


def test_snapkv_without_room_for_its_window_says_so() -> None:
    layer, method = make_layer(40), METHODS["snapkv"](Eviction(0.1))
    said = r"keep_ratio 0\.1 of 40 tokens leaves 4, allowed: at least the 8 .*\(window\)"
    with pytest.raises(BudgetError, match=said):
        method.compress(layer)
    with pytest.raises(BudgetError, match=r"keep_tokens 7 leaves 7, .* at least the 8 .*\(window"):
        method.compress(replace(layer, budget=7))
    short = replace(layer, keys=layer.keys[:, :7], values=layer.values[:, :7])
    short = replace(short, vision=layer.vision[:7], queries=None)
    with pytest.raises(BudgetError, match=r"compressor\.window: got 8, allowed: at most the 7"):
        SnapKV(Eviction(1.0), WINDOW).compress(short)


def test_snapkv_refuses_queries_that_do_not_fit() -> None:
    layer, method = make_layer(40), METHODS["snapkv"](Eviction())
    assert layer.queries is not None
    for queries in (None, layer.queries[:, 1:], layer.queries[:3], layer.queries[..., :5]):
        with pytest.raises(ValueError, match=r"queries: got .*allowed"):
            method.compress(replace(layer, queries=queries))


@pytest.mark.parametrize("scope", ["all", "vision"])
def test_keydiff_is_a_loop_over_keys(scope: str) -> None:
    layer = make_layer(31, kv_heads=3)
    expected = []
    for keys in layer.keys.double().numpy():
        units = [key / np.sqrt((key * key).sum()) for key in keys]
        anchor = sum(units) / len(units)
        length = np.sqrt((anchor * anchor).sum())
        scores = [-float(unit @ anchor) / length for unit in units]
        among = scope_of(layer, scope)
        expected.append(top(scores, kept_count(len(among), 0.4), among))
    assert kept(KeyDiff(Eviction(0.4, scope)), layer) == expected


def test_keydiff_of_keys_of_zeros() -> None:
    """A zero key is at a right angle: above keys like the anchor, below those against it."""
    layer = make_layer(12, kv_heads=1)
    keys = torch.ones(1, 12, 6)
    keys[:, 4], keys[:, 9] = 0, -1
    assert kept(KeyDiff(Eviction(2 / 12)), replace(layer, keys=keys)) == [[4, 9]]
    assert kept(KeyDiff(Eviction(1 / 12)), replace(layer, keys=keys)) == [[9]]
    everywhere = replace(layer, keys=torch.zeros_like(keys))
    assert kept(KeyDiff(Eviction(0.25)), everywhere) == [[0, 1, 2]]


def departures(
    layer: LayerCache, gamma: float, among: list[int]
) -> tuple[list[list[float]], float]:
    """Each head's scores by place, and the layer's share of energy above the base."""
    low = max(1, math.floor(gamma * len(among) + 0.5))
    scores = [[0.0] * len(layer.vision) for _ in layer.keys]
    share = 0.0
    for numbers in (layer.keys, layer.values):
        above = whole = 0.0
        for head, rows in enumerate(numbers.double().numpy()):
            rows = rows[among]
            spectrum = fft.dct(rows, axis=0, norm="ortho")
            above += float((spectrum[low:] ** 2).sum())
            whole += float((rows**2).sum())
            base = fft.idct(
                np.concatenate([spectrum[:low], 0 * spectrum[low:]]), axis=0, norm="ortho"
            )
            for place, row, smooth in zip(among, rows, base, strict=True):
                errors = [(a - b) ** 2 for a, b in zip(row, smooth, strict=True)]
                scores[head][place] += math.fsum(errors) / len(errors)
        share += above / whole
    return scores, share


@pytest.mark.parametrize("scope", ["all", "vision"])
@pytest.mark.parametrize("gamma", [0.001, 0.1, 0.2, 0.7])
@pytest.mark.parametrize("tokens", [17, 40, 64])
def test_dct_outlier_is_the_distance_to_scipys_base(tokens: int, gamma: float, scope: str) -> None:
    layer = make_layer(tokens)
    among = scope_of(layer, scope)
    scores, _ = departures(layer, gamma, among)
    expected = [top(head, kept_count(len(among), 0.3), among) for head in scores]
    assert kept(DctOutlier(Eviction(0.3, scope), gamma), layer) == expected


def reference_shares(total: int, shares: list[float], most: list[int]) -> list[int]:
    """Largest remainders with bounds: of the parts that break them, those on the side that breaks
    them by more stand still, until none does.
    """
    fixed: dict[int, float] = {}
    while True:
        free = [part for part in range(len(shares)) if part not in fixed]
        rest = total - sum(fixed.values())
        whole = sum(shares[part] for part in free)
        wanted = {part: rest * shares[part] / whole for part in free}
        over = {part: want - most[part] for part, want in wanted.items() if want > most[part]}
        under = {part: 1 - want for part, want in wanted.items() if want < 1}
        if not over and not under:
            break
        if sum(over.values()) >= sum(under.values()):
            fixed |= {part: most[part] for part in over}
        else:
            fixed |= dict.fromkeys(under, 1)
    wanted |= fixed
    counts = {part: math.floor(want + 1e-9) for part, want in wanted.items()}
    order = sorted(counts, key=lambda part: counts[part] - wanted[part])
    for part in order[: total - sum(counts.values())]:
        counts[part] += 1
    return [counts[part] for part in range(len(shares))]


@pytest.mark.parametrize("scope", ["all", "vision"])
@pytest.mark.parametrize("keep_ratio", [0.05, 0.3, 0.8, 1.0])
def test_layer_budgets_follow_the_energy_above_the_base(keep_ratio: float, scope: str) -> None:
    layers = [make_layer(48, number=number) for number in range(5)]
    among = scope_of(layers[0], scope)
    method = DctOutlier(Eviction(keep_ratio, scope), layers="energy")
    budgets = method.plan(layers)
    shares = [departures(layer, 0.2, among)[1] for layer in layers]
    flat = 5 * kept_count(len(among), keep_ratio)
    assert budgets == reference_shares(flat, shares, [len(among)] * 5)
    assert sum(budgets) == flat
    assert len(set(budgets)) > 1 or flat in (5, 5 * len(among))
    for layer, budget in zip(layers, budgets, strict=True):
        scores, _ = departures(layer, 0.2, among)
        expected = [top(head, budget, among) for head in scores]
        assert kept(method, replace(layer, budget=budget)) == expected


def test_shares_of_random_layers_within_their_bounds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        parts = int(rng.integers(1, 9))
        shares = (rng.random(parts) ** 4).tolist()
        most = rng.integers(1, 30, parts).tolist()
        total = int(rng.integers(parts, sum(most) + 1))
        counts = shared_out(total, shares, most)
        assert counts == reference_shares(total, shares, most)
        assert all(1 <= count <= high for count, high in zip(counts, most, strict=True))


def test_shares_where_layers_are_alike_or_empty() -> None:
    assert shared_out(7, [0.0, 0.0, 0.0], [5, 5, 5]) == [3, 2, 2]
    assert shared_out(8, [0.5, 0.5, 0.5], [5, 5, 5]) == [3, 3, 2]
    assert shared_out(9, [1.0, 0.0, 0.0], [5, 5, 5]) == [5, 2, 2]
    assert shared_out(7, [1.0, 0.0, 0.0], [5, 5, 5]) == [5, 1, 1]


def test_layer_budgets_of_budgets_and_of_no_layers() -> None:
    layers = [make_layer(48, number=number) for number in range(3)]
    method = DctOutlier(Eviction(0.5), layers="energy")
    budgeted = [replace(layer, budget=12) for layer in layers]
    assert method.plan(budgeted) == DctOutlier(Eviction(0.25), layers="energy").plan(layers)
    with pytest.raises(ValueError, match="layers: got none"):
        method.plan([])
    with pytest.raises(TypeError):
        DctOutlier(Eviction(0.5)).plan(layers)


@pytest.mark.parametrize("sinks", [0, 1, 4])
@pytest.mark.parametrize("scope", ["all", "vision"])
def test_sink_recent_is_two_slices(scope: str, sinks: int) -> None:
    layer = make_layer(40)
    among = scope_of(layer, scope)
    for count in range(max(1, sinks), len(among) + 1):
        recent = among[len(among) - (count - sinks) :]
        method = SinkRecent(Eviction(0.5, scope), sinks)
        assert kept(method, replace(layer, budget=count)) == [among[:sinks] + recent] * 2


def test_sink_recent_without_room_for_its_sinks_says_so() -> None:
    with pytest.raises(BudgetError, match=r"at least the 4 that always stay \(sinks\)"):
        SinkRecent(Eviction(0.05)).compress(make_layer(40))
    (only, _) = kept(SinkRecent(Eviction(1.0)), make_layer(3, window=1))
    assert only == [0, 1, 2]


@pytest.mark.parametrize("scope", ["all", "vision"])
def test_random_tokens_are_those_of_a_plain_loop(scope: str) -> None:
    for number, seed in ((0, 0), (3, 0), (3, 7)):
        layer = make_layer(40, number=number)
        among = scope_of(layer, scope)
        random = np.random.Generator(np.random.PCG64([seed, number, 40]))
        expected = []
        for _ in range(2):
            scores = [float(random.random()) for _ in range(40)]
            expected.append(top(scores, kept_count(len(among), 0.3), among))
        assert kept(KVRandom(Eviction(0.3, scope), seed), layer) == expected


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_text_stays_and_nothing_else_is_made_up(name: str, dtype: torch.dtype) -> None:
    layer = make_layer(60, dtype=dtype)
    method = METHODS[name](Eviction(0.4, "vision"))
    places, scope = method.places(layer)
    keys, values = method.compress(layer).read()
    evicted = {*scope.tolist()} - {*places[0].tolist()}
    assert keys.shape[1] + len(evicted) == 60
    for head, chosen in enumerate(places.tolist()):
        text = [place for place in range(60) if not layer.vision[place]]
        stays = sorted({*chosen, *text})
        assert torch.equal(keys[head], layer.keys[head, stays])
        assert torch.equal(values[head], layer.values[head, stays])


@every_method
@pytest.mark.parametrize("scope", ["all", "vision"])
def test_a_ratio_of_one_is_the_cache_itself(name: str, scope: str) -> None:
    layer = make_layer(40, dtype=torch.bfloat16)
    method = METHODS[name](Eviction(1.0, scope))
    keys, values = method.compress(layer).read()
    assert torch.equal(keys, layer.keys)
    assert torch.equal(values, layer.values)
    assert method.simulated


@every_method
def test_budgets_are_the_ratios_of_the_same_count(name: str) -> None:
    layer = make_layer(50)
    for ratio in (0.2, 0.33, 0.5, 1.0):
        budgeted = replace(layer, budget=kept_count(50, ratio))
        expected = kept(METHODS[name](Eviction(ratio)), layer)
        assert kept(METHODS[name](Eviction(0.9)), budgeted) == expected
    for budget in (0, 51):
        with pytest.raises(BudgetError, match=f"keep_tokens: got {budget}, allowed: 1 to the 50"):
            METHODS[name](Eviction()).compress(replace(layer, budget=budget))


@every_method
@pytest.mark.parametrize("different", [1, 3])
def test_equal_tokens_go_by_place_also_when_a_batch_rounds_them(name: str, different: int) -> None:
    """A few tokens over and over, so that many scores are equal, with noise in the last bits."""
    first = make_layer(48, dtype=torch.bfloat16)
    turn = torch.arange(48) % different
    repeated = replace(
        first,
        keys=first.keys[:, turn].float(),
        values=first.values[:, turn].float(),
        queries=None if first.queries is None else first.queries.float(),
    )
    expected = kept(METHODS[name](Eviction(0.4)), repeated)
    rng = torch.Generator().manual_seed(0)

    def rounded(numbers: torch.Tensor) -> torch.Tensor:
        return numbers * (1 + 1e-7 * torch.randn(numbers.shape, generator=rng))

    for _ in range(5):
        keys, values = rounded(repeated.keys), rounded(repeated.values)
        near = replace(repeated, keys=keys, values=values)
        assert not torch.equal(near.keys, repeated.keys)
        assert kept(METHODS[name](Eviction(0.4)), near) == expected


def test_settings_out_of_range_are_named() -> None:
    wrong: list[tuple[str, Callable[[], Evictor]]] = [
        ("sinks: got -1", lambda: SinkRecent(Eviction(), -1)),
        ("window: got 0", lambda: SnapKV(Eviction(), 0)),
        ("kernel: got 4, allowed: an odd", lambda: SnapKV(Eviction(), kernel=4)),
        ("pooling: got 'sum', allowed: avg, max", lambda: SnapKV(Eviction(), pooling="sum")),
        ("gamma: got 1", lambda: DctOutlier(Eviction(), 1)),
        ("layers: got 'all', allowed: flat, energy", lambda: DctOutlier(Eviction(), layers="all")),
        ("keep_ratio: got 0", lambda: KeyDiff(Eviction(0))),
    ]
    for said, build in wrong:
        with pytest.raises(ConfigError, match=said):
            build()
