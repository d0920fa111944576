"""A small decoder with the outer interface of zai-org/glm-4v-9b's `modeling_chatglm.py`.

Written for the tests from what the public code promises to callers, none of it copied:
- `images` [batch, 3, side, side] beside ids with begin, placeholder, end; the encoder's vectors,
  its own two markers among them, take the place of those three.
- every vision token has the position of the placeholder; the markers keep theirs.
- the cache is a tuple, one (keys, values) a layer, each [batch, groups, length, channels].
- the number of vision tokens is derived from the configuration, also when the attention mask
  grows in `prepare_inputs_for_generation`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_chatglm import ChatGLMConfig
from .visual import EVA2CLIPModel

Pair = tuple[Tensor, Tensor]


def rotate(x: Tensor, position_ids: Tensor) -> Tensor:
    """Rotary embedding of x [batch, heads, length, channels] at positions [batch, length]."""
    half = x.shape[-1] // 2
    speeds = 100.0 ** -(torch.arange(half) / half)
    angle = position_ids[:, None, :, None] * speeds
    first, second = x.chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


class Block(nn.Module):
    def __init__(self, config: ChatGLMConfig) -> None:
        super().__init__()
        self.heads, self.groups = config.num_attention_heads, config.multi_query_group_num
        self.channels = config.kv_channels
        width = (self.heads + 2 * self.groups) * self.channels
        self.query_key_value = nn.Linear(config.hidden_size, width)
        self.dense = nn.Linear(self.heads * self.channels, config.hidden_size, bias=False)
        self.widen = nn.Linear(config.hidden_size, config.ffn_hidden_size)
        self.narrow = nn.Linear(config.ffn_hidden_size, config.hidden_size)
        self.before = nn.LayerNorm(config.hidden_size)
        self.between = nn.LayerNorm(config.hidden_size)

    def forward(
        self, hidden: Tensor, allowed: Tensor, position_ids: Tensor, past: Pair | None
    ) -> tuple[Tensor, Pair]:
        sizes = [n * self.channels for n in (self.heads, self.groups, self.groups)]
        q, k, v = (
            part.unflatten(-1, (-1, self.channels)).transpose(1, 2)
            for part in self.query_key_value(self.before(hidden)).split(sizes, dim=-1)
        )
        q, k = rotate(q, position_ids), rotate(k, position_ids)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        mixed = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed[:, None], enable_gqa=True
        )
        hidden = hidden + self.dense(mixed.transpose(1, 2).flatten(2))
        return hidden + self.narrow(functional.silu(self.widen(self.between(hidden)))), (k, v)


class ChatGLMPreTrainedModel(PreTrainedModel):
    config_class = ChatGLMConfig
    base_model_prefix = "transformer"
    _supports_sdpa = True

    def _init_weights(self, module: nn.Module) -> None:
        """Weights are what the modules make them, or the checkpoint's."""


class ChatGLMModel(ChatGLMPreTrainedModel):
    def __init__(self, config: ChatGLMConfig) -> None:
        super().__init__(config)
        self.embedding = nn.ModuleDict(
            {"word_embeddings": nn.Embedding(config.padded_vocab_size, config.hidden_size)}
        )
        self.layers = nn.ModuleList([Block(config) for _ in range(config.num_layers)])
        self.final = nn.LayerNorm(config.hidden_size)
        self.output_layer = nn.Linear(config.hidden_size, config.padded_vocab_size, bias=False)
        self.vision = EVA2CLIPModel(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding["word_embeddings"]

    def splice(self, ids: Tensor, embeds: Tensor, images: Tensor, at: Tensor) -> Pair:
        """Put the images' vectors in; the positions grow with them."""
        features = self.vision(images)
        count = image_tokens(self.config)
        rows, positions = [], []
        for i in range(len(ids)):
            begin, end = places(ids[i], self.config)
            rows.append(torch.cat((embeds[i, :begin], features[i], embeds[i, end + 1 :])))
            inside = at[i, begin + 1].repeat(count)
            positions.append(torch.cat((at[i, : begin + 1], inside, at[i, end:])))
        return torch.stack(rows), torch.stack(positions)

    def forward(
        self,
        input_ids: Tensor,
        images: Tensor | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: tuple[Pair, ...] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        embeds = self.get_input_embeddings()(input_ids)
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        if past_key_values is None and images is not None:
            embeds, position_ids = self.splice(input_ids, embeds, images, position_ids)
        length = embeds.shape[1]
        before = 0 if past_key_values is None else past_key_values[0][0].shape[2]
        allowed = torch.ones(len(embeds), length, before + length).bool().tril(before)
        if attention_mask is not None and not attention_mask.all():
            # Rows of padding may look everywhere, or softmax would have nothing to weigh.
            padding = ~attention_mask[:, -length:].bool()[..., None]
            allowed = (allowed & attention_mask[:, None].bool()) | padding
        presents = []
        for number, layer in enumerate(self.layers):
            past = None if past_key_values is None else past_key_values[number]
            embeds, pair = layer(embeds, allowed, position_ids, past)
            presents.append(pair)
        return BaseModelOutputWithPast(self.final(embeds), tuple(presents))


class ChatGLMForConditionalGeneration(ChatGLMPreTrainedModel, GenerationMixin):
    def __init__(self, config: ChatGLMConfig) -> None:
        super().__init__(config)
        self.transformer = ChatGLMModel(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        images: Tensor | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: tuple[Pair, ...] | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        return_last_logit: bool = False,
    ) -> CausalLMOutputWithPast:
        output = self.transformer(input_ids, images, position_ids, attention_mask, past_key_values)
        hidden = output.last_hidden_state
        if return_last_logit:
            hidden = hidden[:, -1:]
        logits = self.transformer.output_layer(hidden)
        return CausalLMOutputWithPast(logits=logits, past_key_values=output.past_key_values)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        images: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        is_first_forward: bool = True,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if attention_mask is not None and images is not None:
            begin, end = places(input_ids[0], self.config)
            more = attention_mask.new_ones(len(input_ids), image_tokens(self.config))
            parts = (attention_mask[:, : begin + 1], more, attention_mask[:, end:])
            attention_mask = torch.cat(parts, dim=1)
        if not is_first_forward:
            input_ids = input_ids[:, -1:]
            position_ids = None if position_ids is None else position_ids[:, -1:]
        return {
            "input_ids": input_ids,
            "images": images,
            "past_key_values": None if is_first_forward else past_key_values,
            "position_ids": position_ids,
            "attention_mask": attention_mask,
            "return_last_logit": True,
        }

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        model_kwargs["past_key_values"] = outputs.past_key_values
        mask, at = model_kwargs.get("attention_mask"), model_kwargs["position_ids"]
        if mask is not None:  # `generate` drops a mask without padding
            model_kwargs["attention_mask"] = torch.cat((mask, mask.new_ones(len(mask), 1)), dim=1)
        model_kwargs["position_ids"] = torch.cat((at, at[:, -1:] + 1), dim=1)
        model_kwargs["is_first_forward"] = False
        return model_kwargs


def image_tokens(config: ChatGLMConfig) -> int:
    side: int = config.vision_config["image_size"] // config.vision_config["patch_size"] // 2
    return side**2


def places(ids: Tensor, config: ChatGLMConfig) -> tuple[int, int]:
    """Where begin and end stand in ids [length]."""
    listed = ids.tolist()
    begin, end = listed.index(config.boi_token_id), listed.index(config.eoi_token_id)
    assert end - begin == 2
    return begin, end
