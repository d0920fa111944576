"""Learned merging of vision tokens, against nested loops; gradients against finite differences."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from freqexp.composing.compose import compose
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.vision import VisionTokens
from freqexp.tokens.block_mean import BlockMean
from freqexp.tokens.merge import Merge
from freqexp.tokens.trained.groups import group_basis, groups_of, rotation
from freqexp.tokens.trained.settings import STARTS, MergeSettings

CHANNELS = 6
FORMS = [(form, start) for form, starts in STARTS.items() for start in starts]


def page(
    grid: tuple[int, int] = (4, 6), seed: int = 0, channels: int = CHANNELS, levels: int = 0
) -> VisionTokens:
    generator = torch.Generator().manual_seed(seed)
    shape = (grid[0] * grid[1], channels)
    features, *deepstack = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(1 + levels)
    )
    return VisionTokens(features, grid, tuple(deepstack))


def settings(**changed: object) -> MergeSettings:
    return replace(MergeSettings(heads=2), **changed)  # type: ignore[arg-type]


def doubled(merge: Merge, channels: int = CHANNELS) -> torch.nn.Module:
    """Its network in float64, with parameters away from what they begin as."""
    network, generator = merge.network(channels).double(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise, alpha=0.3)
    return network


def slow_groups(grid: tuple[int, int], rows: int, columns: int) -> list[list[int]]:
    found = []
    for top, left in itertools.product(range(0, grid[0], rows), range(0, grid[1], columns)):
        members = []
        for down, across in itertools.product(range(rows), range(columns)):
            row, column = min(top + down, grid[0] - 1), min(left + across, grid[1] - 1)
            members.append(row * grid[1] + column)
        found.append(members)
    return found


@pytest.mark.parametrize("grid", [(4, 6), (5, 7), (1, 1), (3, 2)])
def test_groups_are_the_slow_ones(grid: tuple[int, int]) -> None:
    for rows, columns in ((1, 2), (2, 2), (3, 1), (4, 4)):
        expected = slow_groups(grid, rows, columns)
        assert groups_of(grid, rows, columns).tolist() == expected
        merge = Merge(settings(rows=rows, columns=columns, start="pool"))
        result = merge.compress(page(grid))
        assert result.kept.tolist() == [members[0] for members in expected]


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 2), (3, 4)])
def test_the_basis_of_a_group_by_its_formula(rows: int, columns: int) -> None:
    def entry(u: int, v: int, a: int, b: int) -> float:
        scale = math.sqrt((2 if u else 1) / rows) * math.sqrt((2 if v else 1) / columns)
        down, across = (2 * a + 1) * u / (2 * rows), (2 * b + 1) * v / (2 * columns)
        return scale * math.cos(math.pi * down) * math.cos(math.pi * across)

    members = list(itertools.product(range(rows), range(columns)))
    order = sorted(members, key=lambda place: (place[0] ** 2 + place[1] ** 2, place))
    expected = [[entry(*frequency, *member) for member in members] for frequency in order]
    torch.testing.assert_close(group_basis(rows, columns), torch.tensor(expected).double())


def slow(form: str, network: torch.nn.Module, members: Tensor, shape: tuple[int, int]) -> Tensor:
    """One token of one group [g, channels]."""
    held, count = dict(network.named_parameters()), len(members)
    mean = members.mean(dim=0)
    if form == "linear":
        return mean + held["weight"] @ torch.cat(list(members))
    if form == "dct":
        found, basis = mean.clone(), group_basis(*shape)
        for number in range(1, count):
            coefficient = sum(basis[number, j] * members[j] for j in range(count))
            if f"up.{number - 1}" in held:
                matrix = held[f"up.{number - 1}"] @ held[f"down.{number - 1}"]
                found = found + matrix @ coefficient / math.sqrt(count)
            elif f"maps.{number - 1}" in held:
                found = found + held[f"maps.{number - 1}"] @ coefficient / math.sqrt(count)
        return found

    def even(x: Tensor) -> Tensor:
        return x / x.square().mean().sqrt()

    query = held["query"] @ even(mean) + held["bias"]
    parts = []
    for head in (slice(0, CHANNELS // 2), slice(CHANNELS // 2, CHANNELS)):
        keys = [
            held["key"] @ (even(x) + place)
            for x, place in zip(members, held["places"], strict=True)
        ]
        weights = torch.stack([query[head] @ key[head] for key in keys]) / math.sqrt(CHANNELS // 2)
        values = [(held["value"] @ x)[head] for x in members]
        parts.append(sum(w * v for w, v in zip(weights.softmax(0), values, strict=True)))
    return mean + held["output"] @ torch.cat(parts)


@pytest.mark.parametrize("form", STARTS)
def test_merging_is_the_slow_one(form: str) -> None:
    for rows, columns in ((1, 2), (2, 2), (3, 1)):
        merge = Merge(settings(rows=rows, columns=columns, form=form, start="pool"))
        network, tokens = doubled(merge), page((4, 5), levels=1)
        result = merge.compress(tokens)
        for row, members in enumerate(slow_groups((4, 5), rows, columns)):
            expected = slow(form, network, tokens.features[members], (rows, columns))
            torch.testing.assert_close(result.features[row], expected)
            (level,) = tokens.deepstack
            expected = slow(form, network, level[members], (rows, columns))
            expected = level[members].mean(dim=0) if form == "attention" else expected
            torch.testing.assert_close(result.deepstack[0][row], expected)


def test_some_coefficients_and_maps_of_a_low_rank() -> None:
    for high, rank in ((0, None), (2, None), (None, 3), (1, CHANNELS)):
        given = settings(rows=2, form="dct", start="pool", high=high, rank=rank)
        merge, tokens = Merge(given), page((4, 6))
        network = doubled(merge)
        assert len(list(network.parameters())) == (3 if high is None else high) * (2 if rank else 1)
        result = merge.compress(tokens)
        for row, members in enumerate(slow_groups((4, 6), 2, 2)):
            expected = slow("dct", network, tokens.features[members], (2, 2))
            torch.testing.assert_close(result.features[row], expected)
    pooled = Merge(settings(form="dct", high=0)).compress(page()).features
    torch.testing.assert_close(pooled, page().features.view(12, 2, -1).mean(dim=1))


@pytest.mark.parametrize(("form", "start"), FORMS)
def test_what_it_begins_as(form: str, start: str) -> None:
    tokens = page((4, 6))
    result = Merge(settings(rows=2, form=form, start=start)).compress(tokens).features
    for row, members in enumerate(slow_groups((4, 6), 2, 2)):
        inside = tokens.features[members]
        expected = inside.mean(dim=0)
        if start in ("first", "quiet"):  # quiet until it is turned
            expected = inside[0] + sum(rotation(CHANNELS, j) @ inside[j] for j in (1, 2, 3))
        elif start == "detail":
            coefficients = group_basis(2, 2) @ inside
            turned = sum(rotation(CHANNELS, k) @ coefficients[k] for k in (1, 2, 3))
            expected = expected + turned / 2
        torch.testing.assert_close(result[row], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 2)])
def test_quiet_turns_the_strongest_directions_into_the_weakest(rows: int, columns: int) -> None:
    tokens, generator = page((4, 6)), torch.Generator().manual_seed(7)
    spread = torch.randn(CHANNELS, 3 * CHANNELS, generator=generator, dtype=torch.float64)
    states = spread @ spread.T
    merge = Merge(settings(rows=rows, columns=columns, start="quiet"))
    merge.settle([tokens], states)
    result, exact = merge.compress(tokens).features, tokens.features.double()
    strongest = torch.linalg.svd(exact - exact.mean(dim=0))[2]
    weakest = torch.linalg.svd(states)[0].flip(1).T
    others = rows * columns - 1
    for row, members in enumerate(slow_groups((4, 6), rows, columns)):
        first, *rest = exact[members]
        rests = result[row].double() - first
        # What the others left along each weak direction, whose sign is free.
        for at, direction in enumerate(weakest):
            member, number = at % others, at // others
            left = abs(float(rests @ direction))
            assert left == pytest.approx(abs(float(rest[member] @ strongest[number])), abs=1e-4)


def test_pooling_is_block_means() -> None:
    """The control that it must beat is what it begins as with start=pool."""
    tokens = page((12, 12))
    for form in STARTS:
        result = Merge(settings(form=form, start="pool")).compress(tokens)
        torch.testing.assert_close(result.features, tokens.features.view(72, 2, -1).mean(dim=1))
    wide = Merge(settings(rows=2, start="pool")).compress(tokens)
    torch.testing.assert_close(wide.features, BlockMean(0.25).compress(tokens).features)


def test_nothing_of_a_pair_is_lost_where_its_tokens_fill_half_of_the_channels() -> None:
    """Pooling forgets which of two tokens was which; the detail brings it back (least squares)."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(4, 16, generator=generator, dtype=torch.float64)
    features = torch.randn(600, 4, generator=generator, dtype=torch.float64) @ plane
    tokens = VisionTokens(features, (20, 30))
    wanted = features.view(300, 32)
    for start, left in (("pool", 0.3), ("detail", 1e-6), ("first", 1e-6)):
        merged = Merge(settings(start=start)).compress(tokens).features
        solved = torch.linalg.lstsq(merged, wanted).solution
        error = float((merged @ solved - wanted).norm() / wanted.norm())
        assert error > left if start == "pool" else error < left


@pytest.mark.parametrize("form", STARTS)
@pytest.mark.parametrize("rank", [None, 2])
def test_gradients_are_finite_differences(form: str, rank: int | None) -> None:
    if rank and form != "dct":
        return
    given = settings(rows=2, form=form, start="pool", rank=rank)
    merge, tokens = Merge(given), page((3, 4), levels=1)
    network = doubled(merge)
    names, held = zip(*network.named_parameters(), strict=True)

    def run(features: Tensor, level: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.func.functional_call(
            _Whole(merge, network),
            {f"network.{n}": v for n, v in zip(names, values, strict=True)},
            (replace(tokens, features=features, deepstack=(level,)),),
        )
        return found.features, found.deepstack[0]

    inputs = [tokens.features, *tokens.deepstack, *held]
    leaves = [value.detach().clone().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(run, leaves)
    sum(part.square().sum() for part in run(*leaves)).backward()  # type: ignore[union-attr]
    assert all(leaf.grad is not None and bool(leaf.grad.abs().max() > 1e-6) for leaf in leaves)


class _Whole(torch.nn.Module):
    """A merge as a module, so that its parameters can be given."""

    def __init__(self, merge: Merge, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self._merge = network, merge

    def forward(self, tokens: VisionTokens) -> object:
        return self._merge.reduce(tokens)


@pytest.mark.parametrize(("form", "start"), FORMS)
def test_compress_is_reduce_in_evaluation_mode(form: str, start: str) -> None:
    merge, tokens = Merge(settings(form=form, start=start)), page(levels=2)
    network = merge.network(CHANNELS).train()
    assert all(value.dtype is torch.float32 for value in network.state_dict().values())
    found, result = merge.reduce(tokens), merge.compress(tokens)
    assert network.training
    assert network is merge.network(CHANNELS)
    assert torch.equal(found.features, result.features)
    assert torch.equal(found.kept, result.kept)
    assert all(map(torch.equal, found.deepstack, result.deepstack))
    assert found.features.requires_grad
    assert not result.features.requires_grad
    assert found.loss is None
    result = merge.compress(replace(tokens, features=tokens.features.bfloat16()))
    assert result.features.dtype is torch.bfloat16
    # Computed in float32 and rounded once.
    near = merge.compress(replace(tokens, features=tokens.features.bfloat16().float())).features
    assert torch.equal(result.features, near.bfloat16())


def test_rotations_are_orthogonal_and_the_same_everywhere() -> None:
    matrices = [rotation(8, number) for number in (1, 2, 3)]
    for matrix in matrices:
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(8).double())
    assert not torch.allclose(matrices[0], matrices[1])
    wanted = torch.tensor([-0.1280355, -0.2426806, -0.0804754]).double()
    torch.testing.assert_close(matrices[0][0, :3], wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": 5}, "rows: got 5, allowed: 1 to 4"),
        ({"columns": 0}, "columns: got 0, allowed: 1 to 4"),
        ({"columns": 1}, "columns: got 1, allowed: 2 to 4 with rows=1"),
        ({"form": "mean"}, "form: got 'mean', allowed: linear, dct, attention"),
        ({"form": "dct", "start": "first"}, "start: got 'first', allowed: pool, detail with form"),
        ({"form": "attention"}, "start: got 'detail', allowed: pool with form=attention"),
        ({"high": 1}, "high: got 1, allowed: null unless form=dct"),
        ({"rank": 1}, "rank: got 1, allowed: null unless form=dct"),
        ({"form": "dct", "high": 2}, "high: got 2, allowed: 0 to 1 with groups of 2, or null"),
        ({"form": "dct", "rank": 0}, "rank: got 0, allowed: 1 or more, or null"),
        ({"heads": 0}, "heads: got 0, allowed: 1 or more"),
    ],
)
def test_settings_outside_their_ranges(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Merge(settings(**changed))
    (fault,) = caught.value.faults
    assert fault.startswith(message)
    overrides = [f"compressor.{key}={value}" for key, value in changed.items() if key != "form"]
    overrides += [f"compressor.form={changed['form']}"] if "form" in changed else []
    with pytest.raises(ConfigError) as caught:
        compose(("compressor=merge", *overrides))
    assert caught.value.faults[0].startswith(f"compressor.{message.split(', allowed')[0]}")


def test_channels_that_do_not_suit() -> None:
    with pytest.raises(UserError, match=r"heads: got 4, allowed: a divisor of .* 6 channels"):
        Merge(settings(form="attention", start="pool", heads=4)).compress(page())
    with pytest.raises(UserError, match=r"rank: got 7, allowed: at most the tokens' 6 channels"):
        Merge(settings(form="dct", rank=7)).compress(page())
    merge = Merge(settings())
    merge.compress(page())
    with pytest.raises(UserError, match=r"of 8 channels: the parameters are for tokens of 6"):
        merge.compress(page(channels=8))
