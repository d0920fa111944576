"""Configuration with the field names of zai-org/glm-4v-9b's."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class ChatGLMConfig(PretrainedConfig):
    model_type = "chatglm"

    def __init__(
        self,
        num_layers: int = 3,
        padded_vocab_size: int = 128,
        hidden_size: int = 48,
        ffn_hidden_size: int = 96,
        kv_channels: int = 12,
        num_attention_heads: int = 4,
        multi_query_group_num: int = 2,
        seq_length: int = 1024,
        boi_token_id: int = 5,
        eoi_token_id: int = 6,
        vision_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_layers = num_layers
        self.num_hidden_layers = num_layers  # `generate` asks for it by this name
        self.padded_vocab_size = padded_vocab_size
        self.vocab_size = padded_vocab_size
        self.hidden_size = hidden_size
        self.ffn_hidden_size = ffn_hidden_size
        self.kv_channels = kv_channels
        self.num_attention_heads = num_attention_heads
        self.multi_query_group_num = multi_query_group_num
        self.seq_length = seq_length
        self.boi_token_id = boi_token_id
        self.eoi_token_id = eoi_token_id
        self.vision_config = vision_config
        super().__init__(**kwargs)
