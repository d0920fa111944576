"""What a step of adapting the bundled reader takes with a LoRA and with the whole decoder.

    python -m bench.adapting [--steps 10] [KEY=VALUE ...]

Both take the same steps on the same conversations in turn, in one process on one thread; seconds
are of the processor. KEY=VALUE as for `python -m freqexp.train adapt`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from freqexp.paths import conf_dir
from freqexp.train.adapt.config import load
from freqexp.train.adapt.curve import Curve
from freqexp.train.adapt.loop import Loop
from freqexp.train.adapt.peers import Peers
from freqexp.train.adapt.student import Student

KINDS = ("lora", "decoder")
USUAL = ("compressor=merge", "compressor.which=needed", "keep_tokens=72")


def main() -> None:
    """Print seconds a step of each, and their ratio."""
    parser = argparse.ArgumentParser(description="A step with a LoRA and with the whole decoder.")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("overrides", nargs="*", default=list(USUAL))
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: allowed: 2 or more; the first is not counted")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        loops = {kind: _loop(kind, options.overrides, Path(folder) / kind) for kind in KINDS}
        seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(options.steps):
            for kind, (loop, _) in loops.items():
                started = time.process_time()
                loop.advance()
                seconds[kind].append(time.process_time() - started)
    medians = {kind: statistics.median(each[1:]) for kind, each in seconds.items()}
    for kind in KINDS:
        print(f"{kind:<8} {medians[kind]:.2f} s a step, {loops[kind][1]:,} numbers trained")
    print(f"lora / decoder: {medians['lora'] / medians['decoder']:.2f}")


def _loop(kind: str, overrides: list[str], folder: Path) -> tuple[Loop, int]:
    """A training that has not begun, and how many numbers it trains."""
    asked = [*overrides, f"adapt.model={kind}", f"adapt.out={folder}", "tracking=off"]
    config, run = load(conf_dir() / "train" / "adapt.yaml", asked)
    student = Student(config, run)
    trained = sum(each.numel() for group in student.groups() for each in group["params"])
    return Loop(student, folder, Peers(cpu=True), Curve(None, [])), trained


if __name__ == "__main__":
    main()
