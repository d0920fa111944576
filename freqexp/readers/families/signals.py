"""Signals of a vision tower beside its features: what it saw, and what its attention looked at.

Attention maps are computed from queries and keys here, in float32 and a few queries at a time:
fast attention makes none, and what the towers of the M-RoPE families give as `attentions` is the
attention's output. Nothing is computed again in the tower itself, so its features stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from freqexp.errors import UserError
from freqexp.nouns.vision import Signal
from freqexp.readers.decoding import readable

MAP_ELEMENTS = 1 << 24
"""Most entries of an attention map that are held at once (64 MiB)."""
WHOLE = 0.02
"""How far a pixel may be from a whole number after its normalisation is undone in float32."""
CHANNELS = 3


def of_attention(signals: Sequence[Signal]) -> bool:
    """Whether a block's attention has to be looked at."""
    return "attention" in signals or "keys" in signals


class Tap:
    """Keeps what reaches an attention module within a `with`, and changes nothing of it.

    states: [patches, channels] or [crops, patches, channels].
    rotation: cosines and sines [patches, head channels] of the rotary embedding, where it has one.
    """

    def __init__(self, attention: Any) -> None:
        self._attention = attention
        self.states: Tensor
        self.rotation: tuple[Tensor, Tensor] | None = None

    def __enter__(self) -> Tap:
        self._hook = self._attention.register_forward_pre_hook(self._note, with_kwargs=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hook.remove()

    def _note(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.states = args[0] if args else kwargs["hidden_states"]
        self.rotation = kwargs.get("position_embeddings")


def rotated(vectors: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
    """Rotary embedding (arXiv 2104.09864) of [patches, heads, channels] in float32, as the towers
    do it: channel i turns with channel i + channels / 2. Rounded to the dtype it came in.
    """
    if rotation is None:
        return vectors
    cos, sin = (part.to(vectors.device).float()[:, None] for part in rotation)
    low, high = vectors.float().chunk(2, dim=-1)
    turned = vectors.float() * cos + torch.cat([-high, low], dim=-1) * sin
    return turned.to(vectors.dtype)


def received(queries: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Attention that each patch receives, float32 [patches], which sums to 1: the mean over heads
    and queries of softmax(q k^T * scale).

    queries, keys: [patches, heads, channels], rotated.
    """
    patches, heads, _ = keys.shape
    turned = keys.float().permute(1, 2, 0)
    total = torch.zeros(patches, dtype=torch.float64, device=keys.device)
    step = max(1, MAP_ELEMENTS // (heads * patches))
    for part in queries.split(step):
        scores = part.float().transpose(0, 1) @ turned * scale
        total += scores.softmax(dim=-1).sum(dim=(0, 1), dtype=torch.float64)
    return (total / (heads * patches)).float()


def whole_pixels(normalised: Tensor, processor: Any) -> Tensor:
    """uint8 pixels [..., 3, height, width] from what an image processor made of them.

    Raises UserError where they were no whole numbers.
    """
    mean, std, factor = 0.0, 1.0, 1.0
    if processor.do_normalize:
        mean, std = processor.image_mean, processor.image_std
    if processor.do_rescale:
        factor = float(processor.rescale_factor)
    return denormalised(normalised, mean, std, factor)


def denormalised(normalised: Tensor, mean: Any, std: Any, factor: float) -> Tensor:
    """uint8 pixels from (pixels * factor - mean) / std, [..., 3, height, width].

    Raises UserError where they were no whole numbers from 0 to 255.
    """
    shift, width = (
        torch.as_tensor(part, dtype=torch.float32, device=normalised.device).expand(CHANNELS)
        for part in (mean, std)
    )
    pixels = (normalised.float() * width[:, None, None] + shift[:, None, None]) / factor
    rounded = pixels.round()
    if (pixels - rounded).abs().amax() > WHOLE or rounded.amin() < 0 or rounded.amax() > 255:
        raise UserError(
            "model.path: the image processor's pixels are no whole numbers from 0 to 255 once its "
            "normalisation is undone; choose a compressor that needs no pixels"
        )
    return rounded.to(torch.uint8)


def grid_pixels(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """[rows * columns, height, width, 3]: the cells of a grid over pixels [3, height, width]."""
    rows, columns = grid
    _, height, width = pixels.shape
    cells = pixels.view(CHANNELS, rows, height // rows, columns, width // columns)
    return cells.permute(1, 3, 2, 4, 0).flatten(0, 1).contiguous()


def block_pixels(patches: Tensor, processor: Any) -> Tensor:
    """uint8 [tokens, side, side, 3]: the square that each merged token covers.

    patches: [tokens * merge^2, 3 * frames * patch^2] as the M-RoPE families' processors give them,
        the patches of a token behind one another in raster order. Of an image all frames are equal.
    """
    merge, size = processor.merge_size, processor.patch_size
    frames = patches.view(len(patches), CHANNELS, -1, size, size)
    pixels = whole_pixels(frames[:, :, 0], processor)
    squares = pixels.view(-1, merge, merge, CHANNELS, size, size).permute(0, 1, 4, 2, 5, 3)
    return squares.reshape(-1, merge * size, merge * size, CHANNELS)


def question_words(model: Any, tokenizer: Any, question: str) -> Tensor:
    """Word embeddings [words, channels] of a question without chat template and special tokens."""
    ids = tokenizer(readable(question), add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        ids = torch.tensor(ids, dtype=torch.int64, device=model.device)
        words: Tensor = model.get_input_embeddings()(ids)
    return words
