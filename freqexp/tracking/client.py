"""One W&B run: what it is called, what is logged to it, and how it is left.

Everything here may raise or, where a server is asked, hang for as long as the limits below say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.answering.work import PageImages
from freqexp.errors import UserError
from freqexp.nouns.cache import CACHE_COMPONENTS
from freqexp.results.record import Record
from freqexp.tracking.naming import compresses, config_of, kind_of, name_of, tags_of
from freqexp.tracking.sent import FILE, Sent
from freqexp.tracking.server import quiet_settings, within

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

INIT_SECONDS = 5
FINISH_SECONDS = 5
ABANDON_SECONDS = 0.5
IMAGE_PAGES = 2

METRICS = (
    "score",
    "later_score",
    "similarity",
    "chance",
    "character_error_rate",
    "text_tokens",
    "text_tokens_out",
    "vision_tokens_in",
    "vision_tokens_out",
    "decoder_tokens",
    "mean_layer_tokens",
    "kv_cache_bytes",
    *(f"kv_{name}_bytes" for name in (*CACHE_COMPONENTS, "full", "end", "read", "shared")),
    "png_bytes",
    "png_bytes_after",
    "stored_bytes",
    "nominal_ratio",
    "render_ms",
    "compress_ms",
    "kv_ms",
    "encode_ms",
    "prefill_ms",
    "decode_ms",
    "decode_token_ms",
    "encode_flops",
    "compress_flops",
    "prefill_flops",
    "peak_memory_bytes",
    "prompt_tokens",
    "completion_tokens",
    "retries",
    "cost",
)
"""Fields of a record that are logged for each sample, as "sample/<field>"."""

BUDGETS = (
    "vision_tokens_out",
    "decoder_tokens",
    "mean_layer_tokens",
    "kv_cache_bytes",
    "kv_share",
    "kv_end_bytes",
    "png_bytes_after",
    "stored_bytes",
    "decode_token_ms",
    "total_ms",
)
"""What accuracy is shown against. Each is a metric of the run: the mean over the samples so far,
in the end that of the summary. total_ms: see `totals`. kv_share: of these means, kv_cache_bytes
over kv_full_bytes."""

TABLES = "history_tables"
"""In the run's summary: how many lines of its history are tables of samples."""

STAGES = ("compress_ms", "encode_ms", "prefill_ms", "decode_ms")


class Client:
    """An open W&B run, begun or going on, whose history has a line for each record, and one for the
    table of samples at each of its ends: a run that has ended can be asked for more samples.
    """

    def __init__(self, cfg: RunConfig, folder: Path, online: bool, records: int) -> None:
        """folder: of the run, named by its id. records: that it has."""
        self._compresses = compresses(cfg)
        self._sums: dict[str, tuple[float, int]] = {}
        self._sent = Sent(folder / FILE, folder.parent.parent)
        self._run = _init(cfg, folder.name, online)
        if online:
            self._sent.before_online()
            self._tables = int(self._run.summary.get(TABLES, 0))
            self._logged = int(self._run.starting_step) - self._tables
        else:
            self._logged, self._tables = self._sent.before_offline(records)
        place = None if online else Path(self._run.dir).parent.name
        self._sent.begin(place, self._logged, self._tables)
        self._followed = 0
        self._run.define_metric("sample/index", summary="none", hidden=True)
        self._run.define_metric("sample/*", step_metric="sample/index", summary="none")
        for name in ("accuracy", *BUDGETS):
            self._run.define_metric(name, step_metric="sample/index", summary="last")

    def follow(self, records: Sequence[Record], images: PageImages | None) -> None:
        """Log those of the run's records (in the order of their file) that are not logged yet.

        images: of the first sample.
        """
        for index in range(self._followed, len(records)):
            self._count(records[index])
            # What it logged in an earlier life counts for the means alone.
            if index >= self._logged:
                self._log(index, records[index], images if index == 0 else None)
            self._followed = index + 1

    def _count(self, record: Record) -> None:
        if record.score is None:
            return
        for name in ("score", "kv_full_bytes", *BUDGETS, *STAGES):
            value = getattr(record, name, None)
            if value is not None:
                total, number = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value, number + 1)

    def _log(self, index: int, record: Record, images: PageImages | None) -> None:
        """Log one record's figures, the means so far, and the sample's first pages."""
        import wandb

        values: dict[str, Any] = {f"sample/{name}": getattr(record, name) for name in METRICS}
        means = {name: total / number for name, (total, number) in self._sums.items()}
        values["accuracy"] = means.get("score")
        values |= {name: means.get(name) for name in BUDGETS}
        values |= shares(means) | totals(means, self._compresses)
        values = {name: value for name, value in values.items() if value is not None}
        values["sample/index"] = index
        if images is not None:
            for when, pages in (("before", images.before), ("after", images.after)):
                values[f"images/{when}"] = [wandb.Image(page) for page in pages[:IMAGE_PAGES]]
        self._run.log(values)

    def conclude(self, summary: Mapping[str, Any], records: Sequence[Record]) -> None:
        """Set the run's summary, then log the table of samples.

        Raises TimeoutError without an answer: online, a table is an artifact, and logging one asks
        the server first.
        """
        import wandb

        # Counted before it is logged: killed in between, a record is logged twice and none missed.
        self._tables += 1
        found = {**summary, **totals(summary, self._compresses), TABLES: self._tables}
        self._run.summary.update(
            {name: value for name, value in found.items() if value is not None}
        )
        rows = [asdict(record) for record in records]
        columns: list[str | int] = list(rows[0])
        table = wandb.Table(columns=columns, data=[list(row.values()) for row in rows])
        within(FINISH_SECONDS, lambda: self._run.log({"records": table}))

    def amend(self, summary: Mapping[str, Any]) -> None:
        """Set the summary of a run that had ended before."""
        found = {**summary, **totals(summary, self._compresses)}
        self._run.summary.update(
            {name: value for name, value in found.items() if value is not None}
        )

    def finish(self, interrupted: bool) -> None:
        """End it; an interrupted one is marked as such, because it will be resumed.

        Raises TimeoutError when the server does not take what is left.
        """

        def finish() -> None:
            if interrupted:
                self._run.mark_preempting()
            self._run.finish(exit_code=int(interrupted))

        # finish_timeout bounds this, too; the limit here is for what W&B does besides.
        within(FINISH_SECONDS + 2, finish)
        self._sent.left(max(self._logged, self._followed), self._tables)

    def abandon(self) -> None:
        """Do not wait for what is left: only stop the threads that ask how the server does."""
        with suppress(UserError):
            self._sent.failed()
        with suppress(Exception):
            within(ABANDON_SECONDS, lambda: self._run.finish(exit_code=1))


def shut_down() -> None:
    """End W&B's process, which may be dead, and would be waited for when this one ends.

    It also holds on to the id of a run that failed to start.
    """
    import wandb

    # SystemExit is what its own exit code becomes.
    with suppress(Exception, SystemExit):
        within(FINISH_SECONDS, wandb.teardown)


def totals(means: Mapping[str, Any], compresses: bool) -> dict[str, float]:
    """total_ms, from page to answer: compress + encode + prefill + decode where all are known.

    compresses: False for the baseline, in which there is nothing to compress.
    """
    values = [means.get(name) for name in (STAGES if compresses else STAGES[1:])]
    known = [value for value in values if value is not None]
    return {"total_ms": sum(known)} if len(known) == len(values) else {}


def shares(means: Mapping[str, float]) -> dict[str, float]:
    """kv_share, as a summary has it, where both sizes of the cache are known."""
    held, full = means.get("kv_cache_bytes"), means.get("kv_full_bytes")
    return {"kv_share": held / full} if full and held is not None else {}


def _init(cfg: RunConfig, run_id: str, online: bool) -> Any:
    import wandb

    settings = quiet_settings(
        init_timeout=INIT_SECONDS, finish_timeout=FINISH_SECONDS, finish_timeout_raises=True
    )
    Path(cfg.output_dir).mkdir(parents=True, exist_ok=True)
    return wandb.init(
        project=cfg.wandb_project,
        entity=cfg.wandb_entity,
        id=run_id,
        name=name_of(cfg),
        group=cfg.sweep_name,
        job_type=kind_of(cfg),
        tags=tags_of(cfg),
        notes=cfg.notes,
        config=config_of(cfg),
        dir=cfg.output_dir,
        mode="online" if online else "offline",
        resume="allow",
        reinit="create_new",
        settings=settings,
    )
