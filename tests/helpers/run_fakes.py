"""A reader without a model, and what else lets a run be watched, broken and killed in tests.

As a script it is one run: `python run_fakes.py OUTPUT_DIR SAMPLES SECONDS_A_SAMPLE`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from freqexp.answering.session import Session
from freqexp.config.cluster import ClusterConfig
from freqexp.config.run import RunConfig, Tracking
from freqexp.config.saved import to_yaml
from freqexp.nouns.page import Pixels
from freqexp.nouns.sample import Sample, Turn
from freqexp.nouns.vision import CompressedTokens, Signal, VisionTokens
from freqexp.readers.base import Answer, Reader, Request
from freqexp.schemas.choices import Device, Form
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.profile import ProfileConfig
from freqexp.schemas.render import CellsRender

RENDER = CellsRender()
MODEL = ModelConfig(
    name="fake", max_new_tokens=9, form=Form.short, render=RENDER, device=Device.cpu
)
PROFILE = ProfileConfig(
    name="aggressive", bits_low=8, bits_mid=4, bits_high=0, edge_low=4, edge_mid=8
)


def make_config(output_dir: str, **changes: Any) -> RunConfig:
    cfg = RunConfig(
        model=MODEL,
        compressor=NoneConfig(),
        profile=PROFILE,
        needles=NeedlesConfig(count=2),
        cluster=ClusterConfig(),
        samples=6,
        output_dir=output_dir,
        tracking=Tracking.off,
    )
    return replace(cfg, **changes)


def make_samples(needles: NeedlesConfig, samples: int, seed: int) -> list[Sample]:
    made = []
    for index in range(samples):
        turns = tuple(
            Turn(f"poem {number}?", f"{index} {seed} {number} over the hills")
            for number in range(needles.count + 1)
        )
        answer = f"pre{index}{turns[1].assistant}"
        # Sorted by id is not the order of computing; sample i is the same however many there are.
        name = f"sample-{6 - index if index < 6 else index + 1:03d}"
        made.append(Sample(name, needles.count, "", turns, f"{name}?", answer, f"pre{index}"))
    return made


def fake_run_id(cfg: RunConfig) -> str:
    """Like the real one: what can change a score and nothing else."""
    compressor = cfg.compressor
    cfg = replace(
        cfg,
        cluster=ClusterConfig(),
        tracking=Tracking.off,
        baseline=True,
        samples=1,
        output_dir="",
        encodings_cache_gb=0.0,
        sweep_name=None,
        keep_ratio=cfg.keep_ratio if compressor.uses_keep_ratio else 1.0,
        profile=cfg.profile if compressor.uses_profile else PROFILE,
    )
    return hashlib.sha256(to_yaml(cfg).encode()).hexdigest()[:16]


class FakeReader(Reader):
    """Answers `sample-007?` more or less rightly, depending on the sample and the kept tokens.

    broken: sample ids it fails at. on_answer: called before each answer. most: how many requests
    its memory holds. batches: how many it was asked at once, failed attempts included.
    """

    can_batch = True

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.on_answer: Callable[[str], None] = lambda name: None
        self.encoded: list[Pixels] = []
        self.features: list[Any] = []
        self.most = 1_000
        self.batches: list[int] = []

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer]:
        import torch

        self.batches.append(len(requests))
        if len(requests) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        answers = [self.answer(request.question, request.vision) for request in requests]
        return [replace(answer, batch_size=len(requests)) for answer in answers]

    def encode(
        self, pages: Sequence[Pixels], signals: Sequence[Signal] = (), chooser: Any = None
    ) -> list[VisionTokens]:
        import torch

        self.encoded += pages
        made = []
        for page in pages:
            rows, columns = page.shape[0] // 28, page.shape[1] // 28
            blocks = page[: rows * 28, : columns * 28].reshape(rows, 28, columns, 28)
            values = blocks.swapaxes(1, 2).reshape(rows * columns, 784)[:, ::100]
            features = torch.from_numpy(values.astype(np.float32))
            made.append(VisionTokens(features, (rows, columns)))
        return made

    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        name = question.removesuffix("?")
        self.on_answer(name)
        if name in self.broken:
            raise RuntimeError(f"no answer to {name}")
        self.features.append([page.features for page in vision])
        kept = sum(len(page.kept) for page in vision)
        number = int(name.removeprefix("sample-"))
        right = number % 3 != 0
        return Answer(
            text=f"pre{'' if right else 'x'}",
            truncated=number % 4 == 0,
            vision_tokens_in=sum(page.grid[0] * page.grid[1] for page in vision),
            vision_tokens_out=kept,
            decoder_tokens=kept + 5,
            kv_cache_bytes=64 * (kept + 5),
            prefill_ms=1.5,
            decode_ms=2.5,
        )


def fake_grade(answer: str, sample: Sample) -> Any:
    from freqexp.nouns.sample import Grade

    hit = answer == "pre"
    score = (hashlib.sha256(sample.sample_id.encode()).digest()[0] / 255) if hit else 0.0
    return Grade(score=score, prefix_hit=hit, similarity=0.5 + score / 2, chance=0.25)


class Counting:
    """Makes sessions, and counts how often a model and a data set were loaded."""

    def __init__(self) -> None:
        self.reader = FakeReader()
        self.loaded: list[str] = []
        self.data_loaded = 0
        self.samples = make_samples

    def load(self, model: ModelConfig) -> Reader:
        self.loaded.append(model.name)
        return self.reader

    def load_samples(self, needles: NeedlesConfig, samples: int, seed: int) -> list[Sample]:
        self.data_loaded += 1
        return self.samples(needles, samples, seed)

    def session(self, **changes: Any) -> Session:
        parts: dict[str, Any] = {
            "reader": self.load,
            "samples": self.load_samples,
            "grade": fake_grade,
            "run_id": fake_run_id,
            "hashes": lambda cfg: {"weights_hash": "w", "data_hash": "d", "code_hash": "c"},
        }
        return Session(**{**parts, **changes})


def without_times(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without what differs from one start to the next."""
    return {
        name: value
        for name, value in summary.items()
        if not name.endswith(("_ms", "_ms_median")) and name != "peak_memory_bytes"
    }


def main() -> None:
    from freqexp.running.execute import execute
    from freqexp.running.progress import make_progress

    output_dir, samples, seconds = sys.argv[1:]
    counting = Counting()
    counting.reader.on_answer = lambda name: time.sleep(float(seconds))
    cfg = make_config(output_dir, samples=int(samples))
    summary = execute(cfg, counting.session(), make_progress())
    print(json.dumps({"run_id": summary.run_id, "loaded": counting.loaded}))


if __name__ == "__main__":
    main()
