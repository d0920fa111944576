"""A character tokenizer with the outer interface of zai-org/glm-4v-9b's: images enter through
`apply_chat_template`, which resizes them and leaves begin, placeholder, end in the text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from transformers import BatchEncoding, PreTrainedTokenizer

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


class ChatGLM4Tokenizer(PreTrainedTokenizer):
    vocab_files_names: ClassVar = {"vocab_file": "characters.json"}
    model_input_names: ClassVar = ["input_ids", "attention_mask", "position_ids"]

    def __init__(self, vocab_file: str, image_size: int = 112, **kwargs: Any) -> None:
        self.vocab: dict[str, int] = json.loads(Path(vocab_file).read_text())
        self.names = {number: name for name, number in self.vocab.items()}
        self.image_size = image_size
        super().__init__(image_size=image_size, **kwargs)

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.vocab)

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self.vocab.get(token, self.vocab["?"])

    def _convert_id_to_token(self, index: int) -> str:
        return self.names[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> BatchEncoding:
        """One user message with an image; keys input_ids, attention_mask, position_ids, images."""
        (message,) = conversation
        image = message["image"].convert("RGB").resize((self.image_size,) * 2, Image.BICUBIC)
        pixels = torch.from_numpy((np.asarray(image, dtype=np.float32) / 255 - MEAN) / STD)
        start = ["[gMASK]", "<sop>", "<|user|>", "\n"]
        marks = ["<|begin_of_image|>", "<|endoftext|>", "<|end_of_image|>"]
        ids = self.convert_tokens_to_ids(start + marks)
        ids += self.encode(message["content"], add_special_tokens=False)
        ids += self.convert_tokens_to_ids(["<|assistant|>", "\n"])
        one = torch.tensor([ids])
        return BatchEncoding(
            {
                "input_ids": one,
                "attention_mask": torch.ones_like(one),
                "position_ids": torch.arange(len(ids))[None],
                "images": pixels.permute(2, 0, 1)[None],
            }
        )
