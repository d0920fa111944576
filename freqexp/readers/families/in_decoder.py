"""Dropping vision tokens in the middle of a transformers decoder.

During prefill layers below K see every token. At the input of layer K a pruner chooses, hidden
states, positions and mask are cut to the tokens that stay, and the caches of the layers from K on
hold only those. At later steps the masks of these layers are cut to their caches. Every token keeps
its position in the full sequence. So logits are those of a run that hides the tokens dropped from
all others in these layers; nothing computes them, and nothing holds them.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from freqexp.nouns.vision import LayerPruner, LayerView
from freqexp.readers.families.attention import now_ms, query_module, rotated


class Dropping:
    """Hooks on a decoder for one `generate` call with one request, removed on leaving, also after
    an exception.

    vision: int64 [N], places of what may be dropped. budget: see `Request`.
    kept: what was chosen, see `LayerPruner`. choose_ms: how long that took.
    """

    kept: Tensor
    choose_ms: float = 0.0

    def __init__(
        self, text_model: Any, pruner: LayerPruner, vision: Tensor, budget: int | None
    ) -> None:
        self._text_model = text_model
        self._pruner = pruner
        self._vision = vision
        self._budget = budget
        self._query: Tensor | None = None
        self._stays: Tensor | None = None
        self._hooks: list[Any] = []

    def __enter__(self) -> Dropping:
        first = self._pruner.layer
        layers = self._text_model.layers
        attention = layers[first - 1].self_attn
        self._hooks.append(query_module(attention).register_forward_hook(self._see_query))
        for number in range(first, len(layers)):
            hook = layers[number].register_forward_pre_hook(self._before, with_kwargs=True)
            self._hooks.append(hook)
        if hasattr(self._text_model, "_deepstack_process"):
            self._add = self._text_model._deepstack_process
            self._text_model._deepstack_process = self._add_deepstack
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        if "_deepstack_process" in vars(self._text_model):
            del self._text_model._deepstack_process

    def _see_query(self, module: Any, args: Any, output: Tensor) -> None:
        """Keep the last token's query of the prefill, before the rotation: [1, 1, ...]."""
        if self._stays is None:
            self._query = output[:, -1:].clone()

    def _before(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What layer K or a later one is given."""
        (hidden,) = args
        cache, number = kwargs["past_key_values"], layer.self_attn.layer_idx
        mask = kwargs["attention_mask"]
        held = cache.get_seq_length(number)
        if held:
            length = held + hidden.shape[1]
            return args, {**kwargs, "attention_mask": None if mask is None else mask[..., -length:]}
        if self._stays is None:
            self._choose(hidden, cache, kwargs["position_embeddings"])
        stays = self._stays
        assert stays is not None
        if number == self._pruner.layer:
            hidden = _at(hidden, stays, 1)
        if mask is not None:
            mask = _at(mask, stays, -1)
            mask = _at(mask, stays, -2) if mask.dim() == 4 else mask
        positions = kwargs.get("position_ids")
        changed = {
            "attention_mask": mask,
            "position_ids": None if positions is None else _at(positions, stays, -1),
            "position_embeddings": tuple(_at(e, stays, 1) for e in kwargs["position_embeddings"]),
        }
        return (hidden,), {**kwargs, **changed}

    def _choose(self, hidden: Tensor, cache: Any, rotation: tuple[Tensor, Tensor]) -> None:
        """Ask the pruner, and note which places of the sequence stay."""
        started = now_ms(hidden)
        view = self._view(hidden, cache, rotation)
        self.kept = self._pruner.choose(view)
        stays = torch.ones(hidden.shape[1], dtype=torch.bool, device=hidden.device)
        stays[view.vision] = False
        stays[view.vision.index_select(0, self.kept)] = True
        self._stays = stays.nonzero()[:, 0]
        self.choose_ms = now_ms(hidden) - started

    def _view(self, hidden: Tensor, cache: Any, rotation: tuple[Tensor, Tensor]) -> LayerView:
        attention = self._text_model.layers[self._pruner.layer - 1].self_attn
        keys = cache.layers[self._pruner.layer - 1].keys
        assert self._query is not None
        query = rotated(attention, self._query, rotation)
        return LayerView(
            hidden=self._text_model.norm(hidden)[0].to(hidden.device),
            keys=keys[0].to(hidden.device),
            query=query[0, :, 0].to(hidden.device),
            scale=float(attention.scaling),
            vision=self._vision.to(hidden.device),
            budget=self._budget,
        )

    def _add_deepstack(self, hidden: Tensor, places: Tensor, features: Tensor) -> Any:
        """Add what is left of a level's features once their tokens were dropped."""
        if hidden.shape[1] < places.shape[1]:
            assert self._stays is not None
            places = _at(places, self._stays, 1)
            features = _at(features, self.kept, 0)
        return self._add(hidden, places, features)


def _at(values: Tensor, places: Tensor, dim: int) -> Tensor:
    return values.index_select(dim, places.to(values.device))
