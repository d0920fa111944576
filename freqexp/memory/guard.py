"""The memory plan of a run, before its model is loaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from freqexp.schemas.choices import Input

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Sample

CHARACTERS_A_TOKEN = 3
"""Of text, fewer than most tokenizers put into one."""


def check_memory(cfg: RunConfig, samples: Sequence[Sample]) -> None:
    """Print the plan of a run for its longest sample, before its model is loaded.

    The bundled reader fits everywhere and has none. Raises UserError, with advice, for a model that
    can't fit; one whose config can't be had is loaded without a plan, and that is said.
    """
    if cfg.model.path is None or not samples:
        return
    from freqexp.memory.geometry import NoGeometryError, geometry_of
    from freqexp.memory.plan import free_room, plan

    gpus = cfg.cluster.gpus if cfg.cluster.shard else 1
    longest = max(samples, key=lambda sample: sample.characters)
    if cfg.model.input is Input.text:
        _check_text(cfg, longest.characters, max(1, gpus))
        return
    drawn = cfg.model.render.build().render(longest.turns)
    sizes = [(page.pixels.shape[0], page.pixels.shape[1]) for page in drawn]
    try:
        shape = geometry_of(cfg.model)
        tokens = [shape.page(*size)[1] for size in sizes]
        room = free_room(cfg.model, max(1, gpus))
        found = plan(cfg.model, sizes, kept=_kept(cfg, tokens), room=room, geometry=shape)
    except NoGeometryError as error:
        print(f"memory plan: not available for {error}", file=sys.stderr)
        return
    print(found.lines(), file=sys.stderr)
    found.require()


def _check_text(cfg: RunConfig, characters: int, gpus: int) -> None:
    """The plan of a text of so many characters, which has no pages."""
    from freqexp.config.budget import acting_budget
    from freqexp.memory.geometry import NoGeometryError
    from freqexp.memory.plan import TEXT_TOKENS, free_room, plan

    tokens = characters // CHARACTERS_A_TOKEN
    for part in cfg.compressor.parts(cfg.keep_ratio):
        if part.config.stage == "text":
            tokens = acting_budget(cfg).keep_tokens or round(part.keep_ratio * tokens)
    room = free_room(cfg.model, gpus)
    try:
        found = plan(cfg.model, [], text_tokens=TEXT_TOKENS + tokens, room=room)
    except NoGeometryError as error:
        print(f"memory plan: not available for {error}", file=sys.stderr)
        return
    print(found.lines(), file=sys.stderr)
    found.require()


def _kept(cfg: RunConfig, tokens: Sequence[int]) -> float:
    """Share of the vision tokens that reach the decoder, at most.

    tokens: of each page. A count that follows from the page is not known before it is encoded.
    """
    from freqexp.config.budget import acting_budget

    budget = acting_budget(cfg)
    if budget.keep_like is not None:
        return 1.0
    if budget.keep_tokens is not None and cfg.compressor.uses_budget:
        return min(1.0, budget.keep_tokens * len(tokens) / max(1, sum(tokens)))
    for part in cfg.compressor.parts(cfg.keep_ratio):
        if part.config.stage == "token":
            built = part.build(cfg.profile)
            whole = built.simulated or part.config.adaptive
            return 1.0 if whole else part.keep_ratio
    return 1.0
