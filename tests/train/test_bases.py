"""Bases of `low_rank` made by the command, for the bundled reader."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mrcr_data import row, write_jsonl

from freqexp.benchmarks.generate import generate
from freqexp.composing.compose import compose
from freqexp.errors import ConfigError, UserError
from freqexp.kv import basis_file
from freqexp.paths import conf_dir
from freqexp.readers.families.hf import HfReader
from freqexp.readers.load import load_reader
from freqexp.tokens.kept import whole
from freqexp.train import __main__ as command
from freqexp.train.bases import load

FILE = conf_dir() / "train" / "bases.yaml"
RUN = ["model=tiny", "needles=2", "seed=5"]
AROUND = 2
"""Tokens after the last page's that are not the question's: the page's end, whose turn it is."""


def train(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "bases", *RUN, "requests=2", f"out={path}"])
    assert command.main() == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bases") / "tiny.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        train(patch, path)
    return path


@pytest.fixture(scope="module")
def values() -> list[torch.Tensor]:
    """[tokens, heads * channels] of both conversations: what the last layer's projection makes of
    all tokens before the question, in answers without any compressor.
    """
    cfg = compose(RUN)
    reader = load_reader(cfg.model)
    assert isinstance(reader, HfReader)
    found: list[torch.Tensor] = []

    def see(module: Any, args: Any, output: torch.Tensor) -> None:
        if output.shape[1] > 1:
            found.append(output[0].detach().double())

    hook = reader.text_model.layers[-1].self_attn.v_proj.register_forward_hook(see)
    for sample in generate(2, 2, 5, "short", split="train"):
        pages = [page.pixels for page in cfg.model.render.build().render(sample.turns)]
        reader.answer(sample.question, [whole(page) for page in reader.encode(pages)])
        asked = len(reader.tokenizer(sample.question)["input_ids"])
        found[-1] = found[-1][: -asked - AROUND]
    hook.remove()
    return found


def test_bases_are_those_of_what_the_model_makes(made: Path, values: list[torch.Tensor]) -> None:
    bases = basis_file.load(str(made))
    assert (bases.model, bases.requests, len(bases.layers)) == ("tiny", 2, 6)
    tokens = torch.cat(values).unflatten(-1, (4, 48)).numpy()
    for head in range(4):
        matrix = tokens[:, head]
        mean = matrix.mean(axis=0)
        vectors = np.linalg.svd(matrix - mean)[2]
        basis = bases.layers[-1][1]
        np.testing.assert_allclose(basis.mean[head].numpy(), mean, atol=1e-5)
        turned = (basis.directions[head].numpy() * vectors).sum(axis=1)
        np.testing.assert_allclose(abs(turned[:10]), 1, atol=1e-4)


def test_the_command_makes_the_same_file_again(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(monkeypatch, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == made.read_bytes()
    assert "6 layers of 4 KV heads of 48 channels" in capsys.readouterr().out


def test_a_run_takes_the_file(made: Path) -> None:
    settings = ("compressor.basis=calibrated", f"compressor.basis_path={made}")
    assert compose(("model=tiny", "compressor=low_rank", *settings)).compressor.name == "low_rank"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["requests=0"], "requests: got 0, allowed: 1 or more"),
        (["requests=few"], "'few'"),
        (["scope=page"], "'page'"),
        (["colour=red"], "colour"),
        (["needles.turns=1"], "needles.turns"),
    ],
)
def test_bad_settings_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(FILE, overrides)


def test_a_file_of_questions_is_for_runs(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "2needle.jsonl", [row()])
    with pytest.raises(ConfigError, match=r"needles.path: got .*, allowed: null: bases come from"):
        load(FILE, [*RUN, f"needles.path={file}"])
