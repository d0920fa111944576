"""Schema of the group `model`: a vision-language model and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from freqexp.schemas import ranges
from freqexp.schemas.choices import Attention, Device, Dtype, Family, Form
from freqexp.schemas.render import RenderConfig
from freqexp.schemas.section import Section


@dataclass
class ModelConfig(Section):
    """A vision-language model and how it is asked.

    path: folder or hub id of the weights; None: the weights inside the package.
    revision: the hub commit of the weights, needed with a hub id and only there.
    form: form of generated samples this model is meant to read.
    """

    name: str
    max_new_tokens: int
    form: Form
    render: RenderConfig
    family: Family = Family.glm4v
    path: str | None = None
    revision: str | None = None
    dtype: Dtype = Dtype.float32
    device: Device = Device.auto
    attention: Attention = Attention.sdpa

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("max_new_tokens",), 1, 131_072)
        faults += ranges.weights(self.path, self.revision, prefix)
        return faults + self.render.check(f"{prefix}.render")
