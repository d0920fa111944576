"""Rows as openai/mrcr publishes them, and files of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXAMPLES = (
    "Here are some examples of conversations succeeded by a follow-up question answered correctly:"
    "\n\n======EXAMPLE======\nUser: write a poem about owls\nAssistant: Who?\n"
    "======END EXAMPLE======\n"
)
REQUEST = "write a poem about tapirs"
POEMS = (
    "A tapir drinks at dusk, the reeds stand still.",
    "Nobody told the tapir about the rain that came over the hill.",
)


def messages(prefix: str, riddle: str = "What falls and never climbs?") -> list[dict[str, str]]:
    """Worked examples, both poems with a riddle between them, the question for the second poem."""
    question = (
        f"Prepend {prefix} to the 2nd (1 indexed) poem about tapirs. "
        "Do not include any other text in your response."
    )
    said = [REQUEST, POEMS[0], "write a riddle about rain", riddle, REQUEST, POEMS[1], question]
    return [{"role": "user", "content": EXAMPLES}] + [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate(said)
    ]


def row(number: int = 0, needles: int = 2, **changes: Any) -> dict[str, Any]:
    """A row with the columns of openai/mrcr; `changes` are other values of them."""
    prefix = f"aB3dE6gH{number:02d}"
    prompt = messages(prefix, f"What falls and never climbs? {number}")
    published = {
        "prompt": json.dumps(prompt),
        "answer": prefix + POEMS[1],
        "random_string_to_prepend": prefix,
        "n_needles": needles,
        "desired_msg_index": 5,
        "total_messages": len(prompt),
        "n_chars": sum(len(message["content"]) for message in prompt),
        "date_added": "04-12-2025",
    }
    return {**published, **changes}


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


WRITERS = {".parquet": write_parquet, ".json": write_json, ".jsonl": write_jsonl}
