"""The samples of a run: from a file, or generated."""

from __future__ import annotations

import hashlib
import logging
from enum import Enum
from typing import Protocol

from freqexp.benchmarks.lengths import ENCODING
from freqexp.errors import ConfigError, fault
from freqexp.nouns.sample import Sample

log = logging.getLogger(__name__)


class Needles(Protocol):
    """Which samples are asked: the group `needles` of a configuration, whose schema says more."""

    count: int
    path: str | None
    source: str | None
    bucket: str | None
    turns: int | None
    target_chars: int | None
    near: float

    @property
    def form(self) -> Enum:
        """Form of generated samples."""

    @property
    def text(self) -> Enum:
        """What replies of generated samples are made of."""


def load_samples(needles: Needles, samples: int, seed: int) -> list[Sample]:
    """The first `samples` samples in the order `seed` gives; more of them only adds samples at the
    end.

    A file that holds fewer gives what it holds, and a warning is logged. Raises UserError for a
    file that can't be used, ConfigError for settings no generated sample can have.
    """
    if needles.source is not None:
        from freqexp.benchmarks.outside import load_from

        return load_from(needles.source, needles, samples, seed)
    if needles.path is not None:
        from freqexp.benchmarks.mrcr import load_mrcr

        loaded = load_mrcr(needles.path, needles.count, needles.bucket, limit=samples, seed=seed)
        if len(loaded) < samples:
            log.warning("%s: %d of %d samples asked for", needles.path, len(loaded), samples)
        return loaded
    if needles.bucket is not None:
        allowed = "null for generated samples (needles.target_chars sets their length)"
        raise ConfigError([fault("needles.bucket", needles.bucket, allowed)])
    from freqexp.benchmarks.generate import generate

    return generate(
        count=needles.count,
        samples=samples,
        seed=seed,
        form=needles.form.value,
        turns=needles.turns,
        target_chars=needles.target_chars,
        near=needles.near,
        text=needles.text.value,
    )


def samples_hash(needles: Needles) -> str:
    """SHA-256 (hex) of the data that samples come from; nothing is parsed. Seed and counts are not
    in it.

    The content of the files, or the generator's code and text; of a benchmark from outside its code
    and the files. With a bucket also how lengths are
    counted, because that decides which samples fall into it.
    """
    if needles.source is not None:
        from freqexp.benchmarks.outside import source_code
        from freqexp.benchmarks.rowfile import content_hash, data_files

        code = source_code(needles.source).digest
        files = [] if needles.path is None else data_files(needles.path)
        parts = [code, *(content_hash(file) for file in files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    if needles.path is None:
        from freqexp.benchmarks.generate import generator_hash

        return generator_hash()
    from freqexp.benchmarks.mrcr import data_hash

    content = data_hash(needles.path, needles.count)
    if needles.bucket is None:
        return content
    return hashlib.sha256(f"{content} {ENCODING}".encode()).hexdigest()
