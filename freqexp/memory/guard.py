"""The memory plan of a run, before its model is loaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig
    from freqexp.nouns.sample import Sample


def check_memory(cfg: RunConfig, samples: Sequence[Sample]) -> None:
    """Print the plan of a run for its longest sample, before its model is loaded.

    The bundled reader fits everywhere and has none. Raises UserError, with advice, for a model that
    can't fit; one whose config can't be had is loaded without a plan, and that is said.
    """
    if cfg.model.path is None or not samples:
        return
    from freqexp.memory.geometry import NoGeometryError
    from freqexp.memory.plan import free_room, plan

    gpus = cfg.cluster.gpus_per_node if cfg.cluster.shard else 1
    longest = max(samples, key=lambda sample: sample.characters)
    drawn = cfg.model.render.build().render(longest.turns)
    sizes = [(page.pixels.shape[0], page.pixels.shape[1]) for page in drawn]
    try:
        found = plan(cfg.model, sizes, kept=_kept(cfg), room=free_room(cfg.model, max(1, gpus)))
    except NoGeometryError as error:
        print(f"memory plan: not available for {error}", file=sys.stderr)
        return
    print(found.lines(), file=sys.stderr)
    found.require()


def _kept(cfg: RunConfig) -> float:
    """Share of the vision tokens that reach the decoder."""
    for part in cfg.compressor.parts(cfg.keep_ratio):
        if part.config.stage == "token":
            built = part.config.build(part.keep_ratio, cfg.profile)
            return 1.0 if built is None or built.simulated else part.keep_ratio
    return 1.0
