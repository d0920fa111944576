"""MRCR (huggingface.co/datasets/openai/mrcr): its files as they are, and its official grader.

Many similar requests stand in one long conversation; the question asks for the answer to the k-th
of the `needles` identical ones, with a random prefix before it. About 10 % of the samples published
before 2025-12-05 hold too many needles: a result goes with `data_hash`, and `faults` says which.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import random
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

from freqexp.benchmarks.faults import faults_of
from freqexp.benchmarks.lengths import BUCKETS, bucket_of, in_bucket
from freqexp.benchmarks.messages import conversation, read_messages
from freqexp.benchmarks.mrcr_rows import Key, matching, place, rows
from freqexp.benchmarks.parts import parts
from freqexp.benchmarks.rowfile import Row, content_hash, data_files
from freqexp.errors import UserError, fault
from freqexp.nouns.sample import Grade, Sample, Turn

CHANCE_TURNS = 32

log = logging.getLogger(__name__)


def load_mrcr(
    path: str | Path,
    count: int,
    bucket: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[Sample]:
    """Samples with `count` needles from a file or folder, in the file's order.

    bucket: one of `lengths.BUCKETS`.
    limit: at most so many samples, drawn by `seed`; a larger limit only adds samples at the end.
    Samples with a fault (`faults.FAULTS`) are read like others, and a warning says how many.
    Raises UserError for a path, file or row that can't be used, for a sample that stands in two
    files, and when no sample is left.
    """
    if bucket is not None and bucket not in BUCKETS:
        raise UserError(fault("needles.bucket", bucket, ", ".join(BUCKETS)))
    keys = matching(data_files(path, count), count)
    if bucket is not None:
        keys = _in_bucket(keys, bucket)
    if limit is not None:
        # The files may be sorted by length: the first rows would be the short ones.
        random.Random(f"mrcr:{seed}").shuffle(keys)
        keys = keys[:limit]
    parsed = {key: parse_row(key, row) for key, row in rows(keys)}
    samples = [parsed[key] for key in keys]
    _say_faults(keys, samples)
    return _distinct(samples)


def data_hash(path: str | Path, count: int) -> str:
    """SHA-256 (hex) of the content of the files that hold samples with `count` needles; the path
    does not matter.
    """
    digests = [content_hash(file) for file in data_files(path, count)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def content_id(turns: Sequence[Turn], question: str, answer: str) -> str:
    """A sample's id: a hash of what it says, so that it outlives renamed and reordered files."""
    texts = [text for turn in turns for text in (turn.user, turn.assistant)]
    digest = hashlib.sha256(json.dumps([*texts, question, answer]).encode()).hexdigest()
    return f"mrcr-{digest[:16]}"


def grade(answer: str, sample: Sample) -> Grade:
    """MRCR's official grade of `answer`: 0 without the prefix, else difflib's ratio of the texts
    after it.

    Nothing is stripped, lower-cased or normalised.
    """
    expected = sample.answer.removeprefix(sample.prefix)
    hit = answer.startswith(sample.prefix)
    similarity = _ratio(answer.removeprefix(sample.prefix), expected)
    return Grade(
        score=similarity if hit else 0.0,
        prefix_hit=hit,
        similarity=similarity,
        chance=chance(sample),
        parts=parts(answer, sample, similarity),
    )


def later_score(answer: str, first: str, sample: Sample, score: float) -> float:
    """The official score of what follows the answer's first token: as many characters as its text
    `first` has are cut off the answer, the expected one and the prefix.

    score: that of the whole answer, which is the same where the token is a right part of the
    prefix. An answer that does not begin with the token (thinking was cut off) loses nothing.
    """
    count = len(first) if answer.startswith(first) else 0
    if answer.startswith(sample.prefix) and count <= len(sample.prefix):
        return score
    rest, expected, prefix = (text[count:] for text in (answer, sample.answer, sample.prefix))
    if not rest.startswith(prefix):
        return 0.0
    return _ratio(rest.removeprefix(prefix), expected.removeprefix(prefix))


@functools.lru_cache(maxsize=4096)
def chance(sample: Sample) -> float | None:
    """Mean official score of answering with the prefix and another turn's reply; None without
    another turn.

    Of more than 32 other turns a subset of 32 is drawn, the same one every time: the comparison
    takes quadratic time.
    """
    expected = sample.answer.removeprefix(sample.prefix)
    others = [turn.assistant for turn in sample.turns if turn.assistant != expected]
    if not others:
        return None
    if len(others) > CHANCE_TURNS:
        others = random.Random(f"chance:{sample.sample_id}").sample(others, CHANCE_TURNS)
    return sum(_ratio(other, expected) for other in others) / len(others)


def _ratio(answer: str, expected: str) -> float:
    return SequenceMatcher(None, answer, expected).ratio()


def _in_bucket(keys: Sequence[Key], bucket: str) -> list[Key]:
    kept = [key for key, row in rows(keys) if in_bucket(_texts(key, row), bucket)]
    if not kept:
        seen = Counter(bucket_of(_texts(key, row)) or "none" for key, row in rows(keys))
        order = sorted(seen, key=lambda name: (name not in BUCKETS, name.rjust(20)))
        held = ", ".join(f"{name} ({seen[name]} samples)" for name in order)
        raise UserError(fault("needles.bucket", bucket, f"{held} (what {keys[0][0]} holds)"))
    return kept


def _texts(key: Key, row: Row) -> list[str]:
    """What counts for a sample's length: its messages and its answer."""
    return [*(text for _, text in read_messages(place(key), row["prompt"])), row["answer"]]


def parse_row(key: Key, row: Row) -> Sample:
    """The sample in a row that has all columns. Raises UserError for a prompt that can't be used.

    Its bucket is counted, never taken from a column.
    """
    messages = read_messages(place(key), row["prompt"])
    turns, question = conversation(place(key), messages)
    answer, prefix = row["answer"], row["random_string_to_prepend"]
    return Sample(
        sample_id=content_id(turns, question, answer),
        needles=int(row["n_needles"]),
        bucket=bucket_of([*(text for _, text in messages), answer]),
        turns=turns,
        question=question,
        answer=answer,
        prefix=prefix,
    )


def _say_faults(keys: Sequence[Key], samples: Sequence[Sample]) -> None:
    """Log, for each file, how many of its samples are faulty, and the first of them."""
    found: dict[Path, list[tuple[int, dict[str, str]]]] = {}
    for (file, number), (_, faults) in zip(keys, faults_of(samples), strict=True):
        if faults:
            found.setdefault(file, []).append((number, faults))
    for file, rows_of_file in found.items():
        read = sum(key[0] == file for key in keys)
        number, faults = min(rows_of_file, key=lambda each: each[0])
        log.warning(
            "%s: %d of the %d samples read have a fault; the first, row %d: %s"
            " (all of them: python -m freqexp.benchmarks.check --all %s)",
            file,
            len(rows_of_file),
            read,
            number,
            "; ".join(faults.values()),
            shlex.quote(str(file)),
        )


def _distinct(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with "-2", "-3", ... after the id of a repeated one."""
    seen: Counter[str] = Counter()
    result = []
    for sample in samples:
        seen[sample.sample_id] += 1
        copy = seen[sample.sample_id]
        result.append(
            sample if copy == 1 else replace(sample, sample_id=f"{sample.sample_id}-{copy}")
        )
    return result
