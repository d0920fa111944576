"""A small random LLaVA-OneVision checkpoint on disk, in the files that the hub's have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)

SPECIALS = ("<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
SINGLES = "".join(chr(code) for code in range(32, 127)) + "\n"
CROP, PATCH, LIMIT = 56, 14, 4
SIDE = CROP // PATCH
MOST = 3
LAYERS, KV_HEADS, HEAD_DIM = 3, 2, 16
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + ' ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ '\n' + part['text'] }}"
    "{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {piece: number for number, piece in enumerate([*SPECIALS, *SINGLES])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def resolutions(crop: int, most: int) -> list[list[int]]:
    return [
        [crop * rows, crop * columns]
        for rows in range(1, most + 1)
        for columns in range(1, most + 1)
    ]


def build_config(crop: int, most: int, limit: int) -> LlavaOnevisionConfig:
    text = {
        "model_type": "qwen2",
        "vocab_size": len(SPECIALS) + len(SINGLES),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
        "tie_word_embeddings": False,
    }
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": crop,
        "patch_size": PATCH,
        "vision_use_head": False,
    }
    build: Any = LlavaOnevisionConfig
    config: LlavaOnevisionConfig = build(
        text_config=text,
        vision_config=vision,
        image_token_index=SPECIALS.index("<image>"),
        video_token_index=SPECIALS.index("<video>"),
        image_grid_pinpoints=resolutions(crop, most),
        vision_aspect_ratio=f"anyres_max_{limit}",
        tie_word_embeddings=False,
    )
    return config


def build_checkpoint(folder: Path, crop: int = CROP, most: int = MOST, limit: int = LIMIT) -> Path:
    """Weights large enough that pages, positions and questions change the answer.

    crop: side of a crop in px. most: crops along a side. limit: crops a detail grid may fill.
    """
    torch.manual_seed(3)
    model: Any = LlavaOnevisionForConditionalGeneration(build_config(crop, most, limit))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                gain = 2.0 if "q_proj" in name or "k_proj" in name else 1.2
                parameter.normal_(0, gain * parameter[0].numel() ** -0.5)
        model.model.language_model.embed_tokens.weight.normal_(0, 1)
        model.lm_head.weight[: len(SPECIALS)] = 0
    model.generation_config = GenerationConfig(
        eos_token_id=SPECIALS.index("<|im_end|>"), pad_token_id=SPECIALS.index("<|endoftext|>")
    )
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    LlavaOnevisionImageProcessorPil(
        size={"height": crop, "width": crop}, image_grid_pinpoints=resolutions(crop, most)
    ).save_pretrained(folder)
    (folder / "processor_config.json").write_text(
        json.dumps(
            {"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": (crop // PATCH) ** 2}
        )
    )
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    return folder
