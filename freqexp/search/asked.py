"""From overrides to a checked search, made and perhaps printed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.answering.session import Session
from freqexp.composing.compose import Asked, ask
from freqexp.config.budget import acting_budget
from freqexp.config.check import check
from freqexp.errors import ConfigError, fault
from freqexp.results.search_file import SEARCH
from freqexp.running.progress import make_progress
from freqexp.search.bisect import Search, with_value
from freqexp.search.plan import BudgetName, Plan, Wanted, plan_of
from freqexp.search.words import sentences, table
from freqexp.tracking.mirror import Mirrors

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.search.outcome import Outcome


def searched(wanted: Wanted, overrides: Sequence[str], arguments: Sequence[str] = ()) -> None:
    """Search, and print what came of it. Raises what `search` raises."""
    found = search(wanted, overrides, arguments)
    if found is None:
        return
    outcome, folder = found
    print(f"\n{table(outcome)}\n")
    for sentence in sentences(outcome):
        print(sentence)
    print(f"\nsearch: {folder / SEARCH}\nreport: python -m freqexp.report {folder}")


def search(
    wanted: Wanted,
    overrides: Sequence[str],
    arguments: Sequence[str] = (),
    session: Session | None = None,
) -> tuple[Outcome, Path] | None:
    """Search; gives what came of it and the folder of its sweep, None where a flag only asked to
    show something.

    overrides: of the run whose budget is looked for, with flags of `freqexp.run`. arguments: the
    command as typed. session: whose loaded model is used. Raises ConfigError before any work, with
    every fault, and what `Search.run` raises.
    """
    plan, asked, faults = _checked(wanted, overrides)
    if asked is not None and not asked.points:
        return None
    if plan is None or asked is None or faults:
        raise ConfigError(faults)
    point, events = asked.points[0], asked.events
    searching = Search(
        plan,
        point.config,
        session or Session(),
        make_progress(),
        Mirrors(),
        point.overrides,
        arguments,
        events if events is not None and events.acts else None,
    )
    with nullcontext() if events is None else events.command():
        outcome = searching.run()
    return outcome, Path(point.config.output_dir) / "sweeps" / outcome.name


def _checked(
    wanted: Wanted, overrides: Sequence[str]
) -> tuple[Plan | None, Asked | None, list[str]]:
    """The search and its run, and everything that is wrong with them."""
    plan = asked = None
    faults: list[str] = []
    try:
        plan = plan_of(wanted)
    except ConfigError as error:
        faults += error.faults
    try:
        asked = ask(overrides)
    except ConfigError as error:
        faults += error.faults
    if asked is None or not asked.points:
        return plan, asked, faults
    faults += point_faults(asked, wanted.budget)
    if plan is not None and not faults:
        faults += value_faults(asked.points[0].config, plan)
    return plan, asked, faults


def point_faults(asked: Asked, budget: BudgetName) -> list[str]:
    """What keeps a composed command from being searched."""
    cfg = asked.points[0].config
    faults = []
    if len(asked.points) > 1:
        allowed = "1 in a search: no values with commas, and one draw (compressor.seeds=1)"
        faults.append(fault("runs", len(asked.points), allowed))
    typed = {name.lstrip("+"): value for name, _, value in _pairs(asked.points[0].overrides)}
    options = {"samples": "--samples", budget: "--low, --high and --resolution"}
    for name, option in options.items():
        if name in typed:
            faults.append(fault(name, typed[name], f"{option} in a search, which chooses it"))
    if cfg.cluster.executor.value != "local":
        allowed = "local: each probe of a search depends on the one before"
        faults.append(fault("cluster", cfg.cluster.executor.value, allowed))
    if not cfg.baseline:
        faults.append(fault("baseline", False, "true in a search, which compares with it"))
    return faults + budget_faults(cfg, budget)


def _pairs(overrides: Sequence[str]) -> list[tuple[str, str, str]]:
    return [text.partition("=") for text in overrides]


def budget_faults(cfg: RunConfig, budget: BudgetName) -> list[str]:
    """A method that the budget does not reach."""
    compressor = cfg.compressor
    if not (compressor.uses_keep_ratio if budget == "keep_ratio" else compressor.uses_keep_tokens):
        use = "a method that uses a keep ratio" if budget == "keep_ratio" else ""
        use = use or "a method that can be told how many tokens stay (keep_tokens)"
        return [fault("compressor", compressor.title, f"{use}, in a search of its {budget}")]
    acting = acting_budget(with_value(cfg, budget, 1))
    if getattr(acting, budget) is None:
        other = "keep_like" if cfg.keep_like is not None else "keep_tokens"
        allowed = f"null in a search of {budget}, which it takes the place of"
        return [fault(other, getattr(cfg, other), allowed)]
    if budget == "keep_tokens" and cfg.keep_like is not None:
        allowed = "null in a search of keep_tokens: one of them says how many stay"
        return [fault("keep_like", cfg.keep_like, allowed)]
    return []


def value_faults(cfg: RunConfig, plan: Plan) -> list[str]:
    """Faults of the first of the runs that the search could make that has any."""
    for value in plan.values:
        faults = check(with_value(cfg, plan.budget, value))
        if faults:
            return faults
    return []
