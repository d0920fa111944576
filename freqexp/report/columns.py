"""What the table says of a run, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freqexp.comparing.budgets import AXES, pareto_axes
from freqexp.comparing.comparison import Comparison, Estimate, Row
from freqexp.comparing.questions import kv_share
from freqexp.comparing.rivals import acts_on_cache
from freqexp.comparing.text import plain
from freqexp.report.legends import AS_TEXT, CER, LAYERS, LEGEND, MORE, PLACE, PROMPT, QUESTION
from freqexp.results.record import median
from freqexp.results.summarize import token_ratio
from freqexp.results.table import as_text, change, count, layer_tokens, number, percent, place, size

MISSING = "-"
LETTERS = dict(zip((axis.name for axis in AXES), "stkmfp", strict=True))
"""Pareto sets in one letter each: stored bytes, tokens, KV cache, milliseconds, operations,
prompt tokens."""


@dataclass(frozen=True)
class Column:
    """key: sorts the HTML table; None sorts last."""

    head: str
    cell: Callable[[Row], str]
    key: Callable[[Row], float | str | None]
    in_latex: bool = True


def interval(estimate: Estimate | None, sign: bool = False, digits: int = 3) -> str:
    """As in `0.812 [0.703, 0.906]`."""
    if estimate is None:
        return MISSING
    value = number(estimate.value, digits, sign)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{number(estimate.low, digits, sign)}, {number(estimate.high, digits, sign)}]"


def p_value(value: float | None) -> str:
    """Three digits; below that only that it is below."""
    if value is None:
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _tokens(row: Row) -> str:
    text, text_out = row.means.get("text_tokens"), row.means.get("text_tokens_out")
    if text_out is not None:
        shown = count(text_out) if text == text_out else change(text, text_out, count)
        return f"{shown} text"
    before, after = row.means.get("vision_tokens_in"), row.means.get("vision_tokens_out")
    return count(after) if before == after else change(before, after, count)


def _as_text(row: Row) -> str:
    return as_text(row.means.get("text_tokens"), token_ratio(row.means))


def _layer_tokens(row: Row) -> str:
    return layer_tokens(row.means.get("decoder_tokens"), row.means.get("mean_layer_tokens"))


def _kept_key(row: Row) -> float | None:
    """Sorts by share, then counts of tokens: a count is never below 1."""
    budget = row.run.budget
    return budget.keep_ratio if budget.keep_tokens is None else float(budget.keep_tokens)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def median_of(row: Row, name: str) -> float | None:
    """Median of a field of the scored samples; None where it was not measured."""
    return median(getattr(r, name) for r in row.run.records.values() if r.score is not None)


def _later(row: Row) -> float | None:
    """The score from the second answer token on, of a run that saw the question."""
    return row.means.get("later_score") if row.run.question == "seen" else None


def _cache(row: Row) -> str:
    """Bytes of the cache, and what share that is of what the model made, where a method acts."""
    shown, share = size(row.means.get("kv_cache_bytes")), kv_share(row)
    acts = acts_on_cache(row.run) and share is not None
    return f"{shown} ({number(100 * (share or 0.0), 1)} %)" if acts else shown


def _flips(row: Row) -> str:
    return MISSING if row.delta is None else f"{row.delta.lost} / {row.delta.gained}"


def _share(part: str, of_it: str) -> Callable[[Row], str]:
    """A share in percent, and in brackets another."""
    return lambda row: place(row.parts.get(part), row.parts.get(of_it))


def _rounded(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.0f} %"


def columns(comparison: Comparison) -> list[Column]:
    """What a row says, in order; columns nobody fills are left out."""
    on = pareto_axes(comparison)

    def letters(row: Row) -> str:
        return "".join(LETTERS[name] for name in on.get(row.run.run_id, ())) or MISSING

    def kept(row: Row) -> str:
        return row.run.budget.words() or MISSING

    cached = any(acts_on_cache(row.run) for row in comparison.rows)
    margin = f"margin {comparison.margin:g}"
    every = [
        Column("compressor", lambda r: r.run.compressor, lambda r: r.run.compressor),
        Column("options", lambda r: r.run.options, lambda r: r.run.options),
        Column("keep", kept, _kept_key),
        Column("profile", lambda r: r.run.profile or MISSING, lambda r: r.run.profile),
        Column(QUESTION, lambda r: r.run.question or MISSING, lambda r: r.run.question),
        Column("n", lambda r: str(r.samples), lambda r: r.samples),
        Column("accuracy [95 %]", lambda r: interval(r.accuracy), lambda r: _value(r.accuracy)),
        Column("later score", lambda r: number(_later(r), 3), _later),
        Column("chance", lambda r: number(r.chance, 3), lambda r: r.chance),
        Column(
            "prefix miss",
            lambda r: number(_value(r.prefix_miss), 3),
            lambda r: _value(r.prefix_miss),
        ),
        Column(
            PLACE,
            _share("right_place_rate", "place_chance"),
            lambda r: r.parts.get("right_place_rate"),
        ),
        Column(
            "copied",
            lambda r: number(r.parts.get("copied_share"), 3),
            lambda r: r.parts.get("copied_share"),
        ),
        Column(
            "derailed",
            lambda r: _rounded(r.parts.get("derailed_rate")),
            lambda r: r.parts.get("derailed_rate"),
        ),
        Column(
            "other turn",
            _share("wrong_turn_rate", "wrong_needle_rate"),
            lambda r: r.parts.get("wrong_turn_rate"),
            in_latex=False,
        ),
        Column(
            CER,
            lambda r: percent(r.means.get("character_error_rate")),
            lambda r: r.means.get("character_error_rate"),
        ),
        Column(
            "delta [95 %]",
            lambda r: interval(r.delta.accuracy if r.delta else None, sign=True),
            lambda r: r.delta.accuracy.value if r.delta else None,
        ),
        Column(
            "p (Holm)",
            lambda r: p_value(r.delta.p_holm if r.delta else None),
            lambda r: r.delta.p_holm if r.delta else None,
        ),
        Column(
            margin,
            lambda r: r.delta.verdict if r.delta else MISSING,
            lambda r: r.delta.verdict if r.delta else None,
        ),
        Column("lost / gained", _flips, lambda r: r.delta.lost if r.delta else None, False),
        Column("n non-inferior", lambda r: _needed(r, 0), lambda r: _samples(r, 0), False),
        Column("n loss", lambda r: _needed(r, 1), lambda r: _samples(r, 1), False),
        Column(
            "tokens",
            _tokens,
            lambda r: r.means.get("text_tokens_out") or r.means.get("vision_tokens_out"),
        ),
        Column(AS_TEXT, _as_text, lambda r: token_ratio(r.means), in_latex=False),
        Column(
            PROMPT,
            lambda r: count(r.means.get("prompt_tokens")),
            lambda r: r.means.get("prompt_tokens"),
        ),
        Column(
            "cost",
            lambda r: number(r.means.get("cost"), 6),
            lambda r: r.means.get("cost"),
            in_latex=False,
        ),
        Column(LAYERS, _layer_tokens, lambda r: r.means.get("mean_layer_tokens")),
        Column("KV cache", _cache, lambda r: r.means.get("kv_cache_bytes")),
        Column(
            "stored", lambda r: size(AXES[0].cost(r)), lambda r: AXES[0].cost(r), in_latex=False
        ),
        Column("ms", lambda r: number(r.median_ms, 0), lambda r: r.median_ms),
        *[_milliseconds("KV ms", "kv_ms"), _milliseconds("ms a token", "decode_token_ms")] * cached,
        Column("Pareto", letters, letters),
        Column("notes", lambda r: "; ".join(map(plain, r.notes)), lambda r: len(r.notes), False),
        Column("run", lambda r: plain(r.run.run_id)[:8], lambda r: r.run.run_id, False),
    ]
    return [
        column
        for column in every
        if any(column.cell(row) not in (MISSING, "") for row in comparison.rows)
    ]


def _milliseconds(head: str, name: str) -> Column:
    """Medians of a time, one digit behind the point."""
    return Column(
        head, lambda r: number(median_of(r, name), 1), lambda r: median_of(r, name), in_latex=False
    )


def _samples(row: Row, which: int) -> int | None:
    delta = row.delta
    return None if delta is None else (delta.needed_non_inferior, delta.needed_loss)[which]


def _needed(row: Row, which: int) -> str:
    if row.delta is None:
        return MISSING
    count = _samples(row, which)
    return "n/a" if count is None else str(count)


def legend(chosen: Sequence[Column]) -> list[str]:
    """What the columns mean, a sentence each."""
    return [*LEGEND, *(line for column in chosen for line in MORE.get(column.head, ()))]
