"""Whether the milliseconds of a run depend on which run came before it.

    python -m bench.times [--samples 64] [--repeats 3]

`compressor=none` and `random_prune` at keep ratio 1 do the same work but for the choice. Both are
run in both orders, each time in a fresh process and folder; the ratio of a stage's medians between
the two orders should be 1.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from freqexp.results.record_file import load_records

ORDERS = (("none", "random_prune"), ("random_prune", "none"))
STAGES = ("encode_ms", "prefill_ms", "decode_ms")


def main() -> None:
    """Print the medians of both orders and their ratios."""
    parser = argparse.ArgumentParser(description="Milliseconds by the order of runs.")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.samples < 1 or arguments.repeats < 1:
        parser.error("--samples and --repeats: allowed: 1 or more")
    found: dict[tuple[int, str, str], list[float]] = {}
    for _ in range(arguments.repeats):
        for place, order in enumerate(ORDERS):
            for name, stage, ms in _measured(order, arguments.samples):
                found.setdefault((place, name, stage), []).append(ms)
    print(f"medians of {arguments.samples} samples, median of {arguments.repeats} repeats, ms")
    print(f"{'':<28}{'none first':>14}{'none second':>14}{'ratio':>8}{'spread of repeats':>20}")
    for name in ORDERS[0]:
        for stage in STAGES:
            both = [found.get((place, name, stage), []) for place in range(len(ORDERS))]
            shown = [f"{statistics.median(ms):.1f}" if ms else "shared" for ms in both]
            ratio = spread = ""
            if all(both):
                first, second = map(statistics.median, both)
                ratio = f"{max(first, second) / min(first, second):.2f}"
                spread = f"{max(max(ms) / min(ms) for ms in both):.2f}"
            print(f"{name + ' ' + stage:<28}{shown[0]:>14}{shown[1]:>14}{ratio:>8}{spread:>20}")


def _measured(order: tuple[str, ...], samples: int) -> Iterator[tuple[str, str, float]]:
    """(compressor, stage, median ms) of runs in one process, in this order."""
    with tempfile.TemporaryDirectory() as folder:
        program = (
            "import sys\n"
            "from freqexp.answering.session import Session\n"
            "from freqexp.composing.compose import compose\n"
            "from freqexp.running.execute import execute\n"
            "from freqexp.running.progress import make_progress\n"
            "session = Session()\n"
            "for name in sys.argv[3:]:\n"
            "    folder = f'output_dir={sys.argv[1]}/{name}'\n"
            "    keys = [f'compressor={name}', f'samples={sys.argv[2]}', folder]\n"
            "    cfg = compose([*keys, 'keep_ratio=1', 'tracking=off'])\n"
            "    execute(cfg, session, make_progress())\n"
        )
        command = [sys.executable, "-c", program, folder, str(samples), *order]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in order:
            (file,) = (Path(folder) / name / "runs").glob("*/records.jsonl")
            records = load_records(file)
            for stage in STAGES:
                measured = [ms for r in records if (ms := getattr(r, stage)) is not None]
                if measured:
                    yield name, stage, statistics.median(measured)


if __name__ == "__main__":
    main()
