"""Shapes of a model that decide what it takes, read from its config.json alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from freqexp.errors import UserError
from freqexp.readers.adapters import layer_linears, layer_parameters
from freqexp.readers.weights import LOAD_ERRORS, first_line, quiet, source_of
from freqexp.schemas.choices import Family

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig

# LLaVA-OneVision makes a detail grid smaller when it is longer than its limit by this much.
_SHRINK_FROM = 1.1

# Models whose sizes are the defaults of transformers' Glm4vConfig (24 encoder blocks of 1536, 40
# decoder layers of 4096 with 2 KV heads of 128); how long a context they take is not among them.
_GLM_41V_9B = ("zai-org/Glyph", "zai-org/GLM-4.1V-9B-")
_ASSUMED = "its config can't be reached: the sizes of GLM-4.1V-9B are assumed"


@dataclass(frozen=True)
class Geometry:
    """A decoder with a vision encoder before it. Widths in channels, sides in pixels.

    parameters: all of them, embeddings included. deepstack: decoder layers with features of their
        own. page: of height and width, the patches the encoder takes at once and the vision tokens
        it makes of them. context: None when not known. inner: parameters of the decoder but word
        embeddings and output layer. linears: inputs and outputs of its linear layers. assumed: why
        these are not read off the model's own config; None where they are.
    """

    parameters: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    mlp_width: int
    vocabulary: int
    context: int | None
    vision_width: int
    vision_heads: int
    vision_mlp_width: int
    patch_values: int
    deepstack: int
    page: Callable[[int, int], tuple[int, int]]
    inner: int
    linears: tuple[tuple[int, int], ...]
    assumed: str | None = None

    def cache_bytes_per_token(self, number_bytes: int) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_width * number_bytes


class NoGeometryError(UserError):
    """The config of a model can't be had here, or says too little; nothing is guessed."""


def geometry_of(model: ModelConfig) -> Geometry:
    """The geometry of `model`; no weights are read. Without a way to the hub, GLM-4.1V-9B and Glyph
    have the known sizes, marked as assumed.

    Raises NoGeometryError without a config (a hub id while offline), and for models whose
    layers are code that comes with the weights.
    """
    from transformers import AutoConfig, Glm4vConfig

    name = str(model.path)
    if model.family is Family.glm4v_remote:
        raise NoGeometryError(f"{name}: its layers are code that comes with the weights")
    if model.family is Family.ppocr:
        raise NoGeometryError("ppocr: a recogniser of lines, without a decoder")
    if model.family is Family.api:
        raise NoGeometryError("api: a server has the model")
    if model.family is Family.outside:
        raise NoGeometryError("outside: its reader alone knows its sizes")
    try:
        with quiet():
            return _built(AutoConfig.from_pretrained(source_of(model), revision=model.revision))
    except (*LOAD_ERRORS, UserError) as error:
        if name.startswith(_GLM_41V_9B) and not Path(name).exists():
            return replace(_built(Glm4vConfig()), context=None, assumed=_ASSUMED)
        raise NoGeometryError(f"{name}: no config ({first_line(error)})") from error


def _built(config: Any) -> Geometry:
    """The geometry of a transformers config, its parameters counted without making them."""
    from transformers import AutoModelForImageTextToText

    with quiet(), torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)
    return _read(config, model)


def _read(config: Any, model: Any) -> Geometry:
    text, vision = config.get_text_config(), config.vision_config
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    # Qwen2-VL calls the encoder's width embed_dim, and the decoder's hidden_size there, too.
    vision_width = getattr(vision, "embed_dim", None) or vision.hidden_size
    ratio = getattr(vision, "mlp_ratio", 4)
    frames = getattr(vision, "temporal_patch_size", 1)
    llava = config.model_type == "llava_onevision"
    return Geometry(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_width=head_width,
        mlp_width=text.intermediate_size,
        vocabulary=text.vocab_size,
        context=text.max_position_embeddings,
        vision_width=vision_width,
        vision_heads=getattr(vision, "num_heads", None) or vision.num_attention_heads,
        vision_mlp_width=getattr(vision, "intermediate_size", None) or int(ratio * vision_width),
        patch_values=3 * frames * vision.patch_size**2,
        deepstack=len(getattr(vision, "deepstack_visual_indexes", ())),
        page=_llava_page(config) if llava else _merged_page(vision),
        inner=sum(parameter.numel() for parameter in layer_parameters(model).values()),
        linears=tuple((m.in_features, m.out_features) for m in layer_linears(model).values()),
    )


def _merged_page(vision: Any) -> Callable[[int, int], tuple[int, int]]:
    """Pages at their own size, sides rounded to whole merged patches."""
    merge = vision.spatial_merge_size
    side = vision.patch_size * merge

    def page(height: int, width: int) -> tuple[int, int]:
        tokens = max(1, round(height / side)) * max(1, round(width / side))
        return tokens * merge**2, tokens

    return page


def _llava_page(config: Any) -> Callable[[int, int], tuple[int, int]]:
    """One crop of the whole page, and crops at the best resolution, which lose their padding and
    get a newline a row (see `LlavaOnevisionReader`).
    """
    from transformers.image_processing_utils import select_best_resolution

    crop = config.vision_config.image_size
    side = crop // config.vision_config.patch_size
    most_crops = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
    resolutions = [tuple(pair) for pair in config.image_grid_pinpoints]

    def page(height: int, width: int) -> tuple[int, int]:
        best_height, best_width = select_best_resolution((height, width), resolutions)
        crops = (best_height // crop) * (best_width // crop)
        rows, columns = best_height // crop * side, best_width // crop * side
        # The model removes the padding in whole patches, the same number on both sides.
        if width / height > columns / rows:
            rows -= 2 * ((rows - int(round(height * columns / width, 7))) // 2)
        else:
            columns -= 2 * ((columns - int(round(width * rows / height, 7))) // 2)
        shrink = math.sqrt(rows * columns / (most_crops * side**2))
        if shrink > _SHRINK_FROM:
            rows, columns = int(rows // shrink), int(columns // shrink)
        return (crops + 1) * side**2, side**2 + rows * (columns + 1)

    return page
