"""Stand-ins for SLURM's commands, for what a real one on one machine would not do.

The queue is a folder with a file for each job. What sbatch is to do is in `sbatch.json`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

COMMANDS = ("sbatch", "squeue", "sinfo", "scontrol", "srun", "scancel")


class SlurmStub:
    """folder: where the stub's state is. calls: of sbatch, with the environment of each."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        (folder / "jobs").mkdir()
        for name in COMMANDS:
            file = folder / "bin" / name
            file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" {name} "$@"\n')
            file.chmod(0o755)
        patch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("FREQEXP_STUB", str(folder))
        self.do()

    def do(self, **what: Any) -> None:
        """What the commands do from now on.

        first: number of the next job. says: what sbatch prints, with {job}; errs: on stderr; code.
        refuse_from: of which call on it is refused. lost: nothing is queued. header: printed by
        squeue. slow: seconds that sbatch takes. array: MaxArraySize. reason: of jobs that wait.
        """
        (self.folder / "do.json").write_text(json.dumps({"first": 17, **what}))

    @property
    def calls(self) -> list[dict[str, str]]:
        found = sorted(self.folder.glob("call-*.json"))
        return [json.loads(file.read_text()) for file in found]

    def queued(self) -> list[str]:
        """Numbers of the jobs."""
        return sorted(file.name for file in (self.folder / "jobs").iterdir())


def sbatch(folder: Path, do: dict[str, Any], file: str) -> int:
    import time

    time.sleep(do.get("slow", 0))
    call = len(list(folder.glob("call-*.json")))
    (folder / f"call-{call}.json").write_text(json.dumps(dict(os.environ)))
    if call >= do.get("refuse_from", 10**6):
        print(do["errs"], file=sys.stderr)
        return 1
    text = Path(file).read_text()
    flags = dict(
        line[len("#SBATCH --") :].partition("=")[::2]
        for line in text.splitlines()
        if line.startswith("#SBATCH --")
    )
    job = do["first"] + call
    if not do.get("lost"):
        last = flags.get("array", "").split("%")[0].partition("-")[2]
        value = {"name": flags["job-name"], "command": file, "last": last}
        (folder / "jobs" / str(job)).write_text(json.dumps(value))
    print(do.get("says", "Submitted batch job {job}").replace("{job}", str(job)))
    print(do.get("errs", ""), file=sys.stderr)
    return int(do.get("code", 0))


def squeue(folder: Path, do: dict[str, Any], arguments: list[str]) -> int:
    elsewhere = "-M" in arguments
    (folder / "squeue.json").write_text(json.dumps([arguments, dict(os.environ)]))
    print(do.get("header", ""))
    if elsewhere != bool(do.get("elsewhere")):
        return 0
    for file in sorted((folder / "jobs").iterdir()):
        job = json.loads(file.read_text())
        tasks = [""] if job["last"] == "" else [f"_{n}" for n in range(int(job["last"]) + 1)]
        for task in tasks:
            cells = [file.name + task, "PENDING", do.get("reason", "None"), job["name"]]
            print("|".join([*cells, job["command"]]))
    return 0


def main(name: str, arguments: list[str]) -> int:
    folder = Path(os.environ["FREQEXP_STUB"])
    do = json.loads((folder / "do.json").read_text())
    if name == "sbatch":
        return sbatch(folder, do, arguments[-1])
    if name == "squeue":
        return squeue(folder, do, arguments)
    if name == "sinfo":
        print("gpu*|infinite|gpu:a100:4|64|500000\nshort|10:00|(null)|8|16000")
    if name == "scontrol":
        print(f"MaxArraySize            = {do.get('array', 1001)}")
    if name == "scancel":
        for job in arguments:
            (folder / "jobs" / job).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
