"""How a run is called in W&B, and by which settings it is found there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freqexp.config.budget import acting_budget
from freqexp.config.title import reads_text, title_of
from freqexp.schemas.kv import KVConfig

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig


def compresses(cfg: RunConfig) -> bool:
    """Whether a run compresses anything; the baseline does not."""
    from freqexp.running.execute import baseline_of

    return baseline_of(cfg) is not None


def config_of(cfg: RunConfig) -> dict[str, Any]:
    """The resolved configuration, nested, less the budget that a run does not use: a chart against
    a key has no run at a value that says nothing of it. The baseline keeps everything: 1.
    """
    from omegaconf import OmegaConf

    found: Any = OmegaConf.to_container(OmegaConf.structured(cfg), enum_to_str=True)
    budget = acting_budget(cfg)
    return {
        **found,
        "keep_ratio": budget.keep_ratio if compresses(cfg) else 1.0,
        "keep_tokens": budget.keep_tokens,
        "keep_like": budget.keep_like,
    }


def name_of(cfg: RunConfig) -> str:
    """Model, compressor and budget."""
    from freqexp.running.execute import label

    return ", ".join([cfg.model.name, label(cfg), *_question(cfg)])


def tags_of(cfg: RunConfig) -> list[str]:
    """What runs are filtered by, those of the configuration last."""
    tags = [cfg.model.name, kind_of(cfg), f"{cfg.needles.count} needles"]
    words = acting_budget(cfg).words()
    if words:
        tags.append(f"keep {words}")
    if cfg.compressor.uses_profile:
        tags.append(cfg.profile.name)
    return list(dict.fromkeys([*tags, *_question(cfg), *cfg.tags]))


def kind_of(cfg: RunConfig) -> str:
    """The option of its compressor; of a run that is given text its title."""
    title = title_of(cfg)
    return title if reads_text(title) else cfg.compressor.name


def _question(cfg: RunConfig) -> list[str]:
    """As in "question seen", where a method acts on the KV cache."""
    parts = cfg.compressor.parts(cfg.keep_ratio)
    found = [part.config for part in parts if isinstance(part.config, KVConfig)]
    return [f"question {config.question.name}" for config in found]
