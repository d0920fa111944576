"""What the KV cache of each run held, as a table and, of one sample, as facts for the viewer."""

from __future__ import annotations

from collections.abc import Sequence

from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.draws import pooled_rows
from freqexp.comparing.questions import kv_share
from freqexp.comparing.rivals import acts_on_cache
from freqexp.nouns.cache import CACHE_COMPONENTS, Component
from freqexp.published.layout import Table
from freqexp.results.record import Record
from freqexp.results.table import MISSING, count, number, size

TITLE = "What the KV cache held"


def cache_rows(comparison: Comparison) -> list[Row]:
    """Runs that compress the KV cache, draws as one, after the baseline of their group; none where
    no run does.
    """
    found: list[Row] = []
    for group in range(len(comparison.groups)):
        rows = comparison.of_group(group)
        cached = [row for row in rows if acts_on_cache(row.run)]
        if cached:
            found += [row for row in rows if row.run.is_baseline] + pooled_rows(cached)
    return found


def held_components(rows: Sequence[Row]) -> list[Component]:
    """Components that at least one of these runs holds bytes of."""
    return [name for name in CACHE_COMPONENTS if any(row.means.get(key(name)) for row in rows)]


def key(component: Component) -> str:
    """A component's name in a record."""
    return f"kv_{component}_bytes"


def share(value: float | None) -> str:
    """A share of the cache, as in `53.0 %`."""
    return MISSING if value is None else f"{100 * value:.1f} %"


def cache_tables(comparison: Comparison) -> list[Table]:
    """One table of a row a run; none where no run compresses the KV cache."""
    rows = cache_rows(comparison)
    if not rows:
        return []
    components = held_components(rows)
    several = len({row.group for row in rows}) > 1
    heads = ["run", *["group"] * several, "question", "held", "of", "share", *components]
    heads += ["at the end", "reading", "shared", "tokens a layer"]
    return [Table(TITLE, heads, [_line(row, comparison, several, components) for row in rows])]


def _line(
    row: Row, comparison: Comparison, several: bool, components: Sequence[Component]
) -> list[str]:
    means = row.means
    group = [comparison.groups[row.group]] * several
    names = ("kv_end_bytes", "kv_read_bytes", "kv_shared_bytes")
    return [
        row.run.title(),
        *group,
        row.run.question or MISSING,
        size(means.get("kv_cache_bytes")),
        size(means.get("kv_full_bytes")),
        share(kv_share(row)),
        *(size(means.get(key(name))) for name in components),
        *(size(means.get(name)) for name in names),
        _tokens(means.get("cache_tokens_min"), means.get("cache_tokens_max")),
    ]


def _tokens(least: float | None, most: float | None) -> str:
    """Tokens in a layer's cache, as in `155`, or `120 to 180` where layers differ."""
    return count(least) if least == most else f"{count(least)} to {count(most)}"


def cache_facts(record: Record) -> list[tuple[str, str]]:
    """What happened to the cache of one sample; only its size where nothing acted on it."""
    held = size(record.kv_cache_bytes)
    if record.question is None:
        return [("KV cache", held)]
    full, part = record.kv_full_bytes, None
    if full and record.kv_cache_bytes is not None:
        part = record.kv_cache_bytes / full
    tokens = _tokens(record.cache_tokens_min, record.cache_tokens_max)
    sizes = [(name, getattr(record, key(name))) for name in CACHE_COMPONENTS]
    kept = ", ".join(f"{name} {size(value)}" for name, value in sizes if value)
    found = [
        ("KV cache", f"{held} of {size(full)} ({share(part)}), question {record.question}"),
        ("KV cache holds", kept or MISSING),
        ("KV tokens a layer", f"{tokens} of {count(record.decoder_tokens)}"),
        ("KV at the end", f"{size(record.kv_end_bytes)}, reading {size(record.kv_read_bytes)}"),
        ("KV / a token ms", f"{_ms(record.kv_ms)} / {_ms(record.decode_token_ms)}"),
    ]
    if record.question == "seen":
        found.append(("later score", number(record.later_score, 3)))
    if record.kv_simulated:
        found.append(("KV simulated", "yes: the cache got no smaller"))
    return found


def _ms(value: float | None) -> str:
    return number(value, 1)
