"""Around `generate`: greedy decoding, padding of a batch, texts and tokens of answers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jinja2 import TemplateError
from torch import Tensor

from freqexp.errors import UserError, fault

if TYPE_CHECKING:
    from freqexp.schemas.model import ModelConfig


_WITHOUT_EFFECT = (
    # Sampling.
    *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff"),
    *("eta_cutoff", "renormalize_logits"),
    # Several beams.
    *("early_stopping", "length_penalty", "num_beam_groups", "diversity_penalty"),
    # max_new_tokens and the prompt take their place.
    *("max_length", "bos_token_id", "decoder_start_token_id"),
    # How the cache is laid out and computed.
    *("use_cache", "cache_implementation", "cache_config", "max_cache_len", "compile_config"),
    *("disable_compile", "low_memory", "prefill_chunk_size", "is_assistant"),
)
"""Settings that greedy decoding does not look at, or that change no token."""
_NEUTRAL = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "guidance_scale": 1.0,
    "penalty_alpha": 0.0,
    "remove_invalid_values": False,
}
"""Values with which these settings change nothing."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """One request as the decoder will see it.

    ids: int64 [kept]. positions: [axes, kept], those of the full sequence.
    vision_in / vision_out: vision tokens before compression / among `ids`.
    vision: int64, places in `ids` of the tokens that pages are made of, or the conversation's text.
    places: int64 [kept], where each of `ids` stands in the full sequence.
    end: length up to the last of them: what doesn't depend on the question.
    """

    ids: Tensor
    positions: Tensor
    vision_in: int
    vision_out: int
    vision: Tensor
    places: Tensor
    end: int


def answer_text(tokenizer: Any, ids: Tensor, mark: str | None) -> str:
    """Text of `ids` [length] after the last `mark`, without the white space that follows it; all
    of it when the mark is None or not there.

    The mark may be a special token, which decoding would drop, or plain text.
    """
    if mark is None:
        return str(tokenizer.decode(ids, skip_special_tokens=True))
    mark_ids = tokenizer(mark, add_special_tokens=False)["input_ids"]
    if len(mark_ids) == 1:
        marks = (ids == mark_ids[0]).nonzero()
        if len(marks):
            after = ids[int(marks[-1]) + 1 :]
            return str(tokenizer.decode(after, skip_special_tokens=True)).lstrip()
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    return text.rpartition(mark)[2].lstrip() if mark in text else text


def readable(text: str) -> str:
    """A text with U+FFFD for halves of surrogate pairs, which tokenizers refuse; pages show the
    same.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def answer_ids(tokenizer: Any, answer: str, end: int) -> Tensor:
    """Tokens int64 [length] of an answer, its end among them."""
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return torch.tensor([*ids, end], dtype=torch.int64)


def end_token(tokenizer: Any, ends: Sequence[int]) -> int:
    """The one of `ends` that the chat template writes behind an answer; the first of them where it
    writes none.

    Templates take what the assistant said as a text or as a list of parts.
    """
    mark = "0"
    question = [{"type": "text", "text": "?"}]
    for said in (mark, [{"type": "text", "text": mark}]):
        turns = [("user", question), ("assistant", said), ("user", question)]
        chat = [{"role": role, "content": content} for role, content in turns]
        try:
            text = str(tokenizer.apply_chat_template(chat, tokenize=False))
        except TemplateError:
            continue
        after = tokenizer(text.partition(mark)[2], add_special_tokens=False)["input_ids"]
        if after and after[0] in ends:
            return int(after[0])
    return int(ends[0])


def beginnings(labels: Sequence[Tensor]) -> Tensor:
    """int64 [questions]: where each answer begins among all."""
    lengths = torch.tensor([0, *(len(own) for own in labels)])
    return lengths.cumsum(0)[:-1]


def context_of(model: Any, limit: int | None) -> int:
    """Longest sequence allowed. Raises UserError for a limit beyond what the model has."""
    longest = int(model.get_text_config().max_position_embeddings)
    if limit is not None and limit > longest:
        raise UserError(fault("model.context", limit, f"at most {longest} for these weights"))
    return limit or longest


def greedy(own: Any, config: ModelConfig) -> Any:
    """Greedy decoding with the end tokens of a checkpoint, and its repetition penalty unless the
    configuration has one. `set_aside` says what else it would bring.
    """
    from transformers import GenerationConfig

    if own.eos_token_id is None:
        raise UserError("model.path: the checkpoint names no end token (eos_token_id)")
    first_end = own.eos_token_id[0] if isinstance(own.eos_token_id, list) else own.eos_token_id
    penalty = config.repetition_penalty
    return GenerationConfig(
        max_new_tokens=config.max_new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
        repetition_penalty=own.repetition_penalty if penalty is None else penalty,
        eos_token_id=own.eos_token_id,
        pad_token_id=first_end if own.pad_token_id is None else own.pad_token_id,
        bos_token_id=own.bos_token_id,
        # Left open they would be the checkpoint's, and answers could be neither read nor measured.
        use_cache=True,
        return_dict_in_generate=False,
    )


def set_aside(passed: Any, own: Any) -> dict[str, Any]:
    """Settings of a checkpoint that would act, such as `no_repeat_ngram_size`, were they not left
    out: with them, copying what a page says is another task.
    """
    from transformers import GenerationConfig

    taken = effective(passed, GenerationConfig())
    return {name: value for name, value in effective(passed, own).items() if name not in taken}


def effective(passed: Any, own: Any) -> dict[str, Any]:
    """The settings that `generate` goes by when `passed` is handed to a model that has the settings
    `own`: the library fills what `passed` leaves open from those.

    Without what has no effect on greedy decoding, and what stands at the library's default.
    """
    from transformers import GenerationConfig

    default = GenerationConfig()
    merged = copy.deepcopy(passed)
    merged.update(**own.to_dict(), defaults_only=True)
    found = {
        name: value
        for name, value in merged.to_dict().items()
        if value is not None
        and not name.startswith(("_", "output_", "return_", "transformers_"))
        and name not in _WITHOUT_EFFECT
        and value != _NEUTRAL.get(name, getattr(default, name, None))
    }
    always = {
        "do_sample": False,
        "max_new_tokens": merged.max_new_tokens,
        "repetition_penalty": merged.repetition_penalty or 1.0,
    }
    return {**always, **found}


class Numbers:
    """Looks at the logits of every step, as a logits processor that changes none."""

    def __init__(self) -> None:
        self._broken: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores: [batch, vocabulary]."""
        found = (scores.isnan() | scores.isposinf()).any()
        # Asked for at the end alone: a look at each step would make a GPU wait.
        self._broken = found if self._broken is None else self._broken | found
        return scores

    def check(self) -> None:
        """Raises UserError when a logit was no number: what was decoded then says nothing."""
        if self._broken is not None and bool(self._broken):
            raise UserError(
                "the model's logits are not finite (NaN or infinity); damaged weights, or "
                "numbers too large for model.dtype?"
            )


def pad_left(prompts: Sequence[Prompt], fill: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids [batch, length], mask of the same shape, positions [axes, batch, length].

    fill: the token that each row is padded with.
    """
    length = max(len(prompt.ids) for prompt in prompts)
    first = prompts[0]
    ids = first.ids.new_empty(len(prompts), length)
    mask = torch.ones_like(ids)
    positions = first.positions.new_zeros(len(first.positions), len(prompts), length)
    for row, prompt in enumerate(prompts):
        start = length - len(prompt.ids)
        ids[row, :start] = fill[row]
        ids[row, start:] = prompt.ids
        mask[row, :start] = 0
        positions[:, row, start:] = prompt.positions
    return ids, mask, positions
