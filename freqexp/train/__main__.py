"""`python -m freqexp.train [key=value ...]`: train the tiny reader, or go on from the last
checkpoint. `python -m freqexp.train codebook [key=value ...]`: train the codebook of `block_vq`.
`python -m freqexp.train priors [key=value ...]`: the priors of `symbols`.
`python -m freqexp.train bases [key=value ...]`: bases of `low_rank` for one model.
`python -m freqexp.train adapt [key=value ...]`: a reader that is used to a token compressor.
`python -m freqexp.train arms [key=value ...]`: several of them, trained alike and evaluated.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch

from freqexp.errors import DONE, exit_code
from freqexp.pages.cells import CellsRenderer
from freqexp.paths import conf_dir
from freqexp.train import bases, checkpoint, codebook, priors
from freqexp.train.adapt import arms, command
from freqexp.train.config import TrainConfig, load
from freqexp.train.decoder import Probes
from freqexp.train.export import export
from freqexp.train.model import HIDDEN, build_model
from freqexp.train.stages import STAGES, Stage
from freqexp.train.tokenizer import CharacterCode


def train(config: TrainConfig) -> Path:
    """Run every stage that is not finished, then export. Returns the exported reader's folder."""
    torch.set_num_threads(config.threads)
    renderer = CellsRenderer(columns=24, rows=12, cell_width=14, cell_height=28, font_px=23.25)
    code = CharacterCode(HIDDEN, renderer.rows, renderer.columns // 2, config.seed)
    model = build_model(code, config.seed)
    model.probes = Probes(HIDDEN)
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    saved = checkpoint.load(path)
    if "model" in saved:
        model.load_state_dict(saved["model"])
    for index, kind in enumerate(STAGES):
        if index < saved["stage"]:
            continue
        stage: Stage = kind(config, model, code, renderer)
        if index == saved["stage"] and "state" in saved:
            stage.load(saved["state"])
        _run(stage, index, model, path, config.checkpoint_every)
        checkpoint.save(path, {"stage": index + 1, "model": model.state_dict()})
    return export(model, folder / "reader")


def _run(stage: Stage, index: int, model: Any, path: Path, every: int) -> None:
    started, first = time.monotonic(), stage.step
    while stage.step < stage.steps:
        line = stage.advance()
        if stage.step % 10 == 0:
            seconds = (time.monotonic() - started) / (stage.step - first)
            print(
                f"{stage.name} {stage.step}/{stage.steps} {seconds:.2f} s/step {line}", flush=True
            )
        if stage.step % every == 0:
            now = {"stage": index, "model": model.state_dict(), "state": stage.state()}
            checkpoint.save(path, now)


def main() -> int:
    """The command. Returns its exit code: 0 done, 2 bad input, 130 Ctrl-C."""
    return exit_code(_command, "freqexp.train", "the same command goes on from its last checkpoint")


def _command() -> int:
    folder = Path(conf_dir()) / "train"
    if sys.argv[1:2] == ["codebook"]:
        codebook.train_codebook(codebook.load(folder / "codebook.yaml", sys.argv[2:]))
    elif sys.argv[1:2] == ["priors"]:
        priors.train_priors(priors.load(folder / "priors.yaml", sys.argv[2:]))
    elif sys.argv[1:2] == ["bases"]:
        bases.train_bases(*bases.load(folder / "bases.yaml", sys.argv[2:]))
    elif sys.argv[1:2] == ["adapt"]:
        return command.main(sys.argv[2:])
    elif sys.argv[1:2] == ["arms"]:
        return arms.main(folder / "arms.yaml", sys.argv[2:])
    else:
        config = load(folder / "tiny.yaml", sys.argv[1:])
        print(f"reader exported to {train(config)}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
