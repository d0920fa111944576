from __future__ import annotations

from typing import Any

import pytest

from freqexp.errors import ConfigError
from freqexp.results.intervals import changes, interval
from freqexp.results.power import least_samples
from freqexp.search.plan import Plan, Wanted, plan_of


def test_values_are_those_that_a_sweep_has() -> None:
    plan = plan_of(Wanted(low=0.1, high=0.5, resolution=0.1))
    assert plan.values == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert plan_of(Wanted(low=0.3, high=0.5, resolution=0.15)).values == (0.3, 0.45, 0.5)
    counted = plan_of(Wanted("keep_tokens", low=8, high=20, resolution=8)).values
    assert counted == (8, 16, 20)
    assert all(isinstance(value, int) for value in counted)


@pytest.mark.parametrize(
    ("count", "probes"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (19, 5)]
)
def test_bisection_needs_so_many_probes(count: int, probes: int) -> None:
    plan = Plan("keep_ratio", 0.1, tuple(0.01 * n for n in range(1, count + 1)), (8,))
    assert plan.probes == probes
    # Any answer, none among them, is found with so many.
    for answer in range(count + 1):
        low, high, asked = 0, count, 0
        while low < high:
            middle, asked = (low + high) // 2, asked + 1
            low, high = (low, middle) if middle >= answer else (middle + 1, high)
        assert low == answer
        assert asked <= probes


@pytest.mark.parametrize("samples", [(64,), (8, 16), (32, 64, 128, 256), (10, 1000)])
def test_all_looks_together_err_in_5_percent(samples: tuple[int, ...]) -> None:
    plan = plan_of(Wanted(samples=samples))
    errors = [1 - plan.level(look) for look in range(len(samples))]
    assert sum(errors) * plan.probes == pytest.approx(0.05)
    assert errors == sorted(errors)
    assert plan.decides(len(samples) - 1)


def test_looks_too_early_for_an_interval_decide_nothing() -> None:
    plan = plan_of(Wanted(samples="2, 1000"))
    assert not plan.decides(0)
    with pytest.raises(ValueError, match="level"):
        interval(changes([1.0, 1.0], [1.0, 1.0]), plan.level(0))


def test_samples_may_be_written_as_a_list() -> None:
    assert plan_of(Wanted(samples="[8,16]")).samples == (8, 16)


def test_the_defaults_can_show_something() -> None:
    plan = plan_of(Wanted())
    assert least_samples(plan.margin, plan.level(len(plan.samples) - 1)) <= plan.samples[-1]


@pytest.mark.parametrize("level", [0.95, 0.999])
@pytest.mark.parametrize("margin", [0.1, 0.3])
def test_least_samples_are_just_enough(margin: float, level: float) -> None:
    least = least_samples(margin, level)
    enough, few = (
        interval(changes([1.0] * n, [1.0] * n), level)[0]
        for n in (round(1.15 * least), round(0.85 * least))
    )
    assert few < -margin < enough


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"margin": 0.0}, "--margin"),
        ({"margin": float("nan")}, "--margin"),
        ({"low": 0.0}, "--low"),
        ({"low": float("nan")}, "--low"),
        ({"high": 1.1}, "--high"),
        ({"low": 0.5, "high": 0.5}, "--low"),
        ({"resolution": 0.95}, "--resolution"),
        ({"resolution": 0.0}, "--resolution"),
        ({"resolution": 1e-5}, "--resolution"),
        ({"samples": ""}, "--samples"),
        ({"samples": "8,8"}, "--samples"),
        ({"samples": "16,8"}, "--samples"),
        ({"samples": "1,8"}, "--samples"),
        ({"samples": "8,x"}, "--samples"),
        ({"samples": "8,99999999"}, "--samples"),
        ({"samples": (8, -1)}, "--samples"),
        ({"budget": "keep_tokens"}, "--high"),
        ({"budget": "keep_tokens", "low": 1.5, "high": 8, "resolution": 1}, "--low"),
        ({"budget": "keep_tokens", "low": float("inf"), "high": 8, "resolution": 1}, "--low"),
    ],
)
def test_bad_input_names_the_option(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"(?m)^{field}: got "):
        plan_of(Wanted(**changed))


def test_every_fault_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        plan_of(Wanted(margin=2, low=-1, samples="4,2"))
    assert len(raised.value.faults) == 3
