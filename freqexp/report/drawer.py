"""Samples drawn again: pages from configuration and data, put through the codecs of the runs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freqexp.comparing.comparison import Row
from freqexp.comparing.deltas import is_right
from freqexp.comparing.text import plain
from freqexp.errors import UserError
from freqexp.results.provenance import CONFIG
from freqexp.results.record import Record

if TYPE_CHECKING:
    from freqexp.codecs.base import Codec
    from freqexp.config.run import RunConfig
    from freqexp.nouns.page import Pixels
    from freqexp.nouns.sample import Sample

SAMPLES_MADE = 1_000
_CODEC_SETTINGS = ("compressor", "keep_ratio", "keep_tokens", "keep_like", "profile")


@dataclass
class SampleImages:
    """PNGs of the first pages of a sample: as drawn, and after each codec setting."""

    before: list[bytes]
    after: dict[int, list[bytes]] = field(default_factory=dict)


@dataclass
class Redrawn:
    """What could be drawn again.

    questions: by group and sample id. images: the same. codec_of: run id -> the number of its codec
    setting; runs whose pages the model saw unchanged are not in it.
    """

    questions: dict[tuple[int, str], str] = field(default_factory=dict)
    images: dict[tuple[int, str], SampleImages] = field(default_factory=dict)
    codec_of: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def reason(error: Exception) -> str:
    """Why something could not be drawn, for the notes."""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"{kind}{plain(error, 200)}"


def sample_ids(rows: Sequence[Row]) -> set[str]:
    """Ids of all samples that one of the runs has a record of."""
    return {key for row in rows for key in row.run.records}


class Drawer:
    """Draws samples of one group. Making it loads the group's data.

    Raises UserError when no configuration can be read or the data is not that of the runs.
    """

    def __init__(self, group: int, rows: Sequence[Row], found: Redrawn, codecs: int) -> None:
        self.group = group
        self._notes = found.notes
        self._records = _some_records(rows)
        configs = _configs(_picked(rows, codecs, found.notes), found.notes)
        cfg, provenance = configs[0][1], configs[0][0].run.provenance
        self._samples = _samples(cfg, provenance, rows)
        lost = len(self._records.keys() - self._samples.keys())
        if lost == len(self._records):
            raise UserError("the data on this machine holds none of these samples")
        if lost:
            found.notes.append(f"{lost} samples are not in the data on this machine")
        for sample_id, sample in self._samples.items():
            if sample_id in self._records:
                found.questions[group, sample_id] = sample.question
        self.order = [key for key in _by_change(rows) if key in self._samples]
        self._renderer = cfg.model.render.build()
        self._codecs = _codecs(configs, found)
        self._checked = False

    def draw(self, sample_id: str, limit: int) -> SampleImages:
        """The first `limit` pages of a sample, before and after every codec setting."""
        every = [page.pixels for page in self._renderer.render(self._samples[sample_id].turns)]
        self._check(sample_id, every)
        pages = every[:limit]
        return SampleImages(
            [_png(pixels) for pixels in pages],
            {
                number: [_png(codec.restored(pixels)) for pixels in pages]
                for number, codec in self._codecs.items()
            },
        )

    def _check(self, sample_id: str, pages: Sequence[Pixels]) -> None:
        """Say so when the first pages drawn are not those that were recorded."""
        from freqexp.nouns.page import png_size_bytes

        record = self._records[sample_id]
        if self._checked or record.png_bytes is None:
            return
        self._checked = True
        size_bytes = sum(map(png_size_bytes, pages))
        if (len(pages), size_bytes) != (record.pages, record.png_bytes):
            self._notes.append(
                f"pages drawn again differ from the run's ({record.pages} pages, "
                f"{record.png_bytes} PNG bytes then, {len(pages)} and {size_bytes} now): another "
                "version, font or Pillow"
            )


def _some_records(rows: Sequence[Row]) -> dict[str, Record]:
    """One record for each sample, to know its pages by."""
    found: dict[str, Record] = {}
    for row in rows:
        for key, record in row.run.records.items():
            if key not in found or found[key].png_bytes is None:
                found[key] = record
    return found


def _picked(rows: Sequence[Row], limit: int, notes: list[str]) -> list[Row]:
    """Runs whose configurations have to be read: one of the group for its pages, and those of at
    most `limit` codec settings, spread evenly over the group.

    Whether a codec acted shows in the PNG sizes.
    """
    settings: dict[str, list[Row]] = {}
    for row in rows:
        if row.means.get("png_bytes") != row.means.get("png_bytes_after"):
            key = [row.run.setting(name) for name in _CODEC_SETTINGS]
            settings.setdefault(repr(key), []).append(row)
    chosen = list(settings.values())
    if len(chosen) > limit:
        notes.append(
            f"pages after the codec are shown for {limit} of {len(chosen)} codec settings, spread "
            "evenly"
        )
        chosen = [chosen[index * len(chosen) // limit] for index in range(limit)]
    first = next((row for row in rows if row.run.is_baseline), rows[0])
    picked = {row.run.run_id: row for row in (first, *(r for same in chosen for r in same))}
    return list(picked.values())


def _configs(rows: Sequence[Row], notes: list[str]) -> list[tuple[Row, RunConfig]]:
    """The configurations that this version can read. Raises UserError when there is none."""
    from freqexp.config.saved import from_yaml

    found, fault = [], None
    for row in rows:
        if not row.run.config:
            continue
        path = row.run.folder / CONFIG
        try:
            found.append((row, from_yaml(path)))
        except UserError as error:
            fault = error
            notes.append(
                f"run {plain(row.run.run_id)}: pages after its codec are not shown: "
                f"{plain(error, 200)}"
            )
    if not found:
        raise fault or UserError("no configuration can be read")
    return found


def _samples(
    cfg: RunConfig, provenance: Mapping[str, Any], rows: Sequence[Row]
) -> dict[str, Sample]:
    """The data by sample id. Raises UserError when it is not what the runs saw."""
    from freqexp.benchmarks.samples import load_samples, samples_hash

    said = provenance.get("data_hash")
    if said is not None and samples_hash(cfg.needles) != said:
        raise UserError("the data or its generator changed since")
    wanted = max([cfg.samples, *(row.run.wanted or 0 for row in rows)])
    # A run that was begun may want many more than it has; so many are not made for a few pages.
    limit = max(SAMPLES_MADE, 2 * len(sample_ids(rows)))
    return {s.sample_id: s for s in load_samples(cfg.needles, min(wanted, limit), cfg.seed)}


def _by_change(rows: Sequence[Row]) -> Iterator[str]:
    """Sample ids, most flips first, then the largest summed change of the score."""
    flips: dict[str, tuple[int, float]] = {key: (0, 0.0) for key in sample_ids(rows)}
    for row in rows:
        if row.baseline is None:
            continue
        for key, record in row.run.records.items():
            other = row.baseline.records.get(key)
            if record.score is None or other is None or other.score is None:
                continue
            count, change = flips[key]
            flips[key] = (
                count + (is_right(record) != is_right(other)),
                change + abs(record.score - other.score),
            )
    yield from sorted(flips, key=lambda key: (-flips[key][0], -flips[key][1], key))


def _codecs(configs: Sequence[tuple[Row, RunConfig]], found: Redrawn) -> dict[int, Codec]:
    """The codec settings of these runs, each once."""
    from freqexp.codecs.base import Codec

    numbers: dict[str, int] = {}
    built: dict[int, Codec] = {}
    for row, cfg in configs:
        for part in cfg.compressor.parts(cfg.keep_ratio):
            if part.config.stage != "codec":
                continue
            profile = cfg.profile if part.config.uses_profile else None
            kept = part.keep_ratio if part.config.uses_keep_ratio else None
            key = repr((part.config, kept, profile))
            if key not in numbers:
                try:
                    codec = part.build(cfg.profile)
                except Exception as error:  # a library that is not on this machine, for one
                    name = plain(part.config.name)
                    found.notes.append(f"pages after {name} are not shown: {reason(error)}")
                    continue
                assert isinstance(codec, Codec)
                numbers[key] = len(set(found.codec_of.values()) | set(built))
                built[numbers[key]] = codec
            found.codec_of[row.run.run_id] = numbers[key]
    return built


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    # A fifth larger than at level 6, in half the time.
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
