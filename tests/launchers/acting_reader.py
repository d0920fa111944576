"""A reader without a model for processes that tests do not start themselves.

`install(folder)` makes a `sitecustomize.py` that puts it into every Python started with that folder
on PYTHONPATH. What it does at which sample of which run is in `acts.json` there: for a key of
`key_of`, a list of acts, each {"at": number of the sample in this life or LOADING, "do": raise,
kill, requeue or sleep, "seconds": then waited, "times": how often at most}. `answers.txt` has a
line for each sample that was begun and each that was answered. The samples are made up, too:
generating real ones takes each process seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

HERE = Path(__file__).parent
LOADING = -1
SITE = """
import os, sys
command = " ".join(sys.orig_argv)
if "submitit.core._submit" in command or "freqexp.run" in command:
    sys.path.append({tests!r})
    import acting_reader
    acting_reader.look_often() if "freqexp.run" in command else acting_reader.take_over({folder!r})
"""


def install(folder: Path, acts: dict[str, list[dict[str, Any]]], seconds: float = 0.0) -> None:
    """Write what processes with `folder` on PYTHONPATH will do. seconds: of each answer."""
    folder.mkdir(exist_ok=True)
    (folder / "acts.json").write_text(json.dumps({"acts": acts, "seconds": seconds}))
    (folder / "answers.txt").touch()
    site = SITE.format(tests=str(HERE), folder=str(folder))
    (folder / "sitecustomize.py").write_text(site)


def answers(folder: Path) -> list[str]:
    """One "<key> <sample>" for each sample that was answered."""
    lines = (folder / "answers.txt").read_text().splitlines()
    return [line.removesuffix(" done") for line in lines if line.endswith(" done")]


def gpus(folder: Path) -> list[str]:
    """CUDA_VISIBLE_DEVICES of every process that loaded a model."""
    lines = (folder / "answers.txt").read_text().splitlines()
    return sorted(line.removeprefix("gpu ") for line in lines if line.startswith("gpu "))


def key_of(cfg: Any) -> str:
    """A run in the words of `acts`: "none" or the keep ratio."""
    return "none" if cfg.compressor.stage == "none" else f"{cfg.keep_ratio:g}"


def look_often() -> None:
    """Make the command that waits for jobs ask for them several times a second."""
    from freqexp.paths import launchers_dir

    sys.path.insert(0, str(launchers_dir()))  # of the same checkout, as the command itself does
    from freqexp_cluster import slurm

    slurm.POLL_SECONDS = 0.3


def made_up(needles: Any, samples: int, seed: int) -> list[Any]:
    """Short conversations, no two alike, in place of generated ones."""
    from freqexp.nouns.sample import Sample, Turn

    made = []
    for index in range(samples):
        name = f"sample {index} of {seed}"
        turns = tuple(Turn(f"poem {n}", f"{name}, verse {n}") for n in range(needles.count + 1))
        answer = f"pre{turns[1].assistant}"
        made.append(Sample(name, needles.count, "", turns, f"{name}?", answer, "pre"))
    return made


def take_over(folder: str) -> None:
    """Make sessions of this process use the acting reader and made-up samples."""
    from freqexp.answering.session import Session

    defaults: dict[str, Any] = Session.__init__.__kwdefaults__
    defaults["reader"] = lambda model: ActingReader(Path(folder))
    defaults["samples"] = made_up
    original = Session.reader

    def reader(self: Any, cfg: Any) -> Any:
        made = original(self, cfg)
        made.key = key_of(cfg)
        made.act(LOADING)
        return made

    Session.reader = reader  # type: ignore[method-assign]


class ActingReader:
    """Answers by the question's hash and the number of kept tokens, after what `acts` says."""

    device = "cpu"
    can_batch = False
    reads_lines = False
    warms_up = False
    grids_a_page = 1
    reads_text = False
    counts_text = False
    requests_at_once = None
    generation: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ""
        self.plan = json.loads((folder / "acts.json").read_text())
        self.number = -1
        self._write(f"gpu {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")

    def encode(
        self, pages: Sequence[Any], signals: Sequence[Any] = (), chooser: Any = None
    ) -> list[Any]:
        import numpy as np
        import torch

        from freqexp.nouns.vision import VisionTokens

        made = []
        for page in pages:
            rows, columns = page.shape[0] // 28, page.shape[1] // 28
            blocks = page[: rows * 28, : columns * 28].reshape(rows, 28, columns, 28)
            values = blocks.swapaxes(1, 2).reshape(rows * columns, 784)[:, ::100]
            features = torch.from_numpy(values.astype(np.float32))
            made.append(VisionTokens(features, (rows, columns)))
        return made

    def answer(self, question: str, vision: Sequence[Any]) -> Any:
        from freqexp.readers.base import Answer

        name = hashlib.sha256(question.encode()).hexdigest()[:12]
        self.number += 1
        self._write(f"{self.key} {name} begun\n")
        self.act(self.number)
        time.sleep(self.plan["seconds"])
        self._write(f"{self.key} {name} done\n")
        kept = sum(len(page.kept) for page in vision)
        return Answer(
            text=name[: kept % 12],
            truncated=False,
            vision_tokens_in=sum(page.grid[0] * page.grid[1] for page in vision),
            vision_tokens_out=kept,
            decoder_tokens=kept + 5,
            kv_cache_bytes=64 * (kept + 5),
            prefill_ms=1.5,
            decode_ms=2.5,
        )

    def act(self, number: int) -> None:
        """Do what is planned for a sample's number, or for LOADING."""
        for index, act in enumerate(self.plan["acts"].get(self.key, [])):
            if act["at"] == number and self._may(f"{self.key}-{index}", act.get("times", 1)):
                self._do(act)

    def _write(self, line: str) -> None:
        with (self.folder / "answers.txt").open("a") as file:
            file.write(line)

    def _do(self, act: dict[str, Any]) -> None:
        if act["do"] == "raise":
            raise RuntimeError("the reader broke")
        if act["do"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if act["do"] == "requeue":
            # The task's own number: a point alone is submitted without an array.
            job = os.environ["SLURM_JOB_ID"]
            subprocess.run(["scontrol", "requeue", job], check=True)
        time.sleep(act.get("seconds", 0.0))

    def _may(self, name: str, times: int) -> bool:
        """Counts over all lives."""
        with (self.folder / f"{name}.count").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if len(file.read()) >= times:
                return False
            file.write("x")
            return True
