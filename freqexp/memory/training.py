"""What adapting a model will take, estimated from its config before any weight is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqexp.memory.geometry import Geometry, geometry_of
from freqexp.memory.plan import FLOAT32_BYTES, GIB, NUMBER_BYTES, TEXT_TOKENS

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

# Gradient and AdamW's two moments beside the weight itself, all of them in float32.
_TRAINED_BYTES = 4 * FLOAT32_BYTES
PEAK_FLOPS = {"a100": 312e12, "h100": 989e12, "h200": 989e12}
"""Dense bfloat16, by the word that names the GPU in `cluster` (vendor's data sheets)."""
SHARE_OF_PEAK = 0.4
"""What large matrix products reach of it in practice: an assumption."""


@dataclass(frozen=True)
class TrainingPlan:
    """Bytes on one device, and operations of one step of one process; nothing here was measured.

    trained: parameters that change. full, short: tokens of one conversation with its questions,
    with all vision tokens and with those that stay. conversations: of a pass. passes: of a process
    in each step. assumed: why the model's sizes are not read off its own config.
    """

    weights_bytes: int
    trained: int
    trained_bytes: int
    activations_bytes: int
    full: int
    short: int
    conversations: int
    passes: int
    step_flops: float
    assumed: str | None = None

    @property
    def total_bytes(self) -> int:
        """Weights, what is trained with its optimiser, activations."""
        return self.weights_bytes + self.trained_bytes + self.activations_bytes

    def lines(self, room_bytes: int | None, place: str) -> list[str]:
        """The plan as text. room_bytes: what each device has; None: not known."""
        verdict = "can't be checked"
        if room_bytes is not None:
            fits = "fits" if self.total_bytes <= room_bytes else "does not fit"
            verdict = f"{fits}: {room_bytes / GIB:.0f} GiB on {place}"
        return [
            f"  weights      {self.weights_bytes / GIB:8.2f} GiB",
            f"  trained      {self.trained_bytes / GIB:8.2f} GiB  {self.trained / 1e6:.1f} million "
            "parameters with gradients and AdamW's moments, float32",
            f"  activations  {self.activations_bytes / GIB:8.2f} GiB  {self.conversations} x "
            f"{self.short} tokens (teacher: {self.full})",
            f"  total        {self.total_bytes / GIB:8.2f} GiB  {verdict}",
            *([f"  {self.assumed}"] if self.assumed else []),
        ]

    def step_seconds(self, gpu: str) -> float:
        """Of one step, at SHARE_OF_PEAK of the GPU's peak."""
        return self.step_flops / (SHARE_OF_PEAK * PEAK_FLOPS[gpu])


def training_plan(
    model: ModelConfig,
    pages: Sequence[tuple[int, int]],
    *,
    rank: int | None,
    compressor_parameters: int = 0,
    questions: int = 1,
    answer_tokens: int = TEXT_TOKENS,
    kept: float = 1.0,
    conversations: int = 1,
    passes: int = 1,
    recompute: bool = False,
    geometry: Geometry | None = None,
) -> TrainingPlan:
    """The plan for conversations of such pages, (height, width) in pixels.

    rank: of the LoRA; 0: there is none; None: the whole decoder is trained, and its teacher is a
    second copy. compressor_parameters: trained, too.
    kept: share of the vision tokens that stay. answer_tokens: of a question with its answer.
    recompute: layers are computed again for the gradient.
    Raises NoGeometryError without the model's config.
    """
    shape = geometry_of(model) if geometry is None else geometry
    number_bytes = NUMBER_BYTES[model.dtype]
    vision = sum(shape.page(height, width)[1] for height, width in pages)
    text = questions * answer_tokens
    full, short = vision + text, round(kept * vision) + text
    decoder = decoder_parameters(shape)
    trained = decoder if rank is None else lora_parameters(shape, rank)
    trained += compressor_parameters
    copies = 2 if rank is None else 1
    kept_layers = 1 if recompute else shape.layers
    saved = shape.layers * shape.width if recompute else 0
    tokens = conversations * short
    activations = tokens * number_bytes * (kept_layers * _layer_numbers(shape) + saved)
    activations += 2 * conversations * text * shape.vocabulary * (number_bytes + FLOAT32_BYTES)
    activations += 2 * conversations * full * full * number_bytes  # the mask, of both passes
    # Forward 2 operations a weight and token; backward as much for what flows through, and as much
    # again for the gradient of a trained weight.
    through = 4 + (2 if rank is None else 0) + (2 if recompute else 0)
    flops = conversations * passes * decoder * (2 * full + through * short)
    return TrainingPlan(
        weights_bytes=copies * shape.parameters * number_bytes,
        trained=trained,
        trained_bytes=trained * _TRAINED_BYTES,
        activations_bytes=activations,
        full=full,
        short=short,
        conversations=conversations,
        passes=passes,
        step_flops=float(flops),
        assumed=shape.assumed,
    )


def decoder_parameters(shape: Geometry) -> int:
    """Of the decoder but its word embeddings and its output layer."""
    return shape.inner


def lora_parameters(shape: Geometry, rank: int) -> int:
    """Of a LoRA on its linear layers."""
    return rank * sum(map(sum, shape.linears))


def _layer_numbers(shape: Geometry) -> int:
    """Numbers of one token that a layer keeps for its gradient: inputs of norms and of linear
    layers, queries, keys and values, and the parts of the gated MLP.
    """
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    return 6 * shape.width + 3 * queries + 3 * keys + 4 * shape.mlp_width
