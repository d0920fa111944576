"""The W&B mirror: every run of a sweep as one W&B run, as far as W&B can be had.

The files in the run folder are the truth. Nothing here may stop a run or hold it up for more than
seconds: whatever fails becomes one warning, and the run is mirrored in files instead, from its
records, for `wandb sync`; if that fails, too, it goes on without its mirror.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.answering.work import PageImages
from freqexp.results.record import Record, first, settle
from freqexp.results.record_file import RECORDS, load_records
from freqexp.results.summary import Summary
from freqexp.tracking.client import IMAGE_PAGES, Client, shut_down
from freqexp.tracking.decided import unheeded, who_decided
from freqexp.tracking.server import has_key, reachable

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.running.execute import Observer

LEAVING = "leaving"

log = logging.getLogger(__name__)


class Mirrors:
    """Makes the observers of each run, and remembers across them what W&B could not do."""

    def __init__(self) -> None:
        self.mode: str | None = None
        """"online" or "offline" once known, "off" after W&B failed altogether."""

    def __call__(self, cfg: RunConfig) -> Sequence[Observer]:
        """The observers of one run: its mirror, or none with tracking=off."""
        return [] if cfg.tracking.name == "off" else [Mirror(self)]

    def choose(self, cfg: RunConfig) -> str:
        """How the next run is mirrored. Imports wandb; ImportError when it is not installed."""
        if self.mode is None:
            self.mode = self._first_choice(cfg)
        return self.mode

    def _first_choice(self, cfg: RunConfig) -> str:
        import wandb

        settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
        ignored = unheeded()
        if ignored:
            counts = "does not count" if len(ignored) == 1 else "do not count"
            log.warning("W&B: %s %s: each run has its own", ", ".join(ignored), counts)
        if settings.mode == "disabled":
            log.warning("W&B: disabled by %s, so nothing is mirrored", who_decided(settings))
            return "off"
        if cfg.tracking.name == "offline":
            return "offline"
        if settings.mode in ("offline", "dryrun"):
            log.warning("W&B: offline by %s", who_decided(settings))
            return "offline"
        base_url = str(settings.base_url)
        if not has_key(base_url):
            if cfg.tracking.name == "online":
                log.warning("W&B: no API key for %s, so this is mirrored offline", base_url)
            return "offline"
        if not reachable(base_url):
            log.warning("W&B: %s does not answer, so this is mirrored offline", base_url)
            return "offline"
        return "online"

    def amend(self, ended: Sequence[tuple[RunConfig, Path, Summary]]) -> None:
        """Give runs that had ended their new summaries, where they are mirrored."""
        for cfg, folder, summary in ended:
            if cfg.tracking.name != "off":
                Mirror(self).amend(cfg, folder, summary)

    def failed(self, what: str, error: BaseException) -> None:
        """After a failure online this and the next runs are mirrored offline; after another not."""
        self.mode = "offline" if self.mode == "online" else "off"
        rest = "mirroring offline from now on" if self.mode == "offline" else "no mirror"
        log.warning("W&B: %s failed (%s); %s", what, _one_line(error), rest)


class Mirror:
    """One freqexp run as one W&B run of the same id."""

    def __init__(self, shared: Mirrors) -> None:
        self._shared = shared
        self._client: Client | None = None
        self._cfg: RunConfig | None = None
        self._folder = Path()
        self._records: list[Record] = []
        self._images: PageImages | None = None
        self._revived = False

    def on_start(self, cfg: RunConfig, folder: Path) -> None:
        """Begin the W&B run, or go on with it after an interruption."""
        self._cfg, self._folder = cfg, folder
        self._records = load_records(folder / RECORDS)
        if self._shared.mode != "off":
            self._attempt("starting", lambda client: None)

    def on_record(self, record: Record, images: PageImages | None) -> None:
        """Log one sample's figures, and the pages of the run's first sample."""
        self._records.append(record)
        if len(self._records) == 1 and images is not None:
            before, after = images.before[:IMAGE_PAGES], images.after[:IMAGE_PAGES]
            self._images = PageImages(before, after)
        if self._client is not None:
            self._attempt("logging", lambda client: None)

    def on_end(self, summary: Summary | None) -> None:
        """Log summary and table of samples, and end the W&B run."""
        if self._client is None:
            return
        if summary is None:
            self._attempt(LEAVING, lambda client: client.finish(interrupted=True))
        else:
            self._attempt("finishing", lambda client: self._conclude(client, summary))
        self._client = None

    def amend(self, cfg: RunConfig, folder: Path, summary: Summary) -> None:
        """Give a run that has ended another summary: its baseline has ended after it."""
        self._cfg, self._folder = cfg, folder
        self._records = load_records(folder / RECORDS)

        def do(client: Client) -> None:
            client.amend(asdict(summary))
            client.finish(interrupted=False)

        self._attempt("amending", do)
        self._client = None

    def _attempt(self, what: str, action: Callable[[Client], None]) -> None:
        """Do it with a client that knows every record; when it fails, with a new one.

        A dead process of W&B's (a scheduler's SIGTERM kills it) is replaced once a run. A server
        that fails means offline, and a failure offline is the end of the mirror.
        """
        while self._shared.mode != "off":
            try:
                if self._client is None:
                    self._client = self._open()
                if self._client is not None:
                    self._client.follow(self._records, self._images)
                    action(self._client)
                return
            except Exception as error:
                if self._drop(error):
                    continue
                self._shared.failed(what, error)
                if what == LEAVING:
                    return

    def _drop(self, error: Exception) -> bool:
        """Let go of the client after an error; whether a new one in the same mode can do better."""
        client, self._client = self._client, None
        if client is not None:
            client.abandon()
        if not isinstance(error, ImportError):
            shut_down()
        died = client is not None and isinstance(error, ConnectionError) and not self._revived
        self._revived = self._revived or died
        return died

    def _open(self) -> Client | None:
        """A client in the best mode; None when W&B is switched off."""
        assert self._cfg is not None
        mode = self._shared.choose(self._cfg)
        if mode == "off":
            return None
        return Client(self._cfg, self._folder, mode == "online", len(self._records))

    def _conclude(self, client: Client, summary: Summary) -> None:
        records = settle(load_records(self._folder / RECORDS))
        records = first(records, summary.samples_asked)
        client.conclude(asdict(summary), list(records.values()))
        client.finish(interrupted=False)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
