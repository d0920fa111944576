"""Takes a SLURM of tests down, with every job of it, whatever becomes of the tests.

As a script (`python slurm_keeper.py FOLDER`) it waits until the process that started it closes a
pipe or dies. It finds daemons and jobs by SLURM_CONF in their environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PREFIX = f"freqexp-slurm-{os.getuid()}-"
"""Of the folders, /tmp/<prefix><process id>-<random>."""


def start_keeper(folder: Path) -> subprocess.Popen[bytes]:
    """The process that takes down what is in `folder` as soon as its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-S", __file__, str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # not killed together with the tests
    )


def sweep_leftovers() -> None:
    """Take down what earlier processes left, in case their keepers were killed, too."""
    for folder in Path("/tmp").glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if not Path(f"/proc/{owner}").exists():
            take_down(folder)


def take_down(folder: Path) -> None:
    """Kill the daemons and jobs of a folder, and remove it."""
    while found := processes_of(folder):
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> set[int]:
    """Processes with the folder's SLURM_CONF, and their descendants; not this one, no zombies."""
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # After the name, which may hold anything: state, parent, ...
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if state == "Z":
            continue
        children.setdefault(int(parent), []).append(int(entry.name))
        if marked:
            found.add(int(entry.name))
    queue = list(found)
    while queue:
        below = children.get(queue.pop(), [])
        queue += [child for child in below if child not in found]
        found.update(below)
    return found - {os.getpid()}


if __name__ == "__main__":
    # Ends when the other side closes it, or no longer exists.
    sys.stdin.buffer.read()
    take_down(Path(sys.argv[1]))
