"""`python -m freqexp.train arms [key=value ...]`: the same adaptation for each of several methods,
and what each reaches, adapted and not, as a table.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from freqexp.composing.compose import compose
from freqexp.errors import DONE, FAILED, ConfigError, UserError, fault
from freqexp.files import write_text
from freqexp.published.layout import Table
from freqexp.running.execute import baseline_of
from freqexp.tokens.trained.weights import FILE
from freqexp.train.adapt.arms_table import (
    Arm,
    arms_table,
    markdown,
    origin,
    read_arm,
    show,
    to_beat,
)
from freqexp.train.adapt.config import PREFIX, load
from freqexp.train.adapt.output import PROVENANCE
from freqexp.train.config import read

Start = Callable[[Sequence[str]], int]

TABLE = "arms.md"


@dataclass
class ArmsConfig:
    """What is trained, and what is run.

    out: folder of the arms' folders and of the table. only: names of arms; []: all. train: false:
    none is trained. evaluate: false: no run is made, and the table is of those there are. needles,
    samples: of the runs. common: overrides of every training. run: overrides of every run. arms:
    overrides of each, by name.
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
    config = asked(file, overrides)
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
    found = tables(config, list(chosen))
    print(show(found))
    out = Path(config.out).expanduser()
    said = origin([out / name for name in chosen])
    write_text(out / TABLE, markdown(found) + f"{said}\n" * bool(said))
    return DONE


def asked(file: Path, overrides: Sequence[str]) -> ArmsConfig:
    """The settings in a file with these overrides. Raises UserError for strange keys."""
    config = read(ArmsConfig, file, [each for each in overrides if not each.startswith(PREFIX)])
    config.common += [each for each in overrides if each.startswith(PREFIX)]
    return config


def tables(config: ArmsConfig, names: Sequence[str]) -> list[tuple[Table, str | None]]:
    """For each number of needles what these arms reach, and what a method has to beat."""
    found = []
    for count in config.needles:
        arms = [_arm(config, name, count) for name in names]
        title = f"{count} needles, {config.samples} samples"
        found.append((arms_table(title, arms), to_beat(arms)))
    return found


def _arm(config: ArmsConfig, name: str, count: int) -> Arm:
    folder = Path(config.out).expanduser() / name
    given = [*_of_run(config, name), f"needles={count}"]
    before = compose(given)
    if not (folder / PROVENANCE).is_file():
        return read_arm(folder, before, None, None)
    adapted = compose([*given, f"model.adapter={folder}", *_weights(folder)])
    return read_arm(folder, before, adapted, baseline_of(adapted) or adapted)


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
    folder = Path(config.out).expanduser() / name
    return [
        "-m",
        *_of_run(config, name),
        f"model.adapter=null,{folder}",
        *_weights(folder),
        f"needles={','.join(map(str, config.needles))}",
    ]


def _of_run(config: ArmsConfig, name: str) -> list[str]:
    samples = f"samples={config.samples}"
    return ["experiment=learned", *config.arms[name], samples, *config.run]


def _weights(folder: Path) -> list[str]:
    return ["compressor.weights=${model.adapter}"] if (folder / FILE).is_file() else []


def _started(arguments: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", *arguments], check=False).returncode
