"""One run: samples -> pages -> (codec) -> encoder -> (token compressor) -> decoder -> grade.

Knows nothing of Hydra, SLURM or W&B. The uncompressed baseline takes the same path with nothing at
the places where compressors act.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from freqexp.answering.measure import host_kind, load, machine
from freqexp.answering.pipeline import Pipeline
from freqexp.answering.work import PageImages
from freqexp.benchmarks.faults import count_faults
from freqexp.config.budget import acting_budget
from freqexp.config.title import title_of
from freqexp.errors import UserError
from freqexp.files import read_json
from freqexp.results import provenance
from freqexp.results.record import Record, first, settle
from freqexp.results.summarize import Baseline, summarize
from freqexp.results.summary import (
    SUMMARY,
    Summary,
    finished_records,
    has_ended,
    samples_asked,
    write_summary,
)
from freqexp.running.progress import Progress
from freqexp.running.shares import Share

if TYPE_CHECKING:
    from freqexp.answering.session import Session
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Sample
    from freqexp.results.record_file import Records


log = logging.getLogger(__name__)


class Observer(Protocol):
    """Watches a run that has something left to do. Must not raise."""

    def on_start(self, cfg: RunConfig, folder: Path) -> None:
        """Work begins; `folder` is named by the run id and holds the earlier records, if any."""

    def on_record(self, record: Record, images: PageImages | None) -> None:
        """A record was written; images is None when the sample failed before its encoding."""

    def on_end(self, summary: Summary | None) -> None:
        """All is done and written, or (None) the run was interrupted."""


def run_folder(cfg: RunConfig, run_id: str) -> Path:
    """Where the files of a run are."""
    return Path(cfg.output_dir) / "runs" / run_id


def baseline_of(cfg: RunConfig) -> RunConfig | None:
    """The run of uncompressed pages that `cfg` is compared with; None when it is one itself."""
    from freqexp.schemas.choices import Input
    from freqexp.schemas.method import NoneConfig

    if not cfg.compressor.parts(cfg.keep_ratio) and cfg.model.input is Input.pages:
        return None
    return replace(cfg, compressor=NoneConfig(), model=replace(cfg.model, input=Input.pages))


def execute(
    cfg: RunConfig, session: Session, progress: Progress, observers: Sequence[Observer] = ()
) -> Summary:
    """Compute what is missing of a run's first `cfg.samples` samples and summarise them.

    A run that has answered them is answered from its files, also when it has answered more: no data
    or model is loaded, no observer is told. The difference to the baseline is there when the
    baseline has answered them, too, in the same output folder.
    Raises UserError for anything the user can mend, and when every sample failed (the summary is
    written then, too).
    """
    summary = execute_share(cfg, session, progress, observers, Share())
    assert summary is not None
    return summary


def execute_share(
    cfg: RunConfig,
    session: Session,
    progress: Progress,
    observers: Sequence[Observer],
    share: Share,
) -> Summary | None:
    """`execute` in one of several processes: it answers its share of the samples.

    Process 0 waits for the others and summarises; in those the result is None. Raises Preempted,
    after a sample, when the share was told to leave.
    """
    run_id = session.run_id(cfg)
    folder = run_folder(cfg, run_id)
    done = finished_records(folder, cfg.samples)
    if done is None:
        words = f"{label(cfg)}: another process works on this run; waiting for it"
        with share.records(folder, lambda: progress.note(words)) as store:
            # By now whoever was waited for may have ended it.
            done = finished_records(folder, cfg.samples)
            if done is None:
                return _finish(cfg, session, progress, observers, store, share)
    return conclude(cfg, session, done)[0]


def _finish(
    cfg: RunConfig,
    session: Session,
    progress: Progress,
    observers: Sequence[Observer],
    store: Records,
    share: Share,
) -> Summary | None:
    """Compute the missing samples of a locked run, then write its summary."""
    folder = store.path.parent
    share.begin(folder)
    samples = session.samples(cfg)
    mine = [samples[index] for index in share.mine(len(samples))]
    places = {sample.sample_id: index for index, sample in enumerate(samples)}
    if len(places) < len(samples):
        raise UserError("the data set holds several samples of the same id")
    missing = _missing(cfg, places, mine, {store.path: store.records, **share.of_others(folder)})
    if share.rank == 0:
        faults = None if cfg.needles.path is None else count_faults(samples)
        provenance.start(cfg, folder, session.hashes(cfg), host_kind(cfg.model), faults)
    log.info("%s: %d of %d samples are to be answered", folder.name, len(missing), len(mine))
    pipeline = _warm_pipeline(cfg, session, missing[0]) if missing else None
    if share.rank == 0 and pipeline is not None:
        provenance.note_conditions(folder, machine(), pipeline.generation)
    widest = None
    try:
        for observer in observers:
            observer.on_start(cfg, folder)
        if pipeline is not None:
            with progress.run(label(cfg), len(mine), len(mine) - len(missing)) as advance:
                for batch in pipeline.answered(missing):
                    for answered, images in batch:
                        record = replace(answered, index=places[answered.sample_id])
                        store.append(record)
                        for observer in observers:
                            observer.on_record(record, images)
                        advance()
                    share.check()
        if share.rank:
            share.end(folder)
            return None
        for record in share.gather(folder, store):
            for observer in observers:
                observer.on_record(record, None)
        done = settle(store.records)
        summary, widest = conclude(cfg, session, done)
        provenance.finish(folder, None if pipeline is None else load())
    finally:
        for observer in observers:
            observer.on_end(widest)
    asked = first(done, len(samples)).values()
    errors = [record.error for record in asked if record.error is not None]
    if len(errors) == len(samples):
        raise UserError(f"all {len(samples)} samples failed; the first: {errors[0]}")
    return summary


def _warm_pipeline(cfg: RunConfig, session: Session, sample: Sample) -> Pipeline:
    """A pipeline whose first sample takes no longer than the next."""
    pipeline = Pipeline(cfg, session)
    pipeline.warm_up(sample)
    return pipeline


def conclude(
    cfg: RunConfig, session: Session, records: Mapping[str, Record]
) -> tuple[Summary, Summary]:
    """Summarise a run that has a record of each of its first `cfg.samples` samples: over these, and
    over the most samples that it has ended for. The latter stands in summary.json.

    records: all of the run's, settled. Raises UserError for a corrupt record file of the baseline,
    and when the summary cannot be written.
    """
    run_id = session.run_id(cfg)
    folder = run_folder(cfg, run_id)
    written = read_json(folder / SUMMARY) or {}
    wider = replace(cfg, samples=samples_asked(written))
    if wider.samples <= cfg.samples or not has_ended(written, records, wider.samples):
        wider = cfg
    base = baseline_records(wider, session)
    widest = summarize(wider, run_id, records, base)
    write_summary(folder, widest)
    if wider is cfg:
        return widest, widest
    # A baseline that has ended for more samples has ended for fewer.
    base = base or baseline_records(cfg, session)
    return summarize(cfg, run_id, records, base), widest


def _missing(
    cfg: RunConfig,
    places: Mapping[str, int],
    mine: Sequence[Sample],
    records: Mapping[Path, Sequence[Record]],
) -> list[Sample]:
    """Those of `mine` without a score yet, failed ones included.

    places: index by id of the samples asked for, or of all that the data set holds. records: by
    their file, those of further samples among them.

    Raises UserError for an empty data set and for records of samples that are not in it: the run id
    covers the data, so such a file was edited or copied here, and no number from it can be trusted.
    """
    if not places:
        raise UserError("the data set holds no samples")
    scored = set()
    for path, of_file in records.items():
        for number, record in enumerate(of_file, start=1):
            if not _is_of(record, cfg.samples, places):
                raise UserError(
                    f"{path}, line {number}: sample {record.sample_id!r} is not in this run's "
                    f"data. Nothing was changed; move {path.parent} away to start it afresh."
                )
            if record.score is not None:
                scored.add(record.sample_id)
    return [sample for sample in mine if sample.sample_id not in scored]


def _is_of(record: Record, asked: int, places: Mapping[str, int]) -> bool:
    """Whether a record can be of this data set, of which `places` are the first `asked` samples."""
    if record.index is None:
        return record.sample_id in places
    place = places.get(record.sample_id)
    return place == record.index if record.index < asked else place is None


def baseline_records(cfg: RunConfig, session: Session) -> Baseline | None:
    """The baseline's records if that run is complete in the same output folder."""
    other = baseline_of(cfg)
    if other is None:
        return None
    run_id = session.run_id(other)
    records = finished_records(run_folder(other, run_id), cfg.samples)
    return None if records is None else Baseline(run_id, records)


def label(cfg: RunConfig) -> str:
    """A run in a few words, for people."""
    words = acting_budget(cfg).words()
    kept = f" keep {words}" if words else ""
    profile = f" {cfg.profile.name}" if cfg.compressor.uses_profile else ""
    return f"{title_of(cfg)}{kept}{profile}, {cfg.needles.count} needles"
