"""Small random checkpoints of the real classes, written to disk as a user would have them."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    GenerationConfig,
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from freqexp.nouns.page import Pixels
from freqexp.schemas.choices import Family, Form
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.render import CellsRender

HIDDEN, LAYERS, KV_HEADS, HEAD_DIM = 64, 3, 2, 16
SPECIALS = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|open|>", "<|close|>")
IMAGE, VIDEO, THINK = "<|image|>", "<|video|>", "</think>"
WORDS = (*SPECIALS, IMAGE, VIDEO, THINK, *string.printable[:97])
TEMPLATE = (
    "{% for message in messages %}<|user|>{% for part in message.content %}"
    "{% if part.type == 'image' %}<|open|><|image|><|close|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": HIDDEN,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 100.0,
        "mrope_section": [2, 3, 3],
    },
}
IDS = {
    "image_token_id": WORDS.index(IMAGE),
    "video_token_id": WORDS.index(VIDEO),
    "vision_start_token_id": WORDS.index("<|open|>"),
    "vision_end_token_id": WORDS.index("<|close|>"),
    "tie_word_embeddings": False,
}
VISION = {"depth": 3, "num_heads": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}


@dataclass(frozen=True)
class Kind:
    """A family's classes and the vision settings its config spells in its own way."""

    family: Family
    config: Any
    model: Any
    processor: Any
    vision: dict[str, Any]
    patch: int = 14


KINDS = {
    kind.family.value: kind
    for kind in (
        Kind(
            Family.glm4v,
            Glm4vConfig,
            Glm4vForConditionalGeneration,
            Glm4vImageProcessorPil,
            {"hidden_size": 32, "out_hidden_size": HIDDEN, "intermediate_size": 48},
        ),
        Kind(
            Family.qwen2_vl,
            Qwen2VLConfig,
            Qwen2VLForConditionalGeneration,
            Qwen2VLImageProcessorPil,
            {"embed_dim": 32, "hidden_size": HIDDEN, "mlp_ratio": 2},
        ),
        Kind(
            Family.qwen2_5_vl,
            Qwen2_5_VLConfig,
            Qwen2_5_VLForConditionalGeneration,
            Qwen2VLImageProcessorPil,
            {
                "hidden_size": 32,
                "out_hidden_size": HIDDEN,
                "intermediate_size": 48,
                "window_size": 56,
                "fullatt_block_indexes": [1],
            },
        ),
        Kind(
            Family.qwen3_vl,
            Qwen3VLConfig,
            Qwen3VLForConditionalGeneration,
            Qwen2VLImageProcessorPil,
            {
                "hidden_size": 32,
                "out_hidden_size": HIDDEN,
                "intermediate_size": 48,
                "num_position_embeddings": 64,
                "deepstack_visual_indexes": [0, 2],
                "patch_size": 16,
            },
            patch=16,
        ),
    )
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, so that equal texts are equal tokens."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token=" "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    special = [AddedToken(w, special=w != THINK, normalized=False) for w in (*WORDS[:8], THINK)]
    tokenizer.add_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>", chat_template=TEMPLATE
    )


def write_checkpoint(kind: Kind, folder: Path, seed: int = 0) -> Path:
    """A random model whose greedy answers vary and never end."""
    torch.manual_seed(seed)
    config = kind.config(text_config=TEXT, vision_config={**VISION, **kind.vision}, **IDS)
    model = kind.model(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                fan_in = 1 if "embed_tokens" in name else parameter[0].numel()
                parameter.normal_(0, fan_in**-0.5)
            elif "bias" in name:
                parameter.normal_(0, 0.1)
        model.lm_head.weight[: len(SPECIALS) + 3] = 0
    model.generation_config = GenerationConfig(eos_token_id=[1, 0], pad_token_id=0)
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    size = {"shortest_edge": 4 * kind.patch**2, "longest_edge": 8192 * kind.patch**2}
    kind.processor(patch_size=kind.patch, size=size).save_pretrained(folder)
    return folder


def configure(kind: Kind, folder: Path | str, max_new_tokens: int = 12) -> ModelConfig:
    return ModelConfig(
        name="random",
        max_new_tokens=max_new_tokens,
        form=Form.short,
        render=CellsRender(),
        family=kind.family,
        path=str(folder),
    )


def noise_pages(kind: Kind, sizes: Sequence[tuple[int, int]], seed: int = 0) -> list[Pixels]:
    """Pages of `sizes` vision tokens (rows, columns), a few pixels off the patch grid."""
    random = np.random.default_rng(seed)
    side = 2 * kind.patch
    return [
        random.integers(0, 256, (rows * side + 3, columns * side - 2), dtype=np.uint8)
        for rows, columns in sizes
    ]


@dataclass(frozen=True, eq=False)
class Plain:
    """The model as a user of transformers has it, nothing of ours in it."""

    kind: Kind
    model: Any
    tokenizer: Any
    processor: Any

    @classmethod
    def load(cls, kind: Kind, folder: Path, dtype: torch.dtype = torch.float32) -> Plain:
        return cls(
            kind,
            AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval(),
            AutoTokenizer.from_pretrained(folder),
            kind.processor.from_pretrained(folder),
        )

    def inputs(self, question: str, pages: Sequence[Pixels]) -> dict[str, Tensor]:
        """What the family's own processor makes of a chat with pages before the question."""
        images = [np.stack([page] * 3, axis=-1) for page in pages]
        vision = self.processor(images=images, return_tensors="pt")
        content = [{"type": "image"} for _ in pages] + [{"type": "text", "text": question}]
        text = str(
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        )
        for grid in vision["image_grid_thw"]:
            text = text.replace(IMAGE, "<|video|>" * (int(grid.prod()) // 4), 1)
        ids = self.tokenizer(text.replace(VIDEO, IMAGE), return_tensors="pt")["input_ids"]
        types = (ids == self.model.config.image_token_id).int()
        return {"input_ids": ids, "mm_token_type_ids": types, **vision}

    def generate(
        self, question: str, pages: Sequence[Pixels], max_new_tokens: int = 12, **settings: Any
    ) -> str:
        inputs = self.inputs(question, pages)
        output = self.model.generate(
            **inputs,
            attention_mask=torch.ones_like(inputs["input_ids"]),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            **settings,
        )
        return str(self.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]))

    @torch.no_grad()
    def pruned_by_hand(
        self, question: str, pages: Sequence[Pixels], kept: Sequence[Tensor], steps: int = 12
    ) -> str:
        """Greedy text from full forward passes over the kept embeddings, without cache, without
        `generate`; `kept[i]` are the raster positions kept of page i.
        """
        seen = self._seen(question, pages, kept)
        tokens: list[int] = []
        for _ in range(steps):
            tokens.append(int(self._logits(seen, tokens)[-1].argmax()))
        return str(self.tokenizer.decode(tokens))

    @torch.no_grad()
    def taught_by_hand(
        self, question: str, pages: Sequence[Pixels], kept: Sequence[Tensor], answer: Sequence[int]
    ) -> Tensor:
        """Logits [answer + 1, vocabulary] of each token of an answer and of what follows it, in the
        same way.
        """
        return self._logits(self._seen(question, pages, kept), answer)[-len(answer) - 1 :]

    def _seen(
        self, question: str, pages: Sequence[Pixels], kept: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, int, Tensor, list[Tensor]]:
        """What is left of a prompt: embeddings, positions, the position behind it, which tokens are
        a page's, and deep-stack features.
        """
        inputs = self.inputs(question, pages)
        ids, outer = inputs["input_ids"], self.model.model
        is_image = ids == self.model.config.image_token_id
        positions, _ = outer.get_rope_index(
            ids, inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
        )
        encoded = outer.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])
        embeds = outer.language_model.embed_tokens(ids).clone()
        embeds[is_image] = torch.cat(list(encoded.pooler_output))
        deep = [torch.cat(list(d)) for d in getattr(encoded, "deepstack_features", None) or []]
        starts = np.cumsum([0] + [len(page) for page in encoded.pooler_output])
        inside = torch.cat([k + int(start) for k, start in zip(kept, starts, strict=False)])
        stay = torch.cat([(~is_image[0]).nonzero()[:, 0], is_image[0].nonzero()[inside, 0]])
        stay = stay.sort().values
        deep = [features[inside] for features in deep]
        return (
            embeds[:, stay],
            positions[..., stay],
            int(positions.max()) + 1,
            is_image[:, stay],
            deep,
        )

    def _logits(
        self, seen: tuple[Tensor, Tensor, int, Tensor, list[Tensor]], more: Sequence[int]
    ) -> Tensor:
        """Logits [length, vocabulary] of one pass over a prompt and `more` tokens."""
        embeds, at, after, is_image, deep = seen
        decoder = self.model.model.language_model
        new = decoder.embed_tokens(torch.tensor([list(more)], dtype=torch.int64))
        steps = torch.arange(after, after + len(more)).expand(3, 1, -1)
        extra: dict[str, Any] = {}
        if deep:
            padded = torch.cat([is_image, torch.zeros(1, len(more), dtype=torch.bool)], dim=1)
            extra = {"visual_pos_masks": padded, "deepstack_visual_embeds": deep}
        hidden = decoder(
            inputs_embeds=torch.cat([embeds, new], dim=1),
            position_ids=torch.cat([at, steps], dim=-1),
            use_cache=False,
            **extra,
        )
        logits: Tensor = self.model.lm_head(hidden.last_hidden_state[0])
        return logits
