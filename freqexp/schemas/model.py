"""Schema of the group `model`: a vision-language model and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freqexp.errors import fault
from freqexp.schemas import ranges
from freqexp.schemas.choices import Attention, Device, Dtype, Family, Form, Input
from freqexp.schemas.render import RenderConfig
from freqexp.schemas.section import Section

BUNDLED = "tiny"
"""The name of the weights inside the package."""


@dataclass
class ModelConfig(Section):
    """A vision-language model and how it is asked.

    path: folder or hub id of the weights; None: the weights inside the package.
    revision: the hub commit of the weights, needed with a hub id; says nothing of a folder.
    adapter: folder of an adapter of these weights, or one of the package's own, `bundled` or
        `bundled_text`; None: the weights as they are.
    form: form of generated samples this model is meant to read.
    input: the conversation as pages, or as the text that they show.
    repetition_penalty: divides the logits of tokens that occurred (arXiv 1909.05858); None: as the
        checkpoint's generation_config says.
    answer_after: the answer is what follows the last of these marks, such as </think>; None: all.
    batch_size: samples answered together at most; answers are those of 1 in float32.
    context: longest sequence allowed, prompt and answer; None: the model's own limit.
    min_pixels, max_pixels: a smaller page is enlarged, a larger one refused; None: the processor's
        own limits.
    trust_remote_code: run code that comes with the weights.
    """

    name: str
    max_new_tokens: int
    form: Form
    render: RenderConfig
    family: Family = Family.glm4v
    input: Input = Input.pages
    path: str | None = None
    revision: str | None = None
    adapter: str | None = None
    dtype: Dtype = Dtype.float32
    device: Device = Device.auto
    attention: Attention = Attention.sdpa
    repetition_penalty: float | None = None
    answer_after: str | None = None
    batch_size: int = 1
    context: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    trust_remote_code: bool = False

    def check(self, prefix: str) -> list[str]:
        faults = ranges.integers(self, prefix, ("max_new_tokens",), 1, 131_072)
        faults += ranges.integers(self, prefix, ("batch_size",), 1, 1024)
        faults += ranges.integers(self, prefix, ("context",), 2, 16_777_216)
        faults += ranges.integers(self, prefix, ("min_pixels", "max_pixels"), 1, 268_435_456)
        faults += self._check_limits(prefix)
        if self.family is not Family.ppocr:
            on_disk = self.path is not None and Path(self.path).expanduser().is_dir()
            faults += ranges.weights(self.path, None if on_disk else self.revision, prefix)
        return faults + self._check_family(prefix) + self.render.check(f"{prefix}.render")

    def _check_limits(self, prefix: str) -> list[str]:
        faults = []
        if self.repetition_penalty is not None:
            faults += ranges.positive(self, prefix, ("repetition_penalty",))
        if self.answer_after == "":
            faults.append(fault(f"{prefix}.answer_after", "", "null or a text that is not empty"))
        low, high = self.min_pixels, self.max_pixels
        if low is not None and high is not None and low > high:
            faults.append(fault(f"{prefix}.min_pixels", low, f"at most max_pixels ({high})"))
        if self.context is not None and self.context <= self.max_new_tokens:
            allowed = f"above {prefix}.max_new_tokens ({self.max_new_tokens})"
            faults.append(fault(f"{prefix}.context", self.context, allowed))
        return faults

    def _check_family(self, prefix: str) -> list[str]:
        if self.family is Family.ppocr:
            return self._check_ppocr(prefix)
        if self.family in (Family.api, Family.outside):
            name = self.family.value
            allowed = f"what model={name} sets, not a family by itself"
            return [fault(f"{prefix}.family", name, allowed)]
        faults = []
        if self.path is None and self.family is not Family.glm4v:
            allowed = f"glm4v while {prefix}.path is null (the bundled weights), ppocr"
            faults.append(fault(f"{prefix}.family", self.family.value, allowed))
        elif self.path is None and self.name != BUNDLED:
            allowed = f"{BUNDLED} while {prefix}.path is null: those are the bundled weights"
            faults.append(fault(f"{prefix}.name", self.name, allowed))
        remote = self.family is Family.glm4v_remote
        if remote and not self.trust_remote_code:
            allowed = "true for this model, whose code comes with its weights and runs on yours"
            faults.append(fault(f"{prefix}.trust_remote_code", False, allowed))
        if self.trust_remote_code and not remote:
            allowed = "false for this family, which needs no code but transformers' own"
            faults.append(fault(f"{prefix}.trust_remote_code", True, allowed))
        if self.attention is Attention.flash_attention_2 and (
            self.dtype is Dtype.float32 or self.device is Device.cpu
        ):
            allowed = "sdpa, eager; flash_attention_2 needs bfloat16 or float16 and a GPU"
            faults.append(fault(f"{prefix}.attention", self.attention.value, allowed))
        return faults

    def _check_ppocr(self, prefix: str) -> list[str]:
        """The recogniser is a file of an installed package, in float32, on the CPU."""
        faults = []
        if self.input is Input.text:
            allowed = "pages for ppocr, which has no tokenizer and reads lines of pages alone"
            faults.append(fault(f"{prefix}.input", self.input.value, allowed))
        for name in ("path", "revision", "adapter"):
            if getattr(self, name) is not None:
                faults.append(fault(f"{prefix}.{name}", getattr(self, name), "null for ppocr"))
        if self.trust_remote_code:
            faults.append(fault(f"{prefix}.trust_remote_code", True, "false for ppocr"))
        if self.dtype is not Dtype.float32:
            faults.append(fault(f"{prefix}.dtype", self.dtype.value, "float32 for ppocr"))
        if self.device is Device.cuda:
            faults.append(fault(f"{prefix}.device", "cuda", "cpu, auto for ppocr"))
        return faults
