"""The sample viewer's data: what the list needs of every run, and a block a sample.

Texts are deflated and images base64, each sample in a block of its own that the page's script opens
when the sample is looked at.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from freqexp.comparing.comparison import Comparison, Row
from freqexp.report.cache import cache_facts
from freqexp.report.drawer import Redrawn, SampleImages
from freqexp.results.mix import KINDS, kind
from freqexp.results.record import Record
from freqexp.results.summarize import token_ratio
from freqexp.results.table import MISSING, as_text, count, layer_tokens, number, size, tokens

TEXT_BYTES = 8 << 20
"""Texts of all samples together; above it long answers are cut until they fit."""
TEXT_CHARS = 16_000

_FAILED = -1
_NO_CODEC, _NOT_MADE = -1, -2


def answers(row: Row) -> list[str]:
    """What a run answered, in the order of its samples."""
    return [record.answer for record in row.run.records.values() if record.answer is not None]


def overview(
    comparison: Comparison, redrawn: Redrawn, samples: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """What the list of samples needs: scores and flags of every run."""
    numbers = {row.run.run_id: index for index, row in enumerate(comparison.rows)}
    runs = []
    for row in comparison.rows:
        records = [row.run.records.get(key) for key in samples[row.group]]
        runs.append(
            {
                "id": row.run.run_id,
                "title": row.run.title(),
                "group": row.group,
                "base": -1 if row.baseline is None else numbers[row.baseline.run_id],
                "codec": _codec(row, redrawn),
                "tokens": _acts_on_tokens(row),
                "scores": [_score(record) for record in records],
                "flags": "".join(_flags(record) for record in records),
                "kinds": "".join(_kind(record) for record in records),
            }
        )
    groups = [
        {
            "title": title,
            "samples": samples[group],
            "drawn": "".join(
                "1" if (group, key) in redrawn.images else "0" for key in samples[group]
            ),
        }
        for group, title in enumerate(comparison.groups)
    ]
    return {"groups": groups, "runs": runs}


def _codec(row: Row, redrawn: Redrawn) -> int:
    """The number of the codec setting; whether a codec acted shows in the recorded PNG sizes."""
    if row.run.run_id in redrawn.codec_of:
        return redrawn.codec_of[row.run.run_id]
    changed = row.means.get("png_bytes") != row.means.get("png_bytes_after")
    return _NOT_MADE if changed else _NO_CODEC


def _acts_on_tokens(row: Row) -> bool:
    return row.means.get("vision_tokens_in") != row.means.get("vision_tokens_out") or any(
        getattr(record, "kept", None) for record in row.run.records.values()
    )


def _score(record: Record | None) -> float | None:
    if record is None:
        return None
    return _FAILED if record.score is None else round(record.score, 4)


def _flags(record: Record | None) -> str:
    if record is None or record.score is None:
        return "0"
    return str((record.prefix_hit is False) + 2 * bool(record.truncated))


def _kind(record: Record | None) -> str:
    """Which of `KINDS` an answer is, in one digit."""
    return "-" if record is None or record.score is None else str(KINDS.index(kind(record)))


@dataclass
class Blocks:
    """Script elements that hold data. Equal images are held once."""

    html: list[str] = field(default_factory=list)
    _images: dict[bytes, int] = field(default_factory=dict)

    def image(self, png: bytes) -> int:
        """The number of an image's element, which is made if it is new."""
        digest = hashlib.sha256(png).digest()
        if digest not in self._images:
            self._images[digest] = len(self._images)
            text = base64.b64encode(png).decode()
            self.html.append(
                f'<script type="text/plain" id="i{self._images[digest]}">{text}</script>'
            )
        return self._images[digest]


def sample_blocks(
    comparison: Comparison,
    redrawn: Redrawn,
    samples: Sequence[Sequence[str]],
    blocks: Blocks,
) -> int:
    """One block a sample; the length at which texts were cut so that all of them fit."""
    pictures: dict[tuple[int, str], dict[str, Any]] = {
        key: _pictures(images, blocks) for key, images in redrawn.images.items()
    }
    limit = TEXT_CHARS
    while True:
        texts = _texts(comparison, redrawn, samples, pictures, limit)
        if texts is not None:
            blocks.html += texts
            return limit
        limit //= 2


def _pictures(images: SampleImages, blocks: Blocks) -> dict[str, Any]:
    return {
        "before": [blocks.image(png) for png in images.before],
        "after": {
            str(number): [blocks.image(png) for png in pngs]
            for number, pngs in images.after.items()
        },
    }


def _texts(
    comparison: Comparison,
    redrawn: Redrawn,
    samples: Sequence[Sequence[str]],
    pictures: dict[tuple[int, str], dict[str, Any]],
    limit: int,
) -> list[str] | None:
    """The blocks with texts cut at `limit` characters; None when they take too much room."""
    made, total = [], 0
    for group, ids in enumerate(samples):
        rows = [(i, row) for i, row in enumerate(comparison.rows) if row.group == group]
        for place, key in enumerate(ids):
            found = {i: record for i, row in rows if (record := row.run.records.get(key))}
            question = redrawn.questions.get((group, key))
            value = {
                "question": None if question is None else question[:limit],
                "expected": next(iter(found.values())).expected[:limit],
                "runs": {str(i): _record(record, limit) for i, record in found.items()},
                **pictures.get((group, key), {}),
            }
            text = json.dumps(value, separators=(",", ":"), allow_nan=False)
            packed = base64.b64encode(zlib.compress(text.encode(), 6)).decode()
            total += len(packed)
            if total > TEXT_BYTES and limit > 1:
                return None
            made.append(f'<script type="text/plain" id="s{group}-{place}">{packed}</script>')
    return made


def _parts(record: Record) -> list[tuple[str, str]]:
    """What the score is made of; nothing where that was not recorded."""
    if record.score is None or record.copied_share is None:
        return []
    found = [("answer", kind(record)), ("copied", number(record.copied_share, 3))]
    if record.right_place is not None:
        by_chance = number(record.place_chance, 3)
        place = f"{'right' if record.right_place else 'wrong'} ({by_chance} by chance)"
        found.append(("place", place))
    if record.wrong_turn is not None:
        request = {True: ", same request", False: ", another request", None: ""}
        found.append(("copies turn", f"{record.wrong_turn}{request[record.wrong_needle]}"))
    return found


def _inside(record: Record) -> list[tuple[str, str]]:
    """What tokens dropped inside the decoder leave; nothing where none were."""
    shown = layer_tokens(record.decoder_tokens, record.mean_layer_tokens)
    return [] if shown == MISSING else [("layer tokens (mean)", shown)]


_TOKENS = ("vision_tokens_in", "vision_tokens_out", "text_tokens", "text_tokens_out")


def _as_text(record: Record) -> list[tuple[str, str]]:
    """What the conversation takes as text; nothing where it was not counted."""
    shown = as_text(record.text_tokens, token_ratio(vars(record)))
    return [] if shown == MISSING else [("as text", shown)]


def _served(record: Record) -> list[tuple[str, str]]:
    """What a server said that it counted; nothing of a model that runs here."""
    if record.retries is None:
        return []
    counts = f"{count(record.prompt_tokens)} / {count(record.completion_tokens)}"
    return [("prompt / completion tokens", counts), ("retries", str(record.retries))]


def _record(record: Record, limit: int) -> dict[str, Any]:
    facts = [
        ("prefix", {True: "hit", False: "missed", None: "-"}[record.prefix_hit]),
        ("similarity", number(record.similarity, 3)),
        ("chance", number(record.chance, 3)),
        *_parts(record),
        ("tokens", tokens(*(getattr(record, name) for name in _TOKENS))),
        *_as_text(record),
        ("decoder tokens", count(record.decoder_tokens)),
        *_served(record),
        *_inside(record),
        *cache_facts(record),
        ("stored", size(record.stored_bytes)),
        ("prefill / decode ms", f"{number(record.prefill_ms, 0)} / {number(record.decode_ms, 0)}"),
    ]
    if record.truncated:
        facts.append(("truncated", "yes: ran into max_new_tokens"))
    return {
        "answer": None if record.answer is None else record.answer[:limit],
        "error": None if record.error is None else record.error[:limit],
        "pages": record.pages,
        "kept": getattr(record, "kept", None),
        "facts": facts,
    }
