"""The table at the end of a command: what each point scored beside what it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from freqexp.config.budget import Budget
from freqexp.results.draws import Drawn, pooled
from freqexp.results.summary import Summary

MISSING = "-"

Cell = Callable[[Summary], str]


def number(value: float | None, digits: int, sign: bool = False) -> str:
    """A number with fixed digits, or a dash when there is none."""
    if value is None:
        return MISSING
    return f"{value:+z.{digits}f}" if sign else f"{value:z.{digits}f}"


def interval(value: float | None, low: float | None, high: float | None, sign: bool = False) -> str:
    """As in `0.812 [0.703, 0.906]`."""
    if value is None or low is None or high is None:
        return number(value, 3, sign)
    return f"{number(value, 3, sign)} [{number(low, 3, sign)}, {number(high, 3, sign)}]"


def size(value: float | None) -> str:
    """A size in bytes with a binary unit."""
    if value is None:
        return MISSING
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def percent(value: float | None) -> str:
    """A share as a percentage without its sign, two digits behind the point."""
    return number(None if value is None else 100 * value, 2)


def change(before: float | None, after: float | None, show: Callable[[float | None], str]) -> str:
    """As in `144 -> 72`; a dash where neither was measured."""
    if before is None and after is None:
        return MISSING
    return f"{show(before)} -> {show(after)}"


def place(right: float | None, chance: float | None) -> str:
    """Replies that begin at the right place, and how many would by chance, as in `50 % (13)`."""
    if right is None:
        return MISSING
    return f"{100 * right:.0f} % ({number(None if chance is None else 100 * chance, 0)})"


def count(value: float | None) -> str:
    """A mean count, with a decimal only where it is not whole."""
    return number(value, 0 if value is None or value == int(value) else 1)


def layer_tokens(entering: float | None, mean: float | None) -> str:
    """Tokens that enter the decoder and their mean over its layers, as in `166 -> 94`; a dash where
    none leaves on the way.
    """
    if entering is None or mean is None or mean == entering:
        return MISSING
    return change(entering, mean, count)


def tokens(
    pages_in: float | None, pages_out: float | None, text: float | None, text_out: float | None
) -> str:
    """Tokens that stand for the conversation before and after a method, vision tokens as in
    `288 -> 144`, or text tokens as in `166 -> 80 text`.
    """
    if text_out is None:
        return change(pages_in, pages_out, count)
    return f"{change(text, text_out, count)} text"


def as_text(text: float | None, ratio: float | None) -> str:
    """Tokens of the conversation as text, and how many for each that stood for it, as in
    `166 (0.58 : 1)`.
    """
    return MISSING if text is None else f"{count(text)} ({number(ratio, 2)} : 1)"


def times(summary: Summary) -> str:
    """Median milliseconds of the stages, as in `1.2 / 30 / 15 / 250`; three digits are plenty."""
    stages = (
        summary.compress_ms_median,
        summary.encode_ms_median,
        summary.prefill_ms_median,
        summary.decode_ms_median,
    )
    return " / ".join(number(ms, 0 if ms is None or ms >= 10 else 1) for ms in stages)


def stored(summary: Summary) -> str:
    """Stored bytes, and how many times smaller that is than the best lossless format."""
    if summary.stored_bytes is None:
        return MISSING
    return f"{size(summary.stored_bytes)} ({number(summary.lossless_ratio, 2)}x)"


def cache(summary: Summary) -> str:
    """Bytes of the KV cache after prefill; with the share that is of what the model made where a
    method acts on it.
    """
    shown = size(summary.kv_cache_bytes)
    if summary.kv_simulated is None:
        return shown
    return f"{shown} ({number(None if summary.kv_share is None else 100 * summary.kv_share, 1)} %)"


def samples(summary: Summary) -> str:
    """Scored samples, and of how many when some failed."""
    scored = summary.samples - summary.failed
    return f"{scored} of {summary.samples}" if summary.failed else str(scored)


def notes(summary: Summary) -> str:
    """What a reader of the row must not miss."""
    parts = {
        "codec": summary.codec_simulated,
        "token": summary.token_simulated,
        "kv": summary.kv_simulated,
    }
    real = [name for name, simulated in parts.items() if simulated is False]
    which = [name for name, simulated in parts.items() if simulated]
    found = []
    if summary.simulated:
        found.append(f"{' and '.join(which)} simulated" if real else "simulated")
    if summary.truncated:
        thinking = f" ({summary.cut_off} while thinking)" if summary.cut_off else ""
        found.append(f"{summary.truncated} truncated{thinking}")
    if summary.failed:
        found.append(f"{summary.failed} failed")
    found += missing_words(summary.missing_characters, summary.page_characters)
    return ", ".join(found)


def missing_words(missing: float | None, characters: float | None) -> list[str]:
    """How many of the pages' characters don't look as they should, where that is above 0.1 %."""
    share = missing / characters if missing is not None and characters else 0.0
    return [f"{100 * share:.3g} % of the characters not shown"] if share > SHOWN_WRONG else []


SHOWN_WRONG = 0.001
"""Above this share of the pages' characters a row says that some are not shown."""

COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("model", lambda s: s.model),
    ("needles", lambda s: str(s.needles)),
    ("samples", samples),
    ("compressor", lambda s: s.compressor),
    ("options", lambda s: s.options),
    ("keep", lambda s: Budget(s.keep_ratio, s.keep_tokens, s.keep_like).words() or MISSING),
    ("profile", lambda s: s.profile or MISSING),
    ("question", lambda s: s.question or MISSING),
    ("accuracy [95 %]", lambda s: interval(s.accuracy, s.accuracy_low, s.accuracy_high)),
    ("chance", lambda s: number(s.chance, 3)),
    ("place", lambda s: place(s.right_place_rate, s.place_chance)),
    ("copied", lambda s: number(s.copied_share, 3)),
    ("CER %", lambda s: percent(s.character_error_rate)),
    ("delta [95 %]", lambda s: interval(s.delta, s.delta_low, s.delta_high, sign=True)),
    (
        "tokens",
        lambda s: tokens(s.vision_tokens_in, s.vision_tokens_out, s.text_tokens, s.text_tokens_out),
    ),
    ("as text", lambda s: as_text(s.text_tokens, s.text_token_ratio)),
    ("decoder", lambda s: count(s.decoder_tokens) if s.text_tokens is not None else MISSING),
    ("prompt tokens", lambda s: count(s.prompt_tokens)),
    ("cost", lambda s: number(s.cost, 6)),
    ("layer tokens", lambda s: layer_tokens(s.decoder_tokens, s.mean_layer_tokens)),
    ("KV cache", cache),
    ("later", lambda s: number(s.later_score if s.question == "seen" else None, 3)),
    ("PNG", lambda s: change(s.png_bytes, s.png_bytes_after, size)),
    ("stored", stored),
    ("ms", times),
    ("notes", notes),
    ("run", lambda s: s.run_id[:8]),
)
WHEN_DIFFERENT = ("model", "needles", "samples")
"""Columns that go into the line above the table while every row says the same."""
WHEN_FILLED = (
    *("options", "profile", "question", "place", "copied", "CER %"),
    *("as text", "decoder", "prompt tokens", "cost", "layer tokens", "later", "stored", "notes"),
)
"""Columns that are left out while no row says anything."""

LEGEND = (
    "Means per sample. chance: the score of answering with another turn. delta: difference to the\n"
    "baseline. ms: medians of compress / encode / prefill / decode. -: not measured\n"
    "(encode ms: shared with an earlier run). simulated: nothing really got shorter or smaller.\n"
    "stored: bytes that were decoded again (smallest lossless form of the pages over them)."
)

PARTS = (
    "place: replies that begin as the wanted one (in brackets: how many other turns do). copied:\n"
    "the score of replies cut at the wanted length. A score below chance can be a right place\n"
    "and a copy that broke off or does not end."
)
"""Added to the legend where scores were taken apart."""

AS_TEXT = (
    "as text: tokens that the conversation takes as text (for each token that stood for it in the\n"
    "decoder's sequence, vision or text). decoder: all tokens of that sequence, the question's too."
)
"""Added to the legend where text tokens were counted."""

SERVED = (
    "prompt tokens: as the server counts them, images included. cost: of one sample, by the run's\n"
    "prices. ms of a served model: - / making PNGs / time to the first token / the rest."
)
"""Added to the legend where a server says what it counted."""

IN_DECODER = "layer tokens: text and vision tokens that enter the decoder -> mean over its layers."
"""Added to the legend where a run dropped tokens inside the decoder."""

CACHE = (
    "question: whether the KV cache is compressed after the question was read, or before. later:\n"
    "the score without the first answer token, which sees everything where the question was seen.\n"
    "KV cache: bytes held after prefill (% of what the model made)."
)
"""Added to the legend where a method acts on the cache."""

LEGIBILITY = (
    "CER: characters a line reader misread. It measures legibility: it locates the turn in what\n"
    "it read, without a language model, so its accuracy is not that of a vision-language model."
)
"""Added to the legend where a run has a character error rate."""


def column(name: str, cell: Cell, drawn: Sequence[Drawn]) -> list[str]:
    """What each row says under `name`; the spread of draws is among the notes."""
    values = [cell(row.summary) for row in drawn]
    if name != "notes":
        return values
    pairs = zip(drawn, values, strict=True)
    return [", ".join(filter(None, (row.note(), text))) for row, text in pairs]


def render_table(summaries: Sequence[Summary]) -> str:
    """Plain text: what all runs share, one row a run (the draws of random pruning are one) in
    the given order, a short legend.
    """
    drawn = pooled(summaries)
    summaries = [row.summary for row in drawn]
    shared, columns = [], []
    for name, cell in COLUMNS:
        values = column(name, cell, drawn)
        if name in WHEN_DIFFERENT and len(set(values)) == 1:
            shared.append(f"{name}: {values[0]}")
        elif name not in WHEN_FILLED or any(value.strip(MISSING) for value in values):
            columns.append([name, *values])
    widths = [max(map(len, column)) for column in columns]
    head, *rows = [
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]
    rule = "  ".join("-" * width for width in widths)
    title = [", ".join(shared)] if shared else []
    reads = any(summary.character_error_rate is not None for summary in summaries)
    apart = any(summary.copied_share is not None for summary in summaries)
    inside = any("layer tokens" in column for column in columns)
    held = any(summary.question is not None for summary in summaries)
    written = any(summary.text_tokens is not None for summary in summaries)
    served = any(summary.prompt_tokens is not None for summary in summaries)
    legend = [
        LEGEND,
        *[PARTS] * apart,
        *[AS_TEXT] * written,
        *[SERVED] * served,
        *[IN_DECODER] * inside,
        *[CACHE] * held,
    ]
    legend += [LEGIBILITY] * reads
    return "\n".join([*title, head, rule, *rows, "", *legend])
