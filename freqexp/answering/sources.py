"""Where the parts of a run come from, unless somebody puts others in their place; each is imported
when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Grade, Sample
    from freqexp.readers.base import Reader
    from freqexp.schemas.model import ModelConfig
    from freqexp.schemas.needles import NeedlesConfig


def load_reader(model: ModelConfig) -> Reader:
    """The model of `model`, loaded. Raises UserError for weights that are missing or do not fit."""
    from freqexp.readers.load import load_reader as load

    return load(model)


def load_samples(needles: NeedlesConfig, samples: int, seed: int) -> list[Sample]:
    """The data set of a run. Raises UserError for a file that cannot be used."""
    from freqexp.benchmarks.samples import load_samples as load

    return load(needles, samples, seed)


def grade_answer(answer: str, sample: Sample) -> Grade:
    """The official grade."""
    from freqexp.benchmarks.mrcr import grade

    return grade(answer, sample)


def identify(cfg: RunConfig) -> str:
    """The run id."""
    from freqexp.config.identity import run_id

    return run_id(cfg)


def source_hashes(cfg: RunConfig) -> dict[str, Any]:
    """Hashes of the weights, the data and the code of a run, and of its adapter where it has one,
    by their names in provenance.json; of methods from outside also whose they are.
    """
    from freqexp.benchmarks.samples import samples_hash
    from freqexp.config.identity import code_hash, outside_sources
    from freqexp.readers.adapter_file import content_hash
    from freqexp.readers.bundled import weights_hash

    adapter = cfg.model.adapter
    outside = {name: source.note() for name, source in outside_sources(cfg).items()}
    return {
        "weights_hash": weights_hash(cfg.model),
        **({} if adapter is None else {"adapter_hash": content_hash(adapter)}),
        "data_hash": samples_hash(cfg.needles),
        "code_hash": code_hash(),
        **({"outside": outside} if outside else {}),
    }
