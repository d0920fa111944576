"""Trainings in processes of their own: `python adapt_processes.py FOLDER PORT CASES`.

CASES: in JSON, of each name how many processes together run `freqexp.train adapt` with which
overrides; without any they talk to each other and train nothing. Each process says in
FOLDER/NAME-RANK.json how it ended and what it printed, and leaves what it had learnt in
FOLDER/NAME-RANK.pt. They are forks of one that has everything imported; a process that is not the
first ends with 9 where it would replace a file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

WROTE = 9


def main(folder: Path, port: int, cases: dict[str, tuple[int, list[str]]]) -> None:
    # What takes long and draws or computes nothing, once for all.
    import peft  # noqa: F401
    from adapt_settings import tiny

    from freqexp.readers.load import load_reader
    from freqexp.train.adapt.lessons import Shape, draw

    load_reader(tiny("compressor=merge")[1].model)
    draw(Shape(1, 1, "short"), 1, 1, "")
    for name, (world, overrides) in cases.items():
        children = []
        for rank in range(world):
            child = os.fork()
            if child == 0:
                os._exit(life(folder / f"{name}-{rank}", rank, world, port, overrides))
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        port += 1


def life(said: Path, rank: int, world: int, port: int, overrides: list[str]) -> int:
    """One process, as torchrun or SLURM would start it."""
    import torch
    from adapt_settings import TINY

    from freqexp.errors import exit_code
    from freqexp.train.adapt import command
    from freqexp.train.adapt.loop import Loop

    if world > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(world),
            LOCAL_WORLD_SIZE=str(world),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            GLOO_SOCKET_IFNAME="lo",
        )
    if not overrides:
        return talk(said, rank)
    if rank > 0:
        os.replace = lambda *paths, **how: os._exit(WROTE)
    real = Loop.run

    def run(self: Any, say: Any) -> bool:
        done = real(self, say)
        torch.save(self._student.state(), said.with_suffix(".pt"))
        return done

    Loop.run = run  # type: ignore[method-assign]
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = exit_code(lambda: command.main([*TINY, *overrides]))
    told = {"code": code, "out": out.getvalue(), "error": error.getvalue()}
    said.with_suffix(".json").write_text(json.dumps(told))
    return code


def talk(said: Path, rank: int) -> int:
    """What `Peers` makes of tensors that differ between processes."""
    import torch

    from freqexp.train.adapt.peers import Peers

    peers = Peers(cpu=True)
    numbers = torch.arange(6.0).view(2, 3) + 10 * rank
    half = torch.tensor(1.0 + rank, dtype=torch.bfloat16)
    count, parameter = torch.tensor(rank), torch.nn.Parameter(torch.full((2,), float(rank)))
    peers.average([numbers, half, count, parameter])
    followed = [torch.tensor([5 + rank]), torch.tensor(0.5 - rank)]
    peers.follow(followed)
    any_of = [peers.any(rank == 1), peers.any(False), peers.any(True)]
    peers.wait()
    told = {
        "rank": [peers.rank, peers.world],
        "averaged": [each.tolist() for each in (numbers, half, count, parameter)],
        "followed": [each.tolist() for each in followed],
        "any": any_of,
    }
    said.with_suffix(".json").write_text(json.dumps(told))
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
