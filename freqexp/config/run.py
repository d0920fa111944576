"""The schema of a run.

The YAML files of `conf/` choose values; the schemas say which keys exist and of what type. Each
checks its own ranges (`check`), a method or a renderer also builds its object (`build`), and
`freqexp.config.check` adds what concerns several of them. Nothing heavy is imported before `build`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from freqexp.config.cluster import ClusterConfig
from freqexp.schemas.method import CompressorConfig
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.profile import ProfileConfig


class Tracking(Enum):
    """W&B mirror; auto is online with a key and offline without one."""

    auto = "auto"
    online = "online"
    offline = "offline"
    off = "off"


@dataclass
class RunConfig:
    """One run, fully resolved.

    keep_ratio: kept share in (0, 1], of coefficients for a codec, of tokens for a
        token compressor, of the bytes or tokens that a method on the KV cache may act
        on.
    keep_tokens: tokens of each page that a token compressor keeps, or tokens of each
        layer that a method keeps in the KV cache, in place of its keep_ratio; None:
        the keep ratio decides. What has no use for it (codecs, methods whose count
        follows from the page, quantisers, no compression) ignores it.
    keep_like: name of a token method whose count follows from the page: each page
        keeps as many tokens as that method, with its default settings, would. In
        place of keep_tokens.
    baseline: also compute the same run with compressor=none and compare with it.
    output_dir: results go to <output_dir>/runs/<run id>; a relative path starts
        where the command does.
    encodings_cache_gb: gigabytes (10^9 bytes) that vision encodings may take on disk
        in <output_dir>/cache, for later runs; 0: none.
    sweep_name: W&B group of the runs of one sweep; None: a name is made.
    tags, notes: for people, in W&B and in sweep.json.
    """

    model: ModelConfig
    compressor: CompressorConfig
    profile: ProfileConfig
    needles: NeedlesConfig
    cluster: ClusterConfig
    keep_ratio: float = 0.5
    keep_tokens: int | None = None
    keep_like: str | None = None
    samples: int = 64
    seed: int = 0
    baseline: bool = True
    tracking: Tracking = Tracking.auto
    wandb_project: str = "freqexp"
    wandb_entity: str | None = None
    output_dir: str = "outputs"
    encodings_cache_gb: float = 0.0
    sweep_name: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
