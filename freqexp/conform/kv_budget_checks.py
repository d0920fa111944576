"""What every method on the KV cache must hold where a budget says how many tokens stay."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

from freqexp.coding.share import kept_count
from freqexp.conform.cases import KEEP_RATIOS, Case
from freqexp.conform.expect import expect, refuses
from freqexp.conform.inputs import HEADS
from freqexp.conform.kv_tools import ENOUGH, LONG, bits_of, layer_of, rows, same, scope_of
from freqexp.errors import BudgetError


def evicts_at_a_smaller_budget_what_it_does_at_a_larger(case: Case) -> None:
    """Also: each head holds tokens of the prompt, each at most as often as it was there."""
    method = case.build()
    if not (method.evicts and method.nested) or bits_of(case) is not None:
        return
    layer = layer_of(case)
    given, fewer = rows(layer.keys, layer.values), [Counter[bytes]() for _ in range(HEADS)]
    for keep_ratio in (ENOUGH, 0.5, 0.7, 1.0):
        kept = [Counter(head) for head in rows(*case.build(keep_ratio).compress(layer).read())]
        for head, held in enumerate(kept):
            expect(held <= Counter(given[head]), "a head holds what was not in the prompt")
            expect(fewer[head] <= held, "`nested`, and the sets are not")
        fewer = kept


def takes_a_budget_before_the_keep_ratio(case: Case) -> None:
    """`keep_tokens`, and a refusal of one that the scope has no tokens for."""
    layer = layer_of(case)
    scope = len(scope_of(case, layer))
    if not case.build().evicts:
        return
    for keep_ratio in (ENOUGH, 0.5, 1.0):
        budgeted = replace(layer, budget=kept_count(scope, keep_ratio))
        wanted = case.build(keep_ratio).compress(layer)
        equal = same(case.build(0.7).compress(budgeted), wanted)
        expect(equal, f"a budget of {budgeted.budget} is not keep_ratio {keep_ratio}")
    for budget in (0, scope + 1):
        wrong = replace(layer, budget=budget)
        said = refuses(partial(case.build().compress, wrong), BudgetError, f"takes {budget}")
        named = f"keep_tokens: got {budget}, allowed: 1 to" in said and str(scope) in said
        expect(named, f"budget {budget} of {scope} is refused with: {said}")


def shares_a_whole_budget_out(case: Case) -> None:
    """Budgets of layers sum to those of equal ones."""
    layers = [layer_of(case, number=number) for number in range(4)]
    layers[2] = replace(layers[2], keys=layers[2].keys + 9, values=layers[2].values + 9)
    if not case.build().all_layers:
        refuses(lambda: case.build().plan(layers), TypeError, "plans, and all_layers is false")
        return
    scope = len(scope_of(case, layers[2]))
    for keep_ratio in KEEP_RATIOS:
        method = case.build(keep_ratio)
        budgets = method.plan(layers)
        expect(budgets == case.build(keep_ratio).plan(layers), "another plan of another object")
        total = 4 * kept_count(scope, keep_ratio)
        expect(sum(budgets) == total, f"budgets {budgets} do not sum to {total}")
        for layer, budget in zip(layers, budgets, strict=True):
            expect(1 <= budget <= scope, f"a budget of {budget}, allowed: 1 to {scope}")
            stored = method.compress(replace(layer, budget=budget))
            expect(stored.tokens == LONG - scope + budget, f"{stored.tokens} of {budget} stay")
        differ = len(set(budgets)) > 1 or keep_ratio in (0.01, 1.0)
        expect(differ, f"all_layers, and all budgets are {budgets[0]}")
