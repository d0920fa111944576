"""The report in W&B: one run of the job type "report" in the sweep's group.

As for runs, W&B is a mirror: whatever fails becomes a sentence, and the files are complete.
"""

from __future__ import annotations

from typing import Any

from freqexp.comparing.comparison import Comparison, Row
from freqexp.comparing.findings import findings
from freqexp.report.build import Report
from freqexp.report.cache import cache_tables
from freqexp.report.columns import columns
from freqexp.tracking.server import has_key, quiet_settings, reachable, within

INIT_SECONDS = 10
FINISH_SECONDS = 60
"""Figures and table may take a while to upload; nothing waits for them but this command."""
PROJECT = "freqexp"


def attach(comparison: Comparison, report: Report, mode: str = "auto") -> str:
    """Log table, figures and findings; what became of it in one sentence.

    mode: "online", "offline", or "auto": online where there is a key and the server answers.
    """
    first = comparison.rows[0].run
    folder = first.folder.resolve().parents[1]
    try:
        import wandb

        chosen = mode if mode != "auto" else _mode(wandb)
        run = wandb.init(
            project=_text(first.setting("wandb_project")) or PROJECT,
            entity=_text(first.setting("wandb_entity")),
            name=f"report {comparison.loaded.name}",
            group=comparison.loaded.sweep or comparison.loaded.name,
            job_type="report",
            config={"runs": [row.run.run_id for row in comparison.rows]},
            dir=str(folder),
            mode="online" if chosen == "online" else "offline",
            reinit="create_new",
            settings=quiet_settings(init_timeout=INIT_SECONDS),
        )
        try:
            run.log(_values(wandb, comparison, report))
            run.summary["findings"] = findings(comparison)
        finally:
            within(FINISH_SECONDS, run.finish)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        return f"W&B: {type(error).__name__}: {reason}; the report's files are complete"
    place = "online" if chosen == "online" else f"offline in {folder / 'wandb'}"
    return f"W&B: table and {len(report.figures)} figures are attached ({place})"


def _mode(wandb: Any) -> str:
    base_url = str(wandb.setup(settings=wandb.Settings(silent=True)).settings.base_url)
    return "online" if has_key(base_url) and reachable(base_url) else "offline"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _values(wandb: Any, comparison: Comparison, report: Report) -> dict[str, Any]:
    chosen = columns(comparison)

    def cells(row: Row) -> list[str]:
        return [comparison.groups[row.group], *(column.cell(row) for column in chosen)]

    table = wandb.Table(
        columns=["group", *(column.head for column in chosen)],
        data=[cells(row) for row in comparison.rows],
    )
    figures = {
        f"report/{figure.name}": wandb.Image(
            str(report.folder / f"{figure.name}.png"), caption=figure.caption
        )
        for figure in report.figures
    }
    tables = {"report/table": table}
    for cached in cache_tables(comparison):
        tables["report/kv_cache"] = wandb.Table(columns=list(cached.heads), data=list(cached.rows))
    return {**tables, **figures}
