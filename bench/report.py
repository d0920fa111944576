"""Seconds, memory and size of a report over many runs.

    python -m bench.report [--runs 100] [--samples 250]

The runs are made up: real configurations and real samples of the tiny reader, with random scores,
so that pages can be drawn and every statistic has work to do. The command runs in a process of its
own; the page is opened in headless Chromium where there is one.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from freqexp.benchmarks.samples import load_samples, samples_hash
from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig
from freqexp.config.saved import to_yaml
from freqexp.nouns.sample import Sample
from freqexp.results.intervals import intervals, scores
from freqexp.results.record import Record
from freqexp.results.summarize import Baseline, summarize
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.method import NoneConfig
from freqexp.schemas.tokens import TokenConfig

LIMITS = {
    "bootstrap of all runs, 10,000 resamples (s)": 5.0,
    "report (s)": 20.0,
    "report, peak memory (GiB)": 2.0,
    "page (MB)": 30.0,
    "page opens (s)": 3.0,
}


def main() -> None:
    """Print what was measured beside the limits."""
    parser = argparse.ArgumentParser(description="Seconds, memory and size of a report.")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--samples", type=int, default=250)
    arguments = parser.parse_args()
    if arguments.runs < 2 or arguments.samples < 2:
        parser.error("--runs and --samples: allowed: 2 or more")
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        make_runs(outputs, arguments.runs, arguments.samples)
        measured = {
            "bootstrap of all runs, 10,000 resamples (s)": bootstrap_s(
                arguments.runs, arguments.samples
            ),
            **report(outputs),
        }
    print(f"{arguments.runs} runs of {arguments.samples} samples")
    for name, value in measured.items():
        print(f"{name:<48}{value:>8.2f}   limit {LIMITS[name]:g}")


def bootstrap_s(runs: int, samples: int) -> float:
    """Seconds of the intervals of all accuracies."""
    lists = np.random.default_rng(0).uniform(size=(runs, samples)).tolist()
    start = time.perf_counter()
    intervals([scores(values) for values in lists])
    return time.perf_counter() - start


def report(outputs: Path) -> dict[str, float]:
    """The command in a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "freqexp.report", str(outputs), "--out", str(outputs / "r")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    page = outputs / "r" / "report.html"
    found = {
        "report (s)": seconds,
        "report, peak memory (GiB)": peak_gib,
        "page (MB)": page.stat().st_size / 1e6,
    }
    opened = open_s(page)
    return found if opened is None else {**found, "page opens (s)": opened}


def open_s(page: Path) -> float | None:
    """Seconds until the first sample is shown in headless Chromium; None without one."""
    import shutil

    programs = ("chromium-headless-shell", "chromium", "google-chrome")
    program = next((path for name in programs if (path := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if program is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page()
        start = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_selector("#detail .answers")
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


def make_runs(outputs: Path, runs: int, samples: int) -> None:
    """A baseline and runs - 1 compressed ones, half of them codecs."""
    base = compose([f"samples={samples}", "tracking=off", f"output_dir={outputs}"])
    data = load_samples(base.needles, samples, base.seed)
    provenance = {"data_hash": samples_hash(base.needles), "weights_hash": "w", "code_hash": "c"}
    methods = [NoneConfig(), *(_method(index) for index in range(runs - 1))]
    baseline = None
    for index, method in enumerate(methods):
        cfg = replace(base, compressor=method, keep_ratio=0.1 + 0.9 * (index // 2) / runs)
        records = {r.sample_id: r for r in _records(cfg, data, index)}
        run_id = f"{index:016x}"
        folder = outputs / "runs" / run_id
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(to_yaml(cfg))
        (folder / "provenance.json").write_text(json.dumps(provenance))
        lines = "".join(json.dumps(asdict(record)) + "\n" for record in records.values())
        (folder / "records.jsonl").write_text(lines)
        summary = summarize(cfg, run_id, records, baseline)
        (folder / "summary.json").write_text(json.dumps(asdict(summary)))
        baseline = baseline or Baseline(run_id, records)


def _method(index: int) -> Any:
    return TokenConfig() if index % 2 else BlockDctConfig(block=(14, 28)[index // 2 % 2])


def _records(cfg: RunConfig, samples: Sequence[Sample], seed: int) -> list[Record]:
    generator = random.Random(seed)
    return [_record(cfg, sample, generator) for sample in samples]


def _record(cfg: RunConfig, sample: Sample, generator: random.Random) -> Record:
    score = 1.0 if generator.random() < cfg.keep_ratio else generator.random()
    tokens = 288 if cfg.compressor.stage != "token" else int(288 * cfg.keep_ratio)
    wrong = "".join(generator.choices("etaoin shrdlu", k=len(sample.answer)))
    return Record(
        sample_id=sample.sample_id,
        needles=sample.needles,
        bucket=sample.bucket,
        expected=sample.answer,
        score=score,
        prefix_hit=generator.random() < 0.9,
        similarity=score,
        chance=0.3,
        prefix=sample.prefix,
        right_place=generator.random() < score,
        place_chance=0.2,
        place_chars=1,
        copied_share=score,
        derailed=generator.random() < 0.3,
        answer=sample.answer if score == 1 else wrong,
        pages=2,
        vision_tokens_in=288,
        vision_tokens_out=tokens,
        decoder_tokens=tokens + 22,
        kv_cache_bytes=9216 * (tokens + 22),
        png_bytes=12_000,
        png_bytes_after=15_000 if cfg.compressor.stage == "codec" else 12_000,
        stored_bytes=generator.randrange(4_000, 12_000),
        compress_ms=generator.uniform(3, 20),
        encode_ms=70.0,
        prefill_ms=50.0,
        decode_ms=generator.uniform(150, 250),
    )


if __name__ == "__main__":
    main()
