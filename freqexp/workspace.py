"""`python -m freqexp.workspace SWEEP`: a W&B workspace of accuracy against each budget.

Made by wandb-workspaces (`pip install freqexp[workspace]`). The charts read the summaries that the
mirror keeps, so points move while their runs go on.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Any

from freqexp.errors import DONE, UserError, exit_code

BUDGETS = {
    "Tokens": {
        "decoder_tokens": "tokens the decoder saw",
        "mean_layer_tokens": "tokens a layer of the decoder saw, mean over layers",
        "vision_tokens_out": "vision tokens after compression",
    },
    "KV cache": {
        "kv_cache_bytes": "bytes of the KV cache",
        "kv_share": "share of the KV cache that is held",
        "kv_end_bytes": "bytes of the KV cache after the answer",
    },
    "Bytes": {
        "png_bytes_after": "bytes of the pages as PNG after the codec",
        "stored_bytes": "bytes of the stored bitstream",
    },
    "Time": {
        "total_ms": "ms from page to answer",
        "prefill_ms": "ms of prefill",
        "decode_ms": "ms of decoding",
        "decode_token_ms": "ms of decoding a token",
        "kv_ms": "ms of compressing the KV cache",
    },
}
"""Sections of the workspace, and in each the measured budgets with their titles."""

COLUMNS = (
    *("accuracy", "delta", "samples", "failed", "question"),
    *("decoder_tokens", "kv_cache_bytes", "kv_share", "total_ms"),
)
"""Figures beside each run's name."""

MOST_RUNS = 1000
"""Points that a chart shows; W&B's own default is 10."""


def make(sweep: str, project: str, entity: str) -> Any:
    """The workspace of a sweep (wandb_workspaces.workspaces.Workspace), not saved yet.

    Raises UserError when wandb-workspaces is not installed.
    """
    try:
        wr: Any = import_module("wandb_workspaces.reports.v2")
        ws: Any = import_module("wandb_workspaces.workspaces")
        expr: Any = import_module("wandb_workspaces.expr")
    except ImportError:
        raise UserError("this needs wandb-workspaces: pip install freqexp[workspace]") from None

    def scatter(budget: str, title: str) -> Any:
        return wr.ScatterPlot(
            title=f"accuracy against {title}",
            x=wr.SummaryMetric(budget),
            y=wr.SummaryMetric("accuracy"),
            range_y=(0, 1),
        )

    sections = [
        ws.Section(
            name=name,
            panels=[scatter(budget, title) for budget, title in budgets.items()],
            is_open=True,
        )
        for name, budgets in BUDGETS.items()
    ]
    running = [wr.LinePlot(title="accuracy so far", x="sample/index", y=["accuracy"])]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"{sweep}: accuracy against budgets",
        sections=[*sections, ws.Section(name="Under way", panels=running, is_open=True)],
        auto_generate_panels=False,
        settings=ws.WorkspaceSettings(max_runs=MOST_RUNS),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Metric("Group") == sweep),
            pinned_columns=[f"summary:{name}" for name in COLUMNS],
        ),
    )


def main(arguments: list[str] | None = None) -> int:
    """The command: make it, save it, print its address. Returns 0, or 2 when that is impossible."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _command(options))


def _command(options: argparse.Namespace) -> int:
    print(save(options.sweep, options.project, options.entity))
    return DONE


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    made = argparse.ArgumentParser(prog="python -m freqexp.workspace", description=__doc__)
    made.add_argument("sweep", help="the sweep's name, which is its runs' group in W&B")
    made.add_argument("--project", default="freqexp", help="wandb_project of the sweep")
    made.add_argument("--entity", help="wandb_entity of the sweep (default: the key's own)")
    return made


def save(sweep: str, project: str, entity: str | None) -> str:
    """Save the workspace and give its address.

    Raises UserError without a key, without the package, or when the server does not take it.
    """
    import wandb

    from freqexp.tracking.server import has_key, reachable

    base_url = str(wandb.setup(settings=wandb.Settings(silent=True)).settings.base_url)
    if not has_key(base_url):
        raise UserError(f"no API key for {base_url}: `wandb login` first")
    if not reachable(base_url):
        raise UserError(f"{base_url} does not answer")
    try:
        owner = entity or str(wandb.Api().default_entity)
        return str(make(sweep, project, owner).save().url)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"W&B did not take the workspace: {type(error).__name__}: {error}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
