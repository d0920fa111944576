"""`python -m freqexp.train adapt [key=value ...]`: adapt a reader to a compressor of its tokens."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from freqexp.config.cluster import Executor
from freqexp.config.identity import all_outside
from freqexp.config.run import RunConfig
from freqexp.errors import DONE, INTERRUPTED, UserError
from freqexp.paths import conf_dir
from freqexp.tracking.curve import mirrored
from freqexp.train.adapt.config import AdaptConfig, load
from freqexp.train.adapt.curve import Curve
from freqexp.train.adapt.loop import Loop
from freqexp.train.adapt.output import write
from freqexp.train.adapt.peers import Peers
from freqexp.train.adapt.student import Student

SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)


def main(overrides: Sequence[str]) -> int:
    """The command with these overrides, here or as a job. Gives its exit code.

    Raises ConfigError and UserError before anything is loaded or submitted.
    """
    config, run = load(Path(conf_dir()) / "train" / "adapt.yaml", overrides)
    if run.cluster.executor is Executor.local and not run.cluster.dry_run:
        return DONE if adapt(config, run) else INTERRUPTED
    # Composing has put the launchers of a checkout before any installed ones.
    from freqexp_cluster.training import launch

    from freqexp.train.adapt.planning import plan_text

    if run.cluster.executor is Executor.local:
        print(plan_text(config, run))
        return DONE
    folder = Path(config.out).expanduser().absolute()
    kept = [each for each in overrides if not each.startswith(("cluster", "adapt.out="))]
    here = ["freqexp.train", "adapt", *kept, f"adapt.out={folder}"]
    plan = plan_text(config, run) if run.cluster.dry_run else ""
    # A file of the user's own is found where the typed hydra.searchpath says.
    packages = [source for source in all_outside(run) if not source.is_own]
    return launch(here, run.cluster, folder, plan, packages)


def adapt(config: AdaptConfig, run: RunConfig) -> bool:
    """Train, or go on from the last checkpoint, and write what comes out; False when it was told to
    leave before the end.

    Raises UserError, see `Student` and `Loop`.
    """
    peers = Peers(cpu=run.model.device.value == "cpu" or not torch.cuda.is_available())
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    folder = Path(config.out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from None
    student = Student(config, run)
    followers = mirrored(run, student.said) if peers.rank == 0 else []
    curve = Curve(folder if peers.rank == 0 else None, followers)
    loop = Loop(student, folder, peers, curve)

    def say(line: str) -> None:
        if peers.rank == 0:
            print(line, flush=True)

    if loop.resume():
        say(f"going on from step {loop.step} of {folder}")
    done = False
    try:
        with leaving(loop):
            done = loop.run(say)
    finally:
        for follower in followers:
            follower.finish(interrupted=not done)
    if not done:
        say(f"left after step {loop.step}; the same command goes on")
        return False
    if peers.rank > 0:
        return True
    step = loop.take_best()
    write(student, folder, step, curve.rows)
    say(f"{folder}: the best was step {step}")
    if student.weights:
        say(f"  model.adapter={folder}")
    if student.starts:
        say(f"  compressor.weights={folder}")
    return True


@contextmanager
def leaving(loop: Loop) -> Iterator[None]:
    """Signals that ask to leave are obeyed after the step in work; Ctrl-C twice at once."""

    def ask(number: int, frame: Any) -> None:
        if number == signal.SIGINT and loop.leaving:
            raise KeyboardInterrupt
        loop.leaving = True
        print("leaving after this step", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
