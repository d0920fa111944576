"""Runs as a table of pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from freqexp.comparing.load import DEFAULT_OUTPUTS, load
from freqexp.comparing.run import Run
from freqexp.config.saved import from_yaml
from freqexp.errors import UserError
from freqexp.results.provenance import CONFIG
from freqexp.results.record import first
from freqexp.results.summarize import Baseline, summarize
from freqexp.results.summary import Summary

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def load_runs(folder: str | Path = DEFAULT_OUTPUTS) -> pd.DataFrame:
    """One row a run, by run id: the fields of its summary (docs/report.md), then `complete` (every
    sample asked for was answered or has failed), `tags`, `notes`, `started` and `folder`. What was
    not measured is missing. A run that is still going on is summarised over what it has.

    folder: an output folder, a sweep or a run, by its folder or its name in `outputs`. Raises
    UserError for anything else, and without pandas, which is an extra: freqexp[pandas].
    """
    try:
        import pandas as pd
    except ImportError:
        text = "load_runs gives a pandas.DataFrame, and pandas is missing: pip install pandas"
        raise UserError(text) from None
    runs = load([str(folder)]).runs
    by_id = {run.run_id: run for run in runs}
    rows = [_row(run, by_id) for run in runs]
    numbers = [item.name for item in fields(Summary) if item.type in ("float | None", "int | None")]
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, "float64")).set_index("run_id")


def _row(run: Run, others: Mapping[str, Run]) -> dict[str, Any]:
    return {
        **{item.name: None for item in fields(Summary)},
        "run_id": run.run_id,
        **run.identity,
        **_summed_up(run, others),
        "complete": run.ended,
        "tags": ", ".join(map(str, run.setting("tags") or ())),
        "notes": run.setting("notes"),
        "started": run.provenance.get("started"),
        "folder": str(run.folder),
    }


def _summed_up(run: Run, others: Mapping[str, Run]) -> Mapping[str, Any]:
    """A summary over just the samples that are meant; empty where the configuration can't be read
    any more.
    """
    if run.is_summed_up and run.summary is not None:
        known = {item.name for item in fields(Summary)}
        return {name: value for name, value in run.summary.items() if name in known}
    try:
        cfg = from_yaml(run.folder / CONFIG)
    except UserError:
        return {}
    samples = run.asked or cfg.samples
    base = others.get(str((run.summary or {}).get("baseline_run_id")))
    baseline = None
    if base is not None and run.ended and base.ended:
        baseline = Baseline(base.run_id, first(base.records, samples))
    return asdict(summarize(replace(cfg, samples=samples), run.run_id, run.records, baseline))
