"""Methods inside the decoder against loops over plain floats."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import LayerView
from freqexp.tokens.dart import Dart
from freqexp.tokens.fastv import Fastv, attention_row
from freqexp.tokens.layer_kept import SharePruner

METHODS = (Fastv, Dart)
RATIOS = (0.01, 0.1, 0.25, 0.5, 0.8, 1.0)


def view_of(
    length: int = 40,
    vision: range | list[int] = range(5, 30),
    *,
    heads: int = 4,
    kv_heads: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> LayerView:
    random = np.random.default_rng(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.from_numpy(random.normal(size=shape)).to(dtype)

    return LayerView(
        hidden=noise(length, 12),
        keys=noise(kv_heads, length, 8),
        query=noise(heads, 8),
        scale=8**-0.5,
        vision=torch.tensor(list(vision)),
    )


VIEWS = {
    "plain": view_of(),
    "no groups": view_of(heads=2, seed=1),
    "two pages": view_of(30, [*range(2, 9), *range(12, 20)], seed=2),
    "bfloat16": view_of(seed=3, dtype=torch.bfloat16),
    "few others": view_of(20, range(1, 18), seed=4),
    "few tokens": view_of(20, [3, 7, 8], seed=5),
    "one token": view_of(9, [4], seed=6),
    "vision alone": view_of(9, range(9), seed=7),
}


def count_of(view: LayerView, keep_ratio: float) -> int:
    return max(1, math.floor(keep_ratio * len(view.vision) + 0.5))


def row_by_loops(view: LayerView) -> list[float]:
    """Attention of the last token: softmax over all tokens of each head, then the mean."""
    keys, query = view.keys.tolist(), view.query.tolist()
    group = len(query) // len(keys)
    mean = [0.0] * len(keys[0])
    for head, own in enumerate(query):
        dots = [
            view.scale * sum(q * k for q, k in zip(own, key, strict=True))
            for key in keys[head // group]
        ]
        weights = [math.exp(dot - max(dots)) for dot in dots]
        for place, weight in enumerate(weights):
            mean[place] += weight / sum(weights) / len(query)
    return mean


def fastv_by_loops(view: LayerView, count: int) -> list[int]:
    row = row_by_loops(view)
    places = view.vision.tolist()
    order = sorted(range(len(places)), key=lambda number: (-row[places[number]], number))
    return sorted(order[:count])


def dart_by_loops(view: LayerView, count: int) -> list[int]:
    keys, hidden, places = view.keys.tolist(), view.hidden.tolist(), view.vision.tolist()

    def norm(place: int) -> float:
        return sum(abs(number) for head in keys for number in head[place])

    def cosine(one: list[float], other: list[float]) -> float:
        dot = sum(a * b for a, b in zip(one, other, strict=True))
        return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))

    def four(among: list[int]) -> list[int]:
        return sorted(among, key=lambda place: (-norm(place), place))[:4]

    kept = four(places)[:count]
    pivots = kept + four([place for place in range(len(hidden)) if place not in places])
    wanted = count - len(kept)
    for number, pivot in enumerate(pivots):
        share = wanted // len(pivots) + (1 if number < wanted % len(pivots) else 0)
        free = [place for place in places if place not in kept]
        free.sort(key=lambda place: (cosine(hidden[place], hidden[pivot]), place))
        kept = kept + free[:share]
    return sorted(places.index(place) for place in kept)


@pytest.mark.parametrize("name", VIEWS)
def test_the_row_is_that_of_a_softmax_by_hand(name: str) -> None:
    view = VIEWS[name]
    assert attention_row(view).tolist() == pytest.approx(row_by_loops(view), rel=1e-9)


@pytest.mark.parametrize("keep_ratio", RATIOS)
@pytest.mark.parametrize("name", VIEWS)
def test_methods_are_their_loops(name: str, keep_ratio: float) -> None:
    view = VIEWS[name]
    count = count_of(view, keep_ratio)
    assert Fastv(keep_ratio).choose(view).tolist() == fastv_by_loops(view, count)
    assert Dart(keep_ratio).choose(view).tolist() == dart_by_loops(view, count)


def test_fastv_keeps_what_the_last_token_looks_at() -> None:
    view = view_of()
    keys = torch.zeros_like(view.keys)
    keys[:, [7, 12, 25]] = view.query.reshape(2, 2, 8).sum(dim=1)[:, None]
    chosen = Fastv(3 / 25).choose(replace(view, keys=keys))
    assert view.vision[chosen].tolist() == [7, 12, 25]


def test_dart_takes_what_is_unlike_its_pivots() -> None:
    """All tokens alike but six, of which each pivot has the same share to take."""
    view = view_of(40, range(5, 35))
    hidden = torch.ones(40, 12)
    odd = [10, 11, 17, 20, 29, 33]
    hidden[odd] *= torch.linspace(-1.0, 1.0, 12)
    keys = torch.ones_like(view.keys)
    keys[:, [6, 7, 8, 9]] = 2.0
    chosen = Dart(10 / 30).choose(replace(view, hidden=hidden, keys=keys))
    assert view.vision[chosen].tolist() == sorted([6, 7, 8, 9, *odd])


def test_many_tokens_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    view = view_of()
    whole = Dart(0.6).choose(view)
    monkeypatch.setattr("freqexp.tokens.dart._ROWS", 7)
    assert torch.equal(Dart(0.6).choose(view), whole)


@pytest.mark.parametrize("method", METHODS)
def test_tokens_that_are_all_alike(method: type[SharePruner]) -> None:
    """A blank page: distinct places, ties by place, no NaN, zeros included."""
    view = view_of()
    for value in (0.0, 1.0):
        same = replace(
            view,
            hidden=torch.full_like(view.hidden, value),
            keys=torch.full_like(view.keys, value),
        )
        for keep_ratio in RATIOS:
            count = count_of(view, keep_ratio)
            assert method(keep_ratio).choose(same).tolist() == list(range(count))


@pytest.mark.parametrize("method", METHODS)
def test_rounding_does_not_choose(method: type[SharePruner]) -> None:
    view = view_of(seed=8)
    chosen = method(0.4).choose(view)
    assert torch.equal(method(0.4).choose(view), chosen)
    shaken = replace(view, hidden=view.hidden * (1 + 1e-7), keys=view.keys.double() * (1 + 1e-12))
    assert torch.equal(method(0.4).choose(shaken), chosen)
    twins = replace(view, hidden=view.hidden[:1].repeat(40, 1), keys=view.keys[:, :1].double())
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 40, 8)))
    for shake in (0.0, 1e-14):
        keys = twins.keys.repeat(1, 40, 1) * (1 + shake * noise)
        assert method(0.2).choose(replace(twins, keys=keys)).tolist() == list(range(5))


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_takes_the_place_of_the_keep_ratio(method: type[SharePruner]) -> None:
    view = view_of()
    for budget in (1, 3, 4, 5, 12, 25):
        by_budget = method(0.9).choose(replace(view, budget=budget))
        assert by_budget.tolist() == method(budget / 25).choose(view).tolist()
        assert len(by_budget) == budget
    for budget in (0, 26):
        with pytest.raises(ValueError, match=f"keep_tokens: got {budget}, allowed: 1 to"):
            method().choose(replace(view, budget=budget))


def test_fastv_is_nested() -> None:
    kept = [set(Fastv(ratio).choose(view_of()).tolist()) for ratio in RATIOS]
    assert all(one <= other for one, other in itertools.pairwise(kept))


@pytest.mark.parametrize("method", METHODS)
def test_bad_input(method: type[SharePruner]) -> None:
    view = view_of()
    with pytest.raises(ConfigError, match=r"keep_ratio: got 0.*\n?.*layer: got 0, allowed: 1"):
        method(0, 0)
    with pytest.raises(ValueError, match="vision: got no tokens"):
        method().choose(replace(view, vision=view.vision[:0]))
    for name in ("hidden", "keys"):
        broken = getattr(view, name).clone()
        broken[..., 7, 0] = torch.nan
        if (method, name) == (Fastv, "hidden"):
            continue
        with pytest.raises(UserError, match="NaN or infinity"):
            method().choose(replace(view, **{name: broken}))


def test_what_the_settings_say() -> None:
    assert (Fastv(1.0, 3).simulated, Fastv(1.0, 3).layer, Fastv().layer) == (True, 3, 2)
    assert (Dart(0.5).simulated, Dart.nested, Fastv.nested) == (False, False, True)
