"""What every compressor must hold: all options in conf/compressor, with all their switches.

A new method needs no test here: its YAML file is found, every combination of its boolean and
enumerated settings that the schema allows is built, and its stage says which checks of
`freqexp.conform` it has to pass. `python -m freqexp.conform NAME` makes the same ones.
"""

from __future__ import annotations

from typing import get_args

import pytest

from freqexp.conform.cases import Case, cases_or_fault
from freqexp.conform.checks import Check, pairs, title
from freqexp.conform.expect import NotHereError
from freqexp.paths import conf_dir
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.method import StageName
from freqexp.schemas.section import option_name

OPTIONS = sorted(path.stem for path in (conf_dir() / "compressor").glob("*.yaml"))
SCHEMAS = {option_name(schema): schema for schema in COMPRESSORS}
CASES = [case for option in OPTIONS for case in cases_or_fault(option, SCHEMAS[option])]
ABLE = [case for case in CASES if not case.faults]


def of_stage(stage: str) -> pytest.MarkDecorator:
    chosen = [pytest.param(case, id=case.name) for case in ABLE if case.config.stage == stage]
    return pytest.mark.parametrize("case", chosen)


def test_the_stages_are_all_there() -> None:
    assert {case.config.stage for case in CASES} == set(get_args(StageName))
    names = {case.config.name for case in CASES}
    assert names == set(OPTIONS)
    # Left out for want of a program and for nothing else.
    assert all("not found" in fault for case in CASES for fault in case.faults)


@pytest.mark.parametrize(
    ("case", "check"),
    [
        *(pytest.param(c, k, id=f"{c.name}-{title(k).replace(' ', '_')}") for c, k in pairs(ABLE)),
        *(
            pytest.param(case, None, id=case.name, marks=[pytest.mark.skip("; ".join(case.faults))])
            for case in CASES
            if case.faults
        ),
    ],
)
def test_a_method_keeps_what_its_stage_promises(case: Case, check: Check) -> None:
    try:
        check(case)
    except NotHereError as reason:
        pytest.skip(str(reason))


@of_stage("none")
def test_the_baseline_is_no_compressor(case: Case) -> None:
    assert case.config.build(0.5, None) is None
    assert case.config.parts(0.5) == ()


@of_stage("combined")
def test_a_combination_is_made_of_methods_in_the_order_of_their_stages(case: Case) -> None:
    parts = case.config.parts(0.5)
    assert [part.config.stage for part in parts] == ["codec", "token"]
    assert [part.keep_ratio for part in parts] == [0.5, 0.5]
    assert {part.config.name for part in parts} <= {case.config.name for case in CASES}
    for uses in ("uses_keep_ratio", "uses_profile"):
        assert getattr(case.config, uses) == any(getattr(part.config, uses) for part in parts)


def test_a_method_of_every_profile_is_among_them() -> None:
    assert any(case.config.uses_profile for case in ABLE if case.config.stage == "token")
