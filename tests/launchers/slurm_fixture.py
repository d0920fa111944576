"""A real SLURM on the loopback, in a temporary folder, without any right beyond the user's own.

munged, slurmctld and two slurmd with fake GPUs run as the user who tests, with a key, a socket and
ports of their own, so nothing of the machine's own SLURM is touched.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from slurm_files import NODES, write_files
from slurm_keeper import PREFIX, start_keeper, sweep_leftovers

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
START_SECONDS = 20.0
WAIT_SECONDS = 30.0
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class SlurmError(Exception):
    """SLURM did not do what it was asked."""


def search_path() -> str:
    """PATH with the folders of daemons, which users often lack."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])


def clean_environment() -> dict[str, str]:
    """The environment without what a SLURM job around the tests put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}


def missing() -> str | None:
    """Why there can be no SLURM here, with what to do; None when all its programs are there."""
    lacking = [name for name in COMMANDS if shutil.which(name, path=search_path()) is None]
    if not lacking:
        return None
    return (
        f"SLURM is not installed ({', '.join(lacking)} not found): "
        "apt-get install slurmctld slurmd slurm-client munge"
    )


class Slurm:
    """A running SLURM: two nodes of 4 GPUs, partitions gpu (default) and short (5 minutes at most).

    env: what a process needs to use it (SLURM_CONF, and PATH with a `sacct`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder / 'bin'}{os.pathsep}{search_path()}",
        }
        self.daemons: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str) -> str:
        """What a command prints. Raises SlurmError with what it complained about."""
        done = subprocess.run(
            command,
            env={**clean_environment(), **self.env},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )
        if done.returncode:
            raise SlurmError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def sbatch(self, script: str, *options: str, output: Path | None = None) -> str:
        """Submit a line of shell and give the job's id. output: a file name, with %A, %a, %j."""
        out = f"--output={output or '/dev/null'}"
        return self.run("sbatch", "--parsable", out, *options, f"--wrap={script}")

    def states(self, job: str | None = None) -> dict[str, str]:
        """State of every task ("7" or "7_3" -> "RUNNING") of one job or of all, ended ones too."""
        chosen = ["-j", job] if job else []
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i %T", *chosen).splitlines()
        return {name: state for name, state in (line.split() for line in lines)}

    def show(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says of one task, by field ("Restarts", "ExitCode", ...)."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: str, *states: str, seconds: float = WAIT_SECONDS) -> dict[str, str]:
        """Wait until every task of a job is in one of `states` (default: has ended).

        Raises SlurmError with the states and the daemons' last words when it takes longer.
        """
        going = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED"}
        going.add("SIGNALING")

        def there() -> bool:
            found = set(self.states(job).values())
            return found <= set(states) if states else not found & going

        try:
            until(there, seconds)
        except TimeoutError:
            raise SlurmError(f"after {seconds:g} s: {self.states(job)}\n{self.logs()}") from None
        return self.states(job)

    def signal(self, job: str, name: str) -> None:
        """Send a signal to the job's shell and its steps, as SLURM does before a time limit."""
        self.run("scancel", "--full", f"--signal={name}", job)

    def requeue(self, job: str) -> None:
        """Kill a job and put it back into the queue, as a preemption does."""
        self.run("scontrol", "requeue", job)

    def clear(self) -> None:
        """Cancel every job and wait until none is left on a node."""
        with contextlib.suppress(SlurmError):
            self.run("scontrol", "update", "NodeName=ALL", "State=RESUME")
        self.run("scancel", "--user", getpass.getuser())
        with contextlib.suppress(TimeoutError):
            until(lambda: not self.run("squeue", "-h"), 8)
        if self.run("squeue", "-h"):
            self.run("scancel", "--full", "--signal=KILL", "--user", getpass.getuser())
            until(lambda: not self.run("squeue", "-h"), WAIT_SECONDS)

    def logs(self, lines: int = 8) -> str:
        """The last lines of every daemon's log."""
        files = sorted(self.folder.glob("*.log"))
        tails = ("\n".join(file.read_text().splitlines()[-lines:]) for file in files)
        return "\n".join(f"== {file.name}\n{tail}" for file, tail in zip(files, tails, strict=True))


@contextlib.contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A SLURM for as long as the context lasts, or this process lives.

    Raises SlurmError with the daemons' logs when it does not start.
    """
    sweep_leftovers()
    for attempt in (1, 2):
        # Short, because a socket's path is limited to about 100 characters.
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp"))
        keeper = start_keeper(folder)
        slurm = Slurm(folder)
        try:
            try:
                start(slurm)
            except SlurmError:
                # A free port can be taken by someone else before the daemon has it.
                if attempt == 2:
                    raise
                continue
            yield slurm
            return
        finally:
            assert keeper.stdin is not None
            keeper.stdin.close()
            for process in (keeper, *slurm.daemons):
                process.wait(WAIT_SECONDS)


def start(slurm: Slurm) -> None:
    """Write the configuration and start the daemons. Raises SlurmError when they do not come up."""
    folder = slurm.folder
    write_files(folder)
    spawn(slurm, "munged", "--foreground", "--force", *(
        f"--{name}={folder / file}"
        for name, file in (
            ("socket", "munge.socket"),
            ("key-file", "munge.key"),
            ("pid-file", "munge.pid"),
            ("log-file", "munged.log"),
            ("seed-file", "munge.seed"),
        )
    ))  # fmt: skip
    try:
        until((folder / "munge.socket").exists, START_SECONDS)
        spawn(slurm, "slurmctld", "-D", "-c")
        for node in range(1, NODES + 1):
            spawn(slurm, "slurmd", "-D", "-N", f"node{node}")
        until(lambda: is_up(slurm), START_SECONDS)
    except TimeoutError:
        raise SlurmError(f"SLURM did not start:\n{slurm.logs()}") from None


def is_up(slurm: Slurm) -> bool:
    """Whether every node waits for work."""
    try:
        return slurm.run("sinfo", "-h", "-N", "-p", "gpu", "-o", "%T").split() == ["idle"] * NODES
    except SlurmError:
        return False


def spawn(slurm: Slurm, *command: str) -> None:
    """Start a daemon. The keeper knows it by SLURM_CONF in its environment."""
    with (slurm.folder / f"{command[0]}.out.log").open("ab") as out:
        daemon = subprocess.Popen(
            [str(shutil.which(command[0], path=search_path())), *command[1:]],
            env={**clean_environment(), **slurm.env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    slurm.daemons.append(daemon)


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for it. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)
