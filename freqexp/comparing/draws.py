"""Draws of random methods taken together, so that a control is looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from freqexp.comparing.comparison import Row
from freqexp.results.draws import is_drawn, seed_of, spread, without_seed
from freqexp.results.record import Record, mean

_COSTS = ("decoder_tokens", "mean_layer_tokens", "kv_cache_bytes", "stored_bytes", "later_score")


def pooled_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows of one group, with those that differ only in the seed of a random method as one: its
    records are the means of the draws on the samples that all of them scored.
    """
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(_key(row), []).append(row)
    found: list[Row] = []
    for same in groups.values():
        seeds = {seed_of(row.run.options) for row in same}
        shared = set.intersection(*(set(row.run.scored) for row in same))
        if len(same) == 1 or len(seeds) < len(same) or not shared:
            found += same
            continue
        run = same[0].run
        records = {key: _mean([row.run.records[key] for row in same]) for key in sorted(shared)}
        options = ", ".join(filter(None, [without_seed(run.options), f"{len(same)} draws"]))
        identity = {**run.identity, "options": options}
        means = {name: mean(row.means.get(name) for row in same) for name in same[0].means}
        accuracy = same[0].accuracy
        score = mean(record.score for record in records.values())
        if accuracy is not None and score is not None:
            accuracy = replace(accuracy, value=score)
        pooled = replace(run, records=records, identity=identity)
        found.append(replace(same[0], run=pooled, means=means, accuracy=accuracy))
    return found


def draw_sentences(rows: Sequence[Row]) -> list[str]:
    """For each method with draws how far they lie apart."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        if is_drawn(row.run.compressor):
            groups.setdefault((row.group, _key(row)), []).append(row)
    found = []
    for same in groups.values():
        said = spread([row.accuracy.value for row in same if row.accuracy is not None])
        run = same[0].run
        bare = replace(run, identity={**run.identity, "options": without_seed(run.options)})
        found += [f"{bare.title()}: {said}"] if said else []
    return found


def _key(row: Row) -> object:
    run = row.run
    if not is_drawn(run.compressor):
        return run.run_id
    return run.compressor, without_seed(run.options), run.budget, run.profile


def _mean(records: Sequence[Record]) -> Record:
    numbers = {
        name: mean(getattr(record, name) for record in records) for name in ("score", *_COSTS)
    }
    return replace(records[0], **numbers)  # type: ignore[arg-type]
