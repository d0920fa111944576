"""Two processes together learn what one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adapt_processes
import pytest
import torch
from adapt_settings import timeless
from torch import Tensor

from freqexp.errors import BAD_INPUT, DONE
from freqexp.train.adapt.peers import Peers

pytestmark = pytest.mark.slow

STEPS = ("adapt.steps=3", "adapt.conversations=4", "adapt.per_pass=1", "adapt.checkpoint_every=2")
LORA = ("compressor=blank_prune", *STEPS)
MERGE = ("compressor=merge", "adapt.uncompressed=0.4", *STEPS)


@dataclass(frozen=True, eq=False)
class Lives:
    """What processes left behind in a folder."""

    folder: Path

    def told(self, name: str, rank: int) -> dict[str, Any]:
        said: dict[str, Any] = json.loads((self.folder / f"{name}-{rank}.json").read_text())
        return said

    def learnt(self, name: str, rank: int) -> dict[str, Tensor]:
        found = torch.load(self.folder / f"{name}-{rank}.pt", weights_only=True)
        return {
            f"{part}.{key}": tensor
            for part, tensors in found.items()
            for key, tensor in tensors.items()
        }


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    folder = tmp_path_factory.mktemp("lives")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cases = {
        name: (world, [*overrides, f"adapt.out={folder / name}"] if overrides else [])
        for name, (world, overrides) in {
            "lora1": (1, LORA),
            "lora2": (2, LORA),
            "merge1": (1, MERGE),
            "merge2": (2, MERGE),
            "talk": (2, ()),
            "odd": (2, (*MERGE, "adapt.conversations=3")),
        }.items()
    }
    done = subprocess.run(
        [sys.executable, adapt_processes.__file__, str(folder), str(port), json.dumps(cases)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return Lives(folder)


@pytest.mark.parametrize("name", ["lora", "merge"])
def test_two_processes_learn_what_one_does(lives: Lives, name: str) -> None:
    for world in (1, 2):
        for rank in range(world):
            said = lives.told(f"{name}{world}", rank)
            assert said["code"] == DONE, said["error"]
    alone = lives.learnt(f"{name}1", 0)
    first, second = (lives.learnt(f"{name}2", rank) for rank in (0, 1))
    assert alone.keys() == first.keys() == second.keys()
    assert any(key.startswith("compressor.") for key in alone) == (name == "merge")
    for key, tensor in alone.items():
        assert torch.equal(first[key], second[key]), key
        if "lora_B" in key:
            assert tensor.abs().max() > 1e-3
    # Where a gradient is all rounding Adam makes a step of it, too.
    apart = torch.cat([(first[key] - tensor).abs().flatten() for key, tensor in alone.items()])
    assert (apart < 1e-5).float().mean() > 0.999
    assert apart.max() < 1e-4


@pytest.mark.parametrize("name", ["lora", "merge"])
def test_the_first_one_writes_and_speaks(lives: Lives, name: str) -> None:
    first, second = (lives.told(f"{name}2", rank) for rank in (0, 1))
    assert "the best was step" in first["out"]
    assert second["out"] == ""
    assert (lives.folder / f"{name}2" / "adapter_model.safetensors").is_file()
    one, two = (timeless(lives.folder / f"{name}{world}") for world in (1, 2))
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for row, other in ((one[0], two[0]), (one[-1], two[-1])):
        assert other["whole_answer"] == pytest.approx(row["whole_answer"], rel=1e-3)
    # The gradient is everyone's.
    assert two[1]["gradient"] == pytest.approx(one[1]["gradient"], rel=1e-3)


def test_tensors_are_averaged_and_followed_in_place(lives: Lives) -> None:
    first, second = (lives.told("talk", rank) for rank in (0, 1))
    assert [first.pop("rank"), second.pop("rank")] == [[0, 2], [1, 2]]
    # What is no fraction stays as it is.
    assert [first["averaged"].pop(2), second["averaged"].pop(2)] == [0, 1]
    assert first == second
    assert first == {
        "averaged": [[[5.0, 6.0, 7.0], [8.0, 9.0, 10.0]], 1.5, [0.5, 0.5]],
        "followed": [[5], 0.5],
        "any": [True, False, True],
    }


def test_passes_that_can_not_be_shared_are_refused_by_both(lives: Lives) -> None:
    for rank in (0, 1):
        said = lives.told("odd", rank)
        assert said["code"] == BAD_INPUT
        assert "adapt.per_pass: 3 passes a step can't be shared by 2 processes" in said["error"]


def test_a_process_alone_has_nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    peers, tensor = Peers(cpu=True), torch.tensor([1.0, 2.0])
    peers.average([tensor])
    peers.follow([tensor])
    peers.wait()
    assert tensor.tolist() == [1, 2]
    assert (peers.any(True), peers.any(False)) == (True, False)
    assert (peers.rank, peers.world) == (0, 1)
