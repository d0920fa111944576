"""`python -m freqexp.train arms [key=value ...]`: the same adaptation for each of several methods,
and what each reaches, adapted and not.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from freqexp.errors import DONE, FAILED, ConfigError, UserError, fault
from freqexp.train.adapt.config import PREFIX, load
from freqexp.train.config import read

Start = Callable[[Sequence[str]], int]


@dataclass
class ArmsConfig:
    """out: folder of the arms' folders and of the runs. only: names of arms; []: all. train: false:
    only what was trained before is evaluated. needles, samples: of the runs. common: overrides of
    every training. run: overrides of every run. arms: overrides of each, by name.
    """

    out: str = "outputs/train/arms"
    only: list[str] = field(default_factory=list)
    train: bool = True
    evaluate: bool = True
    needles: list[int] = field(default_factory=lambda: [2, 4, 8])
    samples: int = 252
    common: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    arms: dict[str, list[str]] = field(default_factory=dict)


def main(file: Path, overrides: Sequence[str], start: Start | None = None) -> int:
    """Train and evaluate one arm after the other; what is done already is not done again.

    Overrides that begin with `adapt.` are added to `common`. start: runs `python -m ARGUMENTS`.
    Gives the exit code. Raises ConfigError for faults of any arm, before the first one starts.
    """
    config = read(ArmsConfig, file, [each for each in overrides if not each.startswith(PREFIX)])
    config.common += [each for each in overrides if each.startswith(PREFIX)]
    strange = sorted(set(config.only) - set(config.arms))
    if strange:
        raise ConfigError([fault("only", strange, f"names of arms: {', '.join(config.arms)}")])
    chosen = {
        name: arm for name, arm in config.arms.items() if name in (config.only or config.arms)
    }
    adapting = file.with_name("adapt.yaml")
    trainings = {name: training(config, name, adapting) for name in chosen}
    start = start or _started
    for name, arguments in trainings.items():
        if config.train and start(["freqexp.train", "adapt", *arguments]) != DONE:
            raise UserError(f"arm {name}: its training did not end; the same command goes on")
        if config.evaluate and start(["freqexp.run", *evaluation(config, name)]) != DONE:
            return FAILED
    return DONE


def training(config: ArmsConfig, name: str, adapting: Path) -> list[str]:
    """Arguments of one arm's training. Raises ConfigError, which names the arm."""
    arguments = [*config.common, *config.arms[name], f"adapt.out={config.out}/{name}", *config.run]
    try:
        load(adapting, arguments)
    except ConfigError as error:
        raise ConfigError([f"arm {name}: {each}" for each in error.faults]) from error
    return arguments


def evaluation(config: ArmsConfig, name: str) -> list[str]:
    """Arguments of one arm's runs, with the reader as it was and adapted."""
    folder = f"{config.out}/{name}"
    needles = ",".join(map(str, config.needles))
    weights = ["compressor.weights=${model.adapter}"] if _has_weights(folder) else []
    return [
        "-m",
        "experiment=learned",
        *config.arms[name],
        f"model.adapter=null,{folder}",
        *weights,
        f"needles={needles}",
        f"samples={config.samples}",
        *config.run,
    ]


def _has_weights(folder: str) -> bool:
    return (Path(folder).expanduser() / "compressor.safetensors").is_file()


def _started(arguments: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", *arguments], check=False).returncode
