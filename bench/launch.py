"""What launching costs, and what a second local process brings.

    python -m bench.launch [--points 1000] [--samples 64] [compose] [node] [workers]

compose: the command that composes, builds, checks, freezes and submits a sweep as one array, to a
    program that only notes what it is given in place of sbatch; wall and CPU seconds, peak memory.
node: seconds from the start of a point's process until it begins to load a model.
workers: one run in one and in two processes of one thread each, in turn; the ratio of samples a
    second, without loading.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SBATCH = '#!/bin/sh\ngrep -c "^#SBATCH --array" "$1" >&2\necho "Submitted batch job 1"\n'
SINFO = '#!/bin/sh\necho "gpu*|infinite|gpu:a100:4"\n'
SCONTROL = '#!/bin/sh\necho "MaxArraySize = 100001"\n'
PARTS = ("compose", "node", "workers")
SECONDS_LIMIT, MEMORY_LIMIT_GIB, NODE_LIMIT, RATIO_LIMIT = 60.0, 1.0, 3.0, 1.7


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(description="What launching costs.")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=64, help="of the run that processes share")
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    if set(parts) - set(PARTS):
        parser.error(f"parts: got {parts}, allowed: {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        if "compose" in parts:
            measure_compose(Path(folder), arguments.points)
        if "node" in parts:
            measure_node(Path(folder))
        if "workers" in parts:
            measure_workers(Path(folder), arguments.samples)


def command(folder: Path, *arguments: str) -> str:
    """Run `python -m freqexp.run` and give what it printed."""
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "freqexp.run", *arguments, "tracking='off'"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def measure_compose(folder: Path, points: int) -> None:
    """A sweep of `points` keep ratios, and its baseline."""
    (folder / "bin").mkdir()
    programs = {"sbatch": SBATCH, "sinfo": SINFO, "scontrol": SCONTROL}
    for name in ("sbatch", "sinfo", "scontrol", "squeue", "srun"):
        file = folder / "bin" / name
        file.write_text(programs.get(name, "#!/bin/sh\n"))
        file.chmod(0o755)
    ratios = ",".join(f"{(index + 1) / (points + 1):.6f}" for index in range(points))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    shown = command(folder, "-m", "compressor=token", f"keep_ratio={ratios}", "cluster=a100x4")
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    gib = after.ru_maxrss / 2**20
    (line,) = [line.strip() for line in shown.splitlines() if "submitted" in line]
    print(
        f"compose: {points} points, {line}: {wall:.1f} s ({cpu:.1f} s CPU), {gib:.2f} GiB; "
        f"{verdict(wall <= SECONDS_LIMIT and gib < MEMORY_LIMIT_GIB)}"
    )


def measure_node(folder: Path) -> None:
    """Three points, one after the other."""
    command(
        folder,
        *("-m", "compressor=none", "seed=0,1,2", "samples=1", "output_dir=node"),
        *("cluster=workers", "cluster.max_parallel=1"),
    )
    logs = folder.glob("node/sweeps/latest/jobs/*log.out")
    pattern = re.compile(r"launched in ([\d.]+) s \(([\d.]+) s CPU\)")
    times = sorted(tuple(map(float, pattern.findall(log.read_text())[0])) for log in logs)
    wall, cpu = times[len(times) // 2]
    print(
        f"node: {wall:.2f} s ({cpu:.2f} s CPU) from the start of a process to loading, median of "
        f"{len(times)}; {verdict(wall < NODE_LIMIT)}",
        flush=True,
    )


def measure_workers(folder: Path, samples: int) -> None:
    """The rate of one and of two processes, twice each, in turn."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(2):
        for processes in (1, 2):
            name = f"workers-{turn}-{processes}"
            command(
                folder,
                *("compressor=none", f"samples={samples}", f"output_dir={name}"),
                *("cluster=workers", f"cluster.processes={processes}", "cluster.threads=1"),
            )
            rates[processes].append(rate(folder / name))
    ratio = max(rates[2]) / max(rates[1])
    print(
        f"workers: {max(rates[1]):.2f} samples/s in one process, {max(rates[2]):.2f} in two: "
        f"{ratio:.2f} times; {verdict(ratio >= RATIO_LIMIT)}"
    )


def rate(outputs: Path) -> float:
    """Samples a second, from the first begun until the slowest process has answered its last."""
    answered, seconds = 0, 0.0
    for log in {log.resolve() for log in outputs.glob("sweeps/*/jobs/*log.out")}:
        ends = re.findall(r"none.* (\d+)/\d+ samples, ([\d.]+) s, 0 s left", log.read_text())
        answered += int(ends[-1][0])
        seconds = max(seconds, float(ends[-1][1]))
    return answered / seconds


def verdict(good: bool) -> str:
    """Whether the limit is kept."""
    return "within the limit" if good else "OVER THE LIMIT"


if __name__ == "__main__":
    main()
