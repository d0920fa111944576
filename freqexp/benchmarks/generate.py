"""Generated MRCR samples, and a command that saves them as MRCR files.

python -m freqexp.benchmarks.generate --needles 4 --samples 100 --chars 20000 out.parquet
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from freqexp.benchmarks.lengths import bucket_of
from freqexp.benchmarks.long import long_sample
from freqexp.benchmarks.mrcr import content_id
from freqexp.benchmarks.rowfile import SUFFIXES, content_hash
from freqexp.benchmarks.short import NEAR, short_sample
from freqexp.benchmarks.text import SPLITS, TEXTS, random_letters, source_path
from freqexp.code import files_digest
from freqexp.errors import ConfigError, UserError, fault
from freqexp.nouns.sample import Sample

FORMS = ("short", "long")
SOURCES = ("generate.py", "long.py", "short.py", "text.py")


def generate(
    count: int,
    samples: int,
    seed: int,
    form: str,
    turns: int | None = None,
    target_chars: int | None = None,
    split: str = "eval",
    near: float = NEAR,
    text: str = "english",
) -> list[Sample]:
    """`samples` conversations with `count` needles, the same on every machine.

    Sample i is the same however many are asked for. form: "short" (`short_sample`) or "long"
    (`long_sample`).
    split: "train" or "eval", which share no sentence.
    near: share, in [0, 1], of the requests beside the needles that share their kind or topic.
    text: "english" sentences, or "random": the same samples with random letters in the replies
        (`random_letters`), so that two runs of the same settings can be compared sample by sample.
    Raises ConfigError for settings no sample can have.
    """
    faults = []
    if form not in FORMS:
        faults.append(fault("needles.form", form, ", ".join(FORMS)))
    if turns is not None and turns < count:
        faults.append(fault("needles.turns", turns, f"at least the {count} needles"))
    if form == "short" and target_chars is not None:
        faults.append(fault("needles.target_chars", target_chars, "none with needles.form=short"))
    if not 0 <= near <= 1:
        faults.append(fault("needles.near", near, "a number from 0 to 1"))
    if text not in TEXTS:
        faults.append(fault("needles.text", text, ", ".join(TEXTS)))
    if faults:
        raise ConfigError(faults)
    settings = f"{form}:{split}:{count}:{turns}:{target_chars}:{seed}"
    if near != NEAR:  # Samples from before there was a choice stay what they were.
        settings += f":near {float(near)}"
    drawn = []
    for index in range(samples):
        rng = random.Random(f"mrcr:{settings}:{index}")
        if form == "short":
            sample = short_sample(rng, count, split, turns, near)
        else:
            sample = long_sample(rng, count, split, turns, target_chars, near)
        if text == "random":
            sample = _without_english(sample, random.Random(f"mrcr:random:{settings}:{index}"))
        drawn.append(_named(sample))
    return drawn


def _without_english(sample: Sample, rng: random.Random) -> Sample:
    """`sample` with random letters in every reply, and in the answer, which is one of them."""
    replies = {turn.assistant: random_letters(rng, turn.assistant) for turn in sample.turns}
    turns = tuple(replace(turn, assistant=replies[turn.assistant]) for turn in sample.turns)
    answer = sample.prefix + replies[sample.answer.removeprefix(sample.prefix)]
    return replace(sample, turns=turns, answer=answer)


def _named(sample: Sample) -> Sample:
    """`sample` with its id and the length bucket it falls into."""
    return replace(
        sample,
        sample_id=content_id(sample.turns, sample.question, sample.answer),
        bucket=bucket_of([m["content"] for m in _messages(sample)] + [sample.answer]),
    )


def generator_hash() -> str:
    """SHA-256 (hex) of what generated samples come from: this code and the packaged text, neither
    of them loaded.
    """
    folder = Path(__file__).parent
    code = files_digest(folder, [folder / name for name in SOURCES])
    return hashlib.sha256(f"{code}\n{content_hash(source_path())}".encode()).hexdigest()


def save(samples: Sequence[Sample], path: str | Path) -> None:
    """Write samples in MRCR's columns, as Parquet, JSON or JSON Lines by the path's extension.

    Raises UserError for another extension or a path that can't be written.
    """
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(fault("out", str(path), "a file ending in " + ", ".join(SUFFIXES)))
    rows = list(map(_row, samples))
    try:
        if suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), target)
        elif suffix == ".json":
            target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        else:
            target.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target}: can't be written: {error.strerror or error}") from error


def _messages(sample: Sample) -> list[dict[str, str]]:
    def each() -> Iterator[dict[str, str]]:
        for turn in sample.turns:
            yield {"role": "user", "content": turn.user}
            yield {"role": "assistant", "content": turn.assistant}
        yield {"role": "user", "content": sample.question}

    return list(each())


def _row(sample: Sample) -> dict[str, Any]:
    """MRCR's columns. desired_msg_index counts messages from 0."""
    messages = _messages(sample)
    expected = sample.answer.removeprefix(sample.prefix)
    return {
        "prompt": json.dumps(messages),
        "answer": sample.answer,
        "random_string_to_prepend": sample.prefix,
        "n_needles": sample.needles,
        "desired_msg_index": messages.index({"role": "assistant", "content": expected}),
        "total_messages": len(messages),
        "n_chars": sum(len(message["content"]) for message in messages),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m freqexp.benchmarks.generate", description="Generate MRCR samples."
    )
    parser.add_argument("out", help="file to write: .parquet, .json or .jsonl")
    parser.add_argument("--needles", type=int, choices=(2, 4, 8), default=2)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--form", choices=FORMS, default="long")
    parser.add_argument("--chars", type=int, help="characters of a conversation (long form)")
    parser.add_argument("--turns", type=int, help="turns of a conversation")
    parser.add_argument(
        "--near",
        type=float,
        default=NEAR,
        help="share of the other requests that share the needle's kind or topic (%(default)s)",
    )
    parser.add_argument(
        "--text",
        choices=TEXTS,
        default=TEXTS[0],
        help="sentences, or random letters in their place",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, default="eval")
    options = parser.parse_args(arguments)
    for name in ("samples", "chars", "turns"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name}: got {value}, allowed: 1 or more")
    try:
        samples = generate(
            count=options.needles,
            samples=options.samples,
            seed=options.seed,
            form=options.form,
            turns=options.turns,
            target_chars=options.chars,
            split=options.split,
            near=options.near,
            text=options.text,
        )
        save(samples, options.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(samples)} samples with {options.needles} needles")
    return 0


if __name__ == "__main__":
    sys.exit(main())
