"""What a model will take in memory, estimated from its config before any weight is loaded.

The parts that matter are exact arithmetic: parameters times their size, and keys and values of
every token in every layer. Activations are an estimate: the largest set of tensors that one layer
has at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from freqexp.errors import UserError
from freqexp.memory.geometry import Geometry, geometry_of
from freqexp.readers.weights import device_of
from freqexp.schemas.choices import Attention, Dtype
from freqexp.schemas.render import CellsRender, GlyphRender

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig
    from freqexp.schemas.render import RenderConfig

GIB = 1 << 30
TEXT_TOKENS = 512
"""Room for the question and the chat template."""
FLOAT32_BYTES = 4
NUMBER_BYTES = {Dtype.float32: 4, Dtype.bfloat16: 2, Dtype.float16: 2}
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Room:
    """Memory that a model may take on each of `gpus` devices; None: it can't be read here."""

    free_bytes: int | None
    place: str
    gpus: int = 1


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on one device while the longest batch is answered; nothing here was measured.

    prompt_tokens: of one sample, after a token compressor. page_tokens: of the largest page.
    encoder_bytes: while one page is encoded. prefill_bytes: while the prompt is read.
    context: None when not known. assumed: see `Geometry`.
    """

    model: ModelConfig
    room: Room
    pages: int
    page_tokens: int
    prompt_tokens: int
    context: int | None
    weights_bytes: int
    cache_bytes: int
    cache_bytes_per_token: int
    encoder_bytes: int
    prefill_bytes: int
    assumed: str | None = None

    @property
    def activations_bytes(self) -> int:
        """Encoding and answering come one after the other."""
        return max(self.encoder_bytes, self.prefill_bytes)

    @property
    def total_bytes(self) -> int:
        """Weights, cache and activations."""
        return self.weights_bytes + self.cache_bytes + self.activations_bytes

    @property
    def fits(self) -> bool | None:
        """Whether the total is free; None when that is not known."""
        free_bytes = self.room.free_bytes
        return None if free_bytes is None else self.total_bytes <= free_bytes

    def lines(self) -> str:
        """The plan as text for people."""
        model, free_bytes = self.model, self.room.free_bytes
        free = "unknown" if free_bytes is None else f"{free_bytes / GIB:.1f} GiB"
        verdict = {True: "fits", False: "does not fit", None: "can't be checked"}[self.fits]
        each = f" on each of {self.room.gpus} GPUs" if self.room.gpus > 1 else ""
        count = "1 page of" if self.pages == 1 else f"{self.pages} pages of up to"
        count = f"{count} {self.page_tokens} tokens" if self.pages else "text and no pages"
        needed = self.prompt_tokens + model.max_new_tokens
        over = self.context is not None and needed > self.context
        beyond = f" (over the context of {self.context})" if over else ""
        assumed = [f"  {self.assumed}"] if self.assumed else []
        length = f"{self.prompt_tokens} prompt + {model.max_new_tokens} new tokens"
        return "\n".join(
            [
                f"memory plan of {model.name}, {model.dtype.name}, {count}, "
                f"batch {model.batch_size}{each} (estimated)",
                *assumed,
                f"  weights      {self.weights_bytes / GIB:8.2f} GiB",
                f"  KV cache     {self.cache_bytes / GIB:8.2f} GiB  {length}{beyond}, "
                f"{self.cache_bytes_per_token} bytes a token",
                f"  activations  {self.activations_bytes / GIB:8.2f} GiB  encoder "
                f"{self.encoder_bytes / GIB:.2f}, prefill {self.prefill_bytes / GIB:.2f}",
                f"  total        {self.total_bytes / GIB:8.2f} GiB  {verdict}: {free} free on "
                f"{self.room.place}",
            ]
        )

    def require(self) -> None:
        """Raises UserError with advice when the total is known not to be free."""
        if self.fits is False:
            advice = "; ".join(self.advice())
            raise UserError(f"{self.lines()}\nnothing was loaded; {advice}")

    def advice(self) -> list[str]:
        """What would make it smaller, the most effective first."""
        found = []
        if self.model.dtype is Dtype.float32:
            found.append("model.dtype=bfloat16 halves weights and cache")
        if self.model.attention is Attention.eager:
            found.append("model.attention=sdpa needs no attention matrix")
        if self.model.batch_size > 1:
            found.append("model.batch_size=1 needs a cache and activations for one sample")
        if self.weights_bytes > (self.room.free_bytes or 0):
            found.append("spread one copy of the weights over several GPUs, or take a larger one")
        else:
            found.append("fewer pages a sample (shorter samples, or larger pages at fewer dpi)")
            found.append("a smaller model.max_new_tokens, or one copy over several GPUs")
        return found


def plan(
    model: ModelConfig,
    pages: Sequence[tuple[int, int]],
    *,
    kept: float = 1.0,
    text_tokens: int = TEXT_TOKENS,
    room: Room | None = None,
    geometry: Geometry | None = None,
) -> MemoryPlan:
    """The plan for samples of such pages; reads a config, never weights.

    pages: (height, width) in pixels of one sample's. kept: share of the vision tokens that reach
    the decoder. room: None is what is free on the model's device now.
    Raises NoGeometryError, and UserError for a device that is not there.
    """
    room = free_room(model) if room is None else room
    shape = geometry_of(model) if geometry is None else geometry
    number_bytes = NUMBER_BYTES[model.dtype]
    counts = [shape.page(height, width) for height, width in pages]
    vision_tokens = sum(tokens for _, tokens in counts)
    prompt = round(kept * vision_tokens) + text_tokens
    per_token = shape.cache_bytes_per_token(number_bytes)
    cache = model.batch_size * (prompt + model.max_new_tokens) * per_token
    features = vision_tokens * shape.width * number_bytes * (1 + shape.deepstack)
    patches = max((patches for patches, _ in counts), default=0)
    return MemoryPlan(
        model=model,
        room=room,
        pages=len(pages),
        page_tokens=max((tokens for _, tokens in counts), default=0),
        prompt_tokens=prompt,
        context=model.context or shape.context,
        weights_bytes=shape.parameters * number_bytes // room.gpus,
        cache_bytes=cache // room.gpus,
        cache_bytes_per_token=per_token,
        encoder_bytes=features + _encoder_bytes(shape, model, patches),
        prefill_bytes=model.batch_size * features + _prefill_bytes(shape, model, prompt),
        assumed=shape.assumed,
    )


def _encoder_bytes(shape: Geometry, model: ModelConfig, patches: int) -> int:
    """One block over the patches of one page: residual and norm, then attention or MLP.

    Rotary embeddings are computed in float32 in all families.
    """
    number_bytes, width = NUMBER_BYTES[model.dtype], shape.vision_width
    pixels = patches * shape.patch_values * (FLOAT32_BYTES + number_bytes)
    attention = patches * width * (4 * number_bytes + 2 * FLOAT32_BYTES)
    if model.attention is Attention.eager:
        attention += shape.vision_heads * patches**2 * (2 * number_bytes + FLOAT32_BYTES)
    mlp = patches * shape.vision_mlp_width * 3 * number_bytes
    return pixels + 2 * patches * width * number_bytes + max(attention, mlp)


def _prefill_bytes(shape: Geometry, model: ModelConfig, prompt: int) -> int:
    """One layer over the whole prompt of a batch, the embeddings, and the last token's logits.

    Keys and values are repeated for all query heads; the MLP has gate and up, the activation and
    their product.
    """
    number_bytes, batch = NUMBER_BYTES[model.dtype], model.batch_size
    tokens = batch * prompt
    queries = shape.heads * shape.head_width
    keys = shape.kv_heads * shape.head_width
    attention = tokens * number_bytes * (5 * queries + 4 * keys)
    if model.attention is Attention.eager:
        attention += batch * shape.heads * prompt**2 * (2 * number_bytes + FLOAT32_BYTES)
    elif batch > 1:
        # The mask of the padding: one byte for each pair of places.
        attention += batch * prompt**2
    mlp = tokens * number_bytes * 4 * shape.mlp_width
    norm = tokens * shape.width * 2 * FLOAT32_BYTES
    streams = 3 * tokens * shape.width * number_bytes
    logits = batch * shape.vocabulary * (number_bytes + FLOAT32_BYTES)
    return streams + max(attention, mlp, norm) + logits


def page_size(render: RenderConfig) -> tuple[int, int]:
    """Height and width in pixels of a full page. Raises UserError for a renderer without one."""
    if isinstance(render, GlyphRender):
        return round(render.height * render.dpi / 72), round(render.width * render.dpi / 72)
    if isinstance(render, CellsRender):
        return render.rows * render.cell_height, render.columns * render.cell_width
    raise UserError(f"model.render: {render.name} says nothing of the size of its pages")


def free_room(model: ModelConfig, gpus: int = 1) -> Room:
    """What is free on the model's device. Raises UserError for a device that is not there."""
    device = device_of(model.device.value)
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return Room(int(free_bytes), torch.cuda.get_device_name(device), gpus)
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return Room(int(line.split()[1]) * 1024, "the CPU")
    except OSError:
        pass
    return Room(None, "the CPU")
