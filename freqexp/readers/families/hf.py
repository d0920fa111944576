"""What readers of transformers models share: prompt, shortened greedy decoding, measurement.

Dropped tokens really leave the decoder's sequence: the vision features are made once, compressed,
and handed to `generate` beside the kept placeholders and their positions in the full sequence
(transformers >= 5.23, `mm_encoder_outputs`).
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freqexp.errors import UserError, fault
from freqexp.nouns.cache import CacheCompressor
from freqexp.nouns.page import Pixels
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.base import WARM_UP_TOKENS, Answer, Reader, Request
from freqexp.readers.check import check_tokens
from freqexp.readers.decoding import (
    Prompt,
    answer_text,
    context_of,
    effective,
    greedy,
    set_aside,
)
from freqexp.readers.families.generating import alone, answers, generate
from freqexp.readers.families.signals import question_words
from freqexp.readers.families.teaching import teach
from freqexp.readers.families.template import chat_text, check_template
from freqexp.readers.families.text_input import around, text_prompt, tokens_of

if TYPE_CHECKING:
    from freqexp.readers.weights import Parts
    from freqexp.schemas.model import ModelConfig


class HfReader(Reader):
    """A model of transformers with its own tokenizer and image processor.

    A family says how a page becomes features, how many placeholders stand for it, and which
    positions the full sequence has.
    """

    can_batch = True
    warms_up = True
    signals = ("pixels", "attention", "keys", "question")
    prunes_in_decoder = True
    compresses_cache = True
    reads_text = True
    teaches = True

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        self.model = parts.model
        self.tokenizer = parts.tokenizer
        self.processor = parts.processor
        self.max_new_tokens = config.max_new_tokens
        self.answer_after = config.answer_after
        self.image_id = int(self.model.config.image_token_id)
        self.context = context_of(self.model.config, config.context)
        own = self.model.generation_config
        self._generation = greedy(own, config)
        self._set_aside = set_aside(self._generation, own)
        # `generate` fills from it what it is not told.
        self.model.generation_config = type(own)(eos_token_id=own.eos_token_id)
        check_template(self.tokenizer, self.image_id)

    @property
    def generation(self) -> Mapping[str, Any]:
        """What `generate` goes by, and what the checkpoint asked for in vain."""
        acting = effective(self._generation, self.model.generation_config)
        return {**acting, "set_aside": self._set_aside} if self._set_aside else acting

    def warm_up(self, request: Request) -> None:
        """Prefill and a few steps."""
        short = copy.deepcopy(self._generation)
        short.max_new_tokens = min(WARM_UP_TOKENS, self.max_new_tokens)
        generate(self, [request], short)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(self.model.device)

    @property
    def text_model(self) -> Any:
        """The decoder, whose hook measures; its layers fill the cache."""
        return self.model.model.language_model

    @abstractmethod
    def encode_page(
        self, page: Pixels, signals: Sequence[Signal], chooser: Chooser | None
    ) -> list[VisionTokens]:
        """Vision tokens of one page, one entry a grid, in inference mode.

        chooser: only where the family drops before its encoder.
        Raises UserError outside the limits.
        """

    @abstractmethod
    def positions(self, ids: Tensor, vision: Sequence[CompressedTokens]) -> Tensor:
        """Positions [axes, length] of the full sequence `ids` [length]; the first axis counts
        tokens.
        """

    def position_ids(self, positions: Tensor) -> Tensor:
        """Positions [axes, batch, length] in the shape the model takes."""
        return positions

    @abstractmethod
    def encoder_output(self, vision: Sequence[CompressedTokens]) -> Any:
        """What the model wants of its image encoder, for the kept tokens of these pages."""

    def encode(
        self,
        pages: Sequence[Pixels],
        signals: Sequence[Signal] = (),
        chooser: Chooser | None = None,
    ) -> list[VisionTokens]:
        """Vision tokens of each page, one page at a time so that memory stays bounded."""
        if not pages:
            raise UserError("sample: got no pages, allowed: at least one")
        encoded: list[VisionTokens] = []
        with torch.inference_mode():
            for number, page in enumerate(pages, start=1):
                try:
                    encoded += self.encode_page(page, signals, chooser)
                except UserError as error:
                    raise UserError(f"page {number}: {error}") from error
        return encoded

    def question_embeddings(self, question: str) -> Tensor:
        """Without the chat template and special tokens."""
        return question_words(self.model, self.tokenizer, question)

    def text_ids(self, text: str) -> Tensor:
        """See `Reader`."""
        return tokens_of(self.tokenizer, text)

    def prompt_ids(self, question: str, sizes: Sequence[int]) -> Tensor:
        """Token ids int64 [length] of the chat: all pages, then the question; `sizes[i]`
        placeholders for page i.
        """
        # One placeholder a page is tokenized and then repeated, which is the same and fast.
        text = chat_text(self.tokenizer, question, len(sizes))
        encoded = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        ids = torch.as_tensor(encoded["input_ids"])[0]
        is_image = ids == self.image_id
        if int(is_image.sum()) != len(sizes):
            placeholder = self.tokenizer.convert_ids_to_tokens(self.image_id)
            raise UserError(
                f"question: must not contain {placeholder!r}, and the chat template must put one "
                f"for each of the {len(sizes)} pages; it put {int(is_image.sum())} in all"
            )
        repeats = torch.ones_like(ids)
        repeats[is_image] = torch.tensor(sizes, dtype=torch.int64)
        return ids.repeat_interleave(repeats).to(self.device)

    def prompt(self, request: Request) -> Prompt:
        """The sequence of a request, shortened: every token at its position in the full one.

        Raises UserError for tokens that do not fit, and beyond the model's context.
        """
        if request.text is None:
            return self.pages_prompt(request)
        prompt = text_prompt(self, request.question, request.text)
        self._check_length(len(prompt.ids), len(prompt.ids))
        return prompt

    def pages_prompt(self, request: Request) -> Prompt:
        """`prompt` where the conversation is pages."""
        vision = request.vision
        check_tokens(vision, self.model.config.get_text_config().hidden_size, self.deepstack_layers)
        sizes = [rows * columns for rows, columns in (page.grid for page in vision)]
        ids = self.prompt_ids(request.question, sizes)
        is_image = ids == self.image_id
        places = is_image.nonzero()[:, 0].split(sizes)
        stays = ~is_image
        for place, page in zip(places, vision, strict=True):
            stays[place[page.kept.to(place.device)]] = True
        positions = self.positions(ids, vision)[:, stays]
        short = ids[stays]
        # The first axis tells where a token stands in the cache, not on the page.
        positions[0] = torch.arange(len(short), device=short.device)
        self._check_length(len(short), len(ids))
        content = (short == self.image_id).nonzero()[:, 0]
        kept_at = stays.nonzero()[:, 0]
        end = int(content[-1]) + 1
        return Prompt(short, positions, sum(sizes), len(content), content, kept_at, end)

    @property
    def deepstack_layers(self) -> int:
        """Decoder layers that take vision features of their own."""
        return 0

    def check_layer(self, layer: int) -> None:
        """Raises UserError outside the model, and for layers whose caches forget."""
        text = self.model.config.get_text_config()
        if not 1 <= layer < text.num_hidden_layers:
            allowed = f"1 to {text.num_hidden_layers - 1} for these weights"
            raise UserError(fault("compressor.layer", layer, allowed))
        self._check_layers("can't drop tokens")

    def check_compressor(self, compressor: CacheCompressor) -> None:
        """Raises UserError for layers whose caches forget."""
        self._check_layers("have no cache that could be compressed")

    def _check_layers(self, cannot: str) -> None:
        text = self.model.config.get_text_config()
        types = set(getattr(text, "layer_types", None) or ())
        for other in sorted(types - {"full_attention"}):
            raise UserError(f"model.path: layers with {other.replace('_', ' ')} {cannot}")

    def prompt_tokens(self, request: Request) -> int | None:
        """Length of the sequence the decoder would see, without tokenizing twice."""
        if request.text is not None:
            return len(request.text) + sum(map(len, around(self.tokenizer, request.question)))
        kept = sum(len(page.kept) for page in request.vision)
        return len(self.prompt_ids(request.question, [0] * len(request.vision))) + kept

    def _check_length(self, length: int, full: int) -> None:
        needed = length + self.max_new_tokens
        if needed > self.context:
            whole = f" ({full} before compression)" if full != length else ""
            raise UserError(
                f"sample: needs {length} prompt{whole} and {self.max_new_tokens} new tokens, "
                f"allowed: at most {self.context} in all (the model's context)"
            )

    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        """Greedy answer over the kept tokens at their positions of the full sequence."""
        return self.answer_batch([Request(question, vision)])[0]

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers of one `generate` over all requests, padded on the left; where requests have to
        be answered by themselves, of one `generate` each.
        """
        if not requests:
            return []
        if len(requests) > 1 and any(alone(request) for request in requests):
            return [answer for one in requests for answer in self.answer_batch([one])]
        return answers(self, generate(self, requests, self._generation), self._ends)

    def teach(self, exercises: Sequence[Exercise], states: bool = False) -> Taught:
        """One pass with the questions of an exercise behind its pages, see `teaching.teach`."""
        self._check_layers("can't be taught")
        return teach(self, exercises, self._ends, states)

    @property
    def _ends(self) -> list[int]:
        """Tokens at which generation stops."""
        ends = self._generation.eos_token_id
        return list(ends) if isinstance(ends, list) else [ends]

    def final_answer(self, ids: Tensor) -> str:
        """Text after the last `answer_after`, see `answer_text`."""
        return answer_text(self.tokenizer, ids, self.answer_after)
