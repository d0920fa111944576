"""A small random checkpoint with code beside its weights, as zai-org/glm-4v-9b has it."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

DOUBLE = Path(__file__).parent / "glm4v_remote_double"
SPECIALS = (
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|user|>",
    "<|assistant|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
)
CHARACTERS = [*SPECIALS, "\n", *(chr(code) for code in range(32, 127))]
IMAGE, PATCH = 112, 14
SIDE = IMAGE // PATCH // 2
LAYERS, GROUPS, CHANNELS = 3, 2, 12
AUTO_MAP = {
    "AutoConfig": "configuration_chatglm.ChatGLMConfig",
    "AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration",
    "AutoModelForCausalLM": "modeling_chatglm.ChatGLMForConditionalGeneration",
}


@contextmanager
def code_cache_in(folder: Path) -> Iterator[Path]:
    """Code of checkpoints is copied to `folder` and not to the user's cache. What another folder
    brought in before is forgotten: modules would be looked for there.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
            patch.delitem(sys.modules, name)
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder))
        patch.syspath_prepend(folder)
        yield folder


def build_checkpoint(folder: Path) -> Path:
    """Weights large enough that page, kept tokens and question change the answer."""
    sys.path.insert(0, str(DOUBLE.parent))
    try:
        modeling = importlib.import_module("glm4v_remote_double.modeling_chatglm")
    finally:
        sys.path.remove(str(DOUBLE.parent))
    vision = {"image_size": IMAGE, "patch_size": PATCH, "hidden_size": 24, "scaling_factor": 0.5}
    config = modeling.ChatGLMConfig(
        num_layers=LAYERS,
        padded_vocab_size=len(CHARACTERS),
        multi_query_group_num=GROUPS,
        kv_channels=CHANNELS,
        seq_length=256,
        boi_token_id=SPECIALS.index("<|begin_of_image|>"),
        eoi_token_id=SPECIALS.index("<|end_of_image|>"),
        vision_config=vision,
        eos_token_id=[SPECIALS.index("<|endoftext|>"), SPECIALS.index("<|user|>")],
        pad_token_id=SPECIALS.index("<|endoftext|>"),
    )
    torch.manual_seed(5)
    model: Any = modeling.ChatGLMForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "boi" not in name and "eoi" not in name:
                parameter.normal_(0, 1.5 * parameter[0].numel() ** -0.5)
        model.get_input_embeddings().weight.normal_(0, 1)
        model.transformer.vision.boi.normal_(0, 0.5)
        model.transformer.vision.eoi.normal_(0, 0.5)
        model.transformer.output_layer.weight[: len(SPECIALS)] = 0
    model.save_pretrained(folder)
    for file in DOUBLE.glob("*.py"):
        shutil.copy(file, folder)
    edit(folder / "config.json", auto_map=AUTO_MAP)
    numbers = {character: number for number, character in enumerate(CHARACTERS)}
    (folder / "characters.json").write_text(json.dumps(numbers))
    tokenizer = {
        "tokenizer_class": "ChatGLM4Tokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_chatglm.ChatGLM4Tokenizer", None]},
        "additional_special_tokens": list(SPECIALS),
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "image_size": IMAGE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def edit(file: Path, **changes: Any) -> None:
    """Change fields of a JSON file; None takes one out."""
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
