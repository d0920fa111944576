"""MRCR (huggingface.co/datasets/openai/mrcr): its files as they are, and its official grader.

Many similar requests stand in one long conversation; the question asks for the answer to the k-th
of the `needles` identical ones, with a random prefix before it. About 10 % of the samples published
before 2025-12-05 hold too many needles, so a result goes with `data_hash`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from freqexp.benchmarks.lengths import BUCKETS, ESTIMATE_MARK, bucket_name, bucket_of
from freqexp.benchmarks.parts import parts
from freqexp.benchmarks.rowfile import Row, content_hash, data_files, read_rows
from freqexp.errors import UserError, fault
from freqexp.nouns.sample import Grade, Sample, Turn

SMALL_COLUMNS = ("answer", "random_string_to_prepend", "n_needles")
COLUMNS = ("prompt", *SMALL_COLUMNS)
CHANCE_TURNS = 32

_Key = tuple[Path, int]


def load_mrcr(
    path: str | Path,
    count: int,
    bucket: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[Sample]:
    """Samples with `count` needles from a file or folder, in the file's order.

    bucket: one of `lengths.BUCKETS`; lengths come from a `tokens` column, else o200k_base when its
        table is on this machine, else characters / 4, which marks the sample's bucket with "~".
    limit: at most so many samples, drawn by `seed`; a larger limit only adds samples at the end.
    Raises UserError for a path, file or row that can't be used, and when no sample is left.
    """
    if bucket is not None and bucket not in BUCKETS:
        raise UserError(fault("needles.bucket", bucket, ", ".join(BUCKETS)))
    files = data_files(path, count)
    keys = _matching(files, count)
    if bucket is not None:
        keys = _in_bucket(keys, bucket)
    if limit is not None:
        # The files may be sorted by length: the first rows would be the short ones.
        random.Random(f"mrcr:{seed}").shuffle(keys)
        keys = keys[:limit]
    parsed = {key: _parse(f"{key[0]}: row {key[1]}", row) for key, row in _rows(keys)}
    return _distinct([parsed[key] for key in keys])


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


def _matching(files: Sequence[Path], count: int) -> list[_Key]:
    """Every row with `count` needles; the short columns of all rows are checked on the way."""
    seen: Counter[int] = Counter()
    keys = []
    for file in files:
        for number, row in read_rows(file, COLUMNS, SMALL_COLUMNS):
            needles = _check_row(f"{file}: row {number}", row)
            seen[needles] += 1
            if needles == count:
                keys.append((file, number))
    if not keys:
        raise UserError(fault("needles.count", count, f"{_counts(seen)} (what {files[0]} holds)"))
    return keys


def _check_row(where: str, row: Row) -> int:
    """The row's needle count. Raises UserError when prefix, answer or count can't be used."""
    prefix, answer, needles = (
        row[name] for name in ("random_string_to_prepend", "answer", "n_needles")
    )
    if not isinstance(prefix, str) or not prefix:
        raise UserError(f"{where}: random_string_to_prepend: got {prefix!r}, allowed: a prefix")
    if not isinstance(answer, str) or not answer.startswith(prefix):
        shown = answer[:40] if isinstance(answer, str) else answer
        raise UserError(
            f"{where}: answer: got {shown!r}, allowed: text that starts with {prefix!r}"
        )
    if isinstance(needles, bool) or not isinstance(needles, int | float) or needles % 1 != 0:
        raise UserError(f"{where}: n_needles: got {needles!r}, allowed: a whole number")
    return int(needles)


def _counts(seen: Counter[Any]) -> str:
    return ", ".join(f"{key} ({number} samples)" for key, number in sorted(seen.items()))


def _in_bucket(keys: Sequence[_Key], bucket: str) -> list[_Key]:
    names = {key: _parse(f"{key[0]}: row {key[1]}", row).bucket for key, row in _rows(keys)}
    kept = [key for key in keys if names[key].removeprefix(ESTIMATE_MARK) == bucket]
    if not kept:
        seen = Counter(name.removeprefix(ESTIMATE_MARK) or "none" for name in names.values())
        order = sorted(seen, key=lambda name: (name not in BUCKETS, name.rjust(20)))
        held = ", ".join(f"{name} ({seen[name]} samples)" for name in order)
        raise UserError(fault("needles.bucket", bucket, f"{held} (what {keys[0][0]} holds)"))
    return kept


def _rows(keys: Sequence[_Key]) -> Iterator[tuple[_Key, Row]]:
    """All columns of the rows named by `keys`, in the files' order."""
    for file in dict.fromkeys(file for file, _ in keys):
        wanted = {number for other, number in keys if other == file}
        for number, row in read_rows(file, COLUMNS, (*COLUMNS, "tokens"), wanted):
            yield (file, number), row


def _parse(where: str, row: Row) -> Sample:
    messages = _messages(where, row["prompt"])
    turns, question = _turns(where, messages)
    answer, prefix = row["answer"], row["random_string_to_prepend"]
    tokens = row.get("tokens")
    if isinstance(tokens, int):
        bucket = bucket_name(tokens, estimated=False)
    else:
        bucket = bucket_of([*(content for _, content in messages), answer])
    return Sample(
        sample_id=content_id(turns, question, answer),
        needles=int(row["n_needles"]),
        bucket=bucket,
        turns=turns,
        question=question,
        answer=answer,
        prefix=prefix,
    )


def _messages(where: str, prompt: object) -> list[tuple[str, str]]:
    """(role, content) pairs of a JSON text or an already parsed list."""
    if isinstance(prompt, str):
        try:
            prompt = json.loads(prompt)
        except ValueError as error:
            raise UserError(f"{where}: prompt: not JSON: {error}") from error
    if not isinstance(prompt, list) or not prompt:
        kind = "an empty list" if prompt == [] else type(prompt).__name__
        raise UserError(f"{where}: prompt: got {kind}, allowed: a list of messages")
    messages = []
    for number, message in enumerate(prompt):
        role, content = (
            (message.get("role"), message.get("content")) if isinstance(message, dict) else (0, 0)
        )
        if not isinstance(role, str) or not isinstance(content, str):
            allowed = "an object with the texts role and content"
            raise UserError(f"{where}: prompt: message {number}: allowed: {allowed}")
        messages.append((role, content))
    return messages


def _turns(where: str, messages: Sequence[tuple[str, str]]) -> tuple[tuple[Turn, ...], str]:
    """The conversation and the question after it. A leading system message joins the first user
    message.
    """
    roles = [role for role, _ in messages]
    texts = [text for _, text in messages]
    if roles[0] == "system" and len(roles) > 1:
        roles, texts = roles[1:], [f"{texts[0]}\n\n{texts[1]}", *texts[2:]]
    if roles != [*("user", "assistant") * (len(roles) // 2), "user"] or len(roles) < 3:
        first = ", ".join(roles[:4]) + (", ..." if len(roles) > 4 else "")
        allowed = "user and assistant in turn, at least one pair, then the user's question"
        got = f"{len(roles)} messages ({first}; last {roles[-1]})"
        raise UserError(f"{where}: prompt: got {got}, allowed: {allowed}")
    pairs = zip(texts[0:-1:2], texts[1::2], strict=True)
    return tuple(Turn(user, assistant) for user, assistant in pairs), texts[-1]


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
