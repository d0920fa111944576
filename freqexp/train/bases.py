"""`python -m freqexp.train bases [key=value ...]`: bases of `low_rank` for one model.

Principal components of the keys and values that the model makes of pages of generated
conversations of the train split. Other keys are those of a run: which model, render and needles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from freqexp.answering.pipeline import Pipeline
from freqexp.answering.session import Session
from freqexp.benchmarks.generate import generate
from freqexp.composing.compose import compose
from freqexp.config.run import RunConfig
from freqexp.errors import ConfigError, UserError, fault
from freqexp.kv.base import KVMethod
from freqexp.kv.basis_file import write
from freqexp.kv.calibrate import Calibration
from freqexp.kv.stored import Exact
from freqexp.nouns.cache import LayerCache, StoredLayer
from freqexp.nouns.sample import Sample
from freqexp.schemas.choices import Scope
from freqexp.schemas.kv import KVConfig
from freqexp.schemas.profile import ProfileConfig
from freqexp.train.config import read


@dataclass
class BasesConfig:
    """out: the file. requests: conversations to read. scope: tokens that count, of the whole prompt
    before its question or of pages alone.
    """

    out: str = "outputs/train/bases.safetensors"
    requests: int = 16
    scope: Scope = Scope.all


def load(path: Path, overrides: Sequence[str]) -> tuple[BasesConfig, RunConfig]:
    """The settings in `path` with overrides, and the run whose model, pages and conversations they
    are. Raises UserError for anything unknown and for what is out of range.
    """
    own = {each.name for each in fields(BasesConfig)}
    mine = [each for each in overrides if each.split("=")[0] in own]
    config = read(BasesConfig, path, mine)
    run = compose([each for each in overrides if each not in mine])
    faults = []
    if config.requests < 1:
        faults.append(fault("requests", config.requests, "1 or more"))
    for key in ("path", "source"):
        if getattr(run.needles, key) is not None:
            allowed = "null: bases come from generated conversations of the train split"
            faults.append(fault(f"needles.{key}", getattr(run.needles, key), allowed))
    if faults:
        raise ConfigError(faults)
    return config, run


def train_bases(config: BasesConfig, run: RunConfig) -> Path:
    """Read every conversation as far as its question and write the file."""
    watched = _Watched(scope=config.scope)
    model = replace(run.model, max_new_tokens=1)
    pipeline = Pipeline(replace(run, model=model, compressor=watched), Session())
    for number, sample in enumerate(_samples(config.requests, run), start=1):
        ((record, _),) = pipeline.run([sample])
        if record.error is not None:
            raise UserError(f"{sample.sample_id}: {record.error}")
        print(f"{number}/{config.requests} conversations", flush=True)
    bases = watched.calibration.bases(run.model.name)
    path = Path(config.out).expanduser()
    write(bases, path)
    heads, channels = bases.layers[0][0].mean.shape
    print(f"{path}: {len(bases.layers)} layers of {heads} KV heads of {channels} channels")
    return path


def _samples(requests: int, run: RunConfig) -> list[Sample]:
    needles = run.needles
    return generate(
        count=needles.count,
        samples=requests,
        seed=run.seed,
        form=needles.form.value,
        turns=needles.turns,
        target_chars=needles.target_chars,
        split="train",
        near=needles.near,
        text=needles.text.value,
    )


@dataclass
class _Watched(KVConfig):
    """Looks at the cache and leaves it as it is."""

    name: str = "calibrate"
    calibration: Calibration = field(init=False)

    def __post_init__(self) -> None:
        self.calibration = Calibration(self.scope.value)

    def build(self, keep_ratio: float, profile: ProfileConfig) -> KVMethod:
        return _Watching(self.calibration)


class _Watching(KVMethod):
    """Adds every layer to a calibration."""

    simulated = True

    def __init__(self, calibration: Calibration) -> None:
        super().__init__("unseen")
        self._calibration = calibration

    def compress(self, layer: LayerCache) -> StoredLayer:
        """See `KVMethod`."""
        self._calibration.add(layer)
        return Exact(layer.keys, layer.values)
