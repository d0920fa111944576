"""GLM-4V-9B (zai-org/glm-4v-9b): its code comes with its weights.

A page is resized to the model's square (1120 x 1120, whatever its shape), cut into 14 px patches
and merged 2 x 2: a grid of 40 x 40 = 1600 tokens between two learned markers. A prompt holds
exactly one image.

The code derives the number of tokens from its configuration wherever it sees an image, so a
shortened sequence can't go through its `generate`. Here its encoder makes the features, and its
`forward` decodes greedily without an image: ids with one placeholder a kept token, the features
put in behind its word embeddings, positions given. As in its own code all vision tokens share one
position, between those of the markers, so text stands where it does in the full sequence however
many tokens are kept.

What is used of the remote code: `apply_chat_template` of the tokenizer with an "image" in the
message (keys input_ids, images); `model.transformer.vision(images)` -> [1, 1 + tokens + 1,
channels]; `get_input_embeddings()`; `forward(input_ids, position_ids, attention_mask,
past_key_values, use_cache, return_dict, return_last_logit)`; a cache of one (keys, values) a
layer, each [batch, groups, tokens, channels]; config fields vision_config, boi_token_id,
eoi_token_id, seq_length. These were read in public copies of that code. It was not run: neither
its weights nor its answers, nor whether it works under the installed transformers, for it was
written for 4.x. The tests run a small model with the same outer interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from freqexp.errors import UserError, fault
from freqexp.nouns.cache import CacheCompressor
from freqexp.nouns.page import Pixels
from freqexp.nouns.teaching import Exercise, Taught
from freqexp.nouns.vision import Chooser, CompressedTokens, Signal, VisionTokens
from freqexp.readers.base import SEPARATOR, WARM_UP_TOKENS, Answer, Reader, Request
from freqexp.readers.check import check_tokens
from freqexp.readers.families.forward_decoding import Decoded, Row, answer_of, decode
from freqexp.readers.families.forward_teaching import teach
from freqexp.readers.families.remote_code import end_tokens, load_remote
from freqexp.readers.families.signals import denormalised, grid_pixels, question_words
from freqexp.readers.families.text_input import check_text, tokens_of

if TYPE_CHECKING:
    from freqexp.readers.weights import Parts
    from freqexp.schemas.model import ModelConfig

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""How its tokenizer normalises an image."""


class Glm4vRemoteReader(Reader):
    """GLM-4V-9B's own `ChatGLMForConditionalGeneration` and tokenizer."""

    can_batch = True
    warms_up = True
    signals = ("pixels", "question")
    compresses_cache = True
    reads_text = True
    teaches = True

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        self.model = parts.model
        self.tokenizer = parts.tokenizer
        self.max_new_tokens = config.max_new_tokens
        self.answer_after = config.answer_after
        generation = self.model.generation_config
        penalty = config.repetition_penalty
        self.penalty = float(generation.repetition_penalty or 1 if penalty is None else penalty)
        own = self.model.config
        side = int(own.vision_config["image_size"]) // int(own.vision_config["patch_size"]) // 2
        self.grid = (side, side)
        self.ends = end_tokens(self.model).to(self.device)
        if config.context is not None and config.context > own.seq_length:
            allowed = f"at most {own.seq_length} for these weights"
            raise UserError(fault("model.context", config.context, allowed))
        self.context = int(config.context or own.seq_length)
        self._ends_of_image: tuple[Tensor, Tensor] | None = None

    @property
    def generation(self) -> Mapping[str, Any]:
        """What `decode` goes by; the remote code's own `generate` is not used."""
        return {
            "do_sample": False,
            "max_new_tokens": self.max_new_tokens,
            "repetition_penalty": self.penalty,
            "eos_token_id": self.ends.tolist(),
        }

    def warm_up(self, request: Request) -> None:
        """Prefill and a few steps."""
        with torch.inference_mode():
            few = min(WARM_UP_TOKENS, self.max_new_tokens)
            self._decode([request], [self.prompt(request)], few)

    def _decode(self, requests: Sequence[Request], rows: Sequence[Row], steps: int) -> Decoded:
        compressor, budget = requests[0].compressor, requests[0].cache_budget
        return decode(self.model, rows, self.ends, self.penalty, steps, compressor, budget)

    @classmethod
    def load(cls, config: ModelConfig) -> Glm4vRemoteReader:
        """Load `config.path`.

        Raises UserError without consent to run its code, before anything is fetched or run, and
        see `load_remote`.
        """
        return cls(load_remote(config), config)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(self.model.device)

    def encode(
        self,
        pages: Sequence[Pixels],
        signals: Sequence[Signal] = (),
        chooser: Chooser | None = None,
    ) -> list[VisionTokens]:
        """The one page's tokens. Raises UserError for any other number of pages."""
        _one_page(len(pages))
        with torch.inference_mode():
            images = self._chat("", pages[0])["images"].to(self.device)
            marked = self._encode(images)
        self._ends_of_image = (marked[:1].clone(), marked[-1:].clone())
        found: dict[Signal, Tensor] = {}
        if "pixels" in signals:
            whole = denormalised(images[0], CLIP_MEAN, CLIP_STD, 1 / 255)
            found["pixels"] = grid_pixels(whole, self.grid)
        return [VisionTokens(marked[1:-1], self.grid, signals=found)]

    def question_embeddings(self, question: str) -> Tensor:
        """Without the chat template and special tokens."""
        return question_words(self.model, self.tokenizer, question)

    def text_ids(self, text: str) -> Tensor:
        """See `Reader`."""
        return tokens_of(self.tokenizer, text)

    def _encode(self, images: Tensor) -> Tensor:
        """Tokens of a page between the markers, [1 + rows * columns + 1, channels]."""
        marked: Tensor = self.model.transformer.vision(images.to(self.model.dtype))[0]
        expected = self.grid[0] * self.grid[1] + 2
        if len(marked) != expected:
            raise UserError(
                f"model.path: its image encoder gave {len(marked)} vectors, allowed: {expected} "
                f"({self.grid[0]} x {self.grid[1]} tokens and two markers)"
            )
        return marked

    def _chat(self, question: str, page: Pixels) -> Any:
        """What the family's tokenizer makes of a page and a question."""
        from PIL import Image

        image = Image.fromarray(page).convert("RGB")
        return self.tokenizer.apply_chat_template(
            [{"role": "user", "image": image, "content": question}],
            add_generation_prompt=True,
            tokenize=True,
            return_tensors="pt",
            return_dict=True,
        )

    def prompt(self, request: Request) -> Row:
        """The shortened sequence of a request.

        Raises UserError for tokens that do not fit, and beyond the model's context.
        """
        if request.text is not None:
            return self._text_prompt(request.question, request.text)
        _one_page(len(request.vision))
        check_tokens(request.vision, self.model.config.hidden_size, 0)
        (page,) = request.vision
        if page.grid != self.grid:
            raise UserError(f"page 1: got grid {page.grid}, allowed: {self.grid}")
        text = self._text_ids(request.question)
        begin = int((text == self.model.config.boi_token_id).nonzero()[0])
        repeats = torch.ones_like(text)
        repeats[begin + 1] = len(page.kept)
        ids = text.repeat_interleave(repeats)
        self._check_length(len(ids))
        first, last = self._markers()
        vision = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        vision[begin + 1 : begin + 1 + len(page.kept)] = True
        return Row(
            ids=ids,
            positions=torch.arange(len(text), device=text.device).repeat_interleave(repeats),
            inside=slice(begin, begin + len(page.kept) + 2),
            vision=vision,
            features=torch.cat([first, page.features.to(first), last]),
            history=text,
            end=begin + len(page.kept) + 2,
            vision_in=self.grid[0] * self.grid[1],
        )

    def _text_prompt(self, question: str, text: Tensor) -> Row:
        """The same chat with a text where page and markers would be."""
        chat = self._text_ids(SEPARATOR + question)
        begin = int((chat == self.model.config.boi_token_id).nonzero()[0])
        ids = torch.cat([chat[:begin], text.to(chat), chat[begin + 3 :]])
        check_text(text, self.tokenizer, self.model.config.boi_token_id)
        self._check_length(len(ids))
        positions = torch.arange(len(ids), device=ids.device)
        end = begin + len(text)
        return Row(
            ids=ids,
            positions=positions,
            inside=slice(0, 0),
            vision=(positions >= begin) & (positions < end),
            features=torch.empty(0, self.model.config.hidden_size, device=ids.device),
            history=ids,
            end=end,
            vision_in=0,
        )

    def _check_length(self, length: int) -> None:
        if length + self.max_new_tokens > self.context:
            raise UserError(
                f"sample: needs {length} prompt and {self.max_new_tokens} new tokens, "
                f"allowed: at most {self.context} in all (the model's context)"
            )

    def _markers(self) -> tuple[Tensor, Tensor]:
        """The two vectors [1, channels] the encoder puts around the tokens of any page."""
        if self._ends_of_image is None:
            blank = self._chat("", np.zeros((1, 1), np.uint8))["images"]
            with torch.no_grad():
                marked = self._encode(blank.to(self.device))
            self._ends_of_image = (marked[:1].clone(), marked[-1:].clone())
        return self._ends_of_image

    def _text_ids(self, question: str) -> Tensor:
        """Ids [text] of the family's prompt: begin marker, one placeholder, end marker."""
        # The page does not matter here; a small one is quick to resize.
        ids = torch.as_tensor(self._chat(question, np.zeros((1, 1), np.uint8))["input_ids"])[0]
        own = self.model.config
        begin, end = ((ids == n).nonzero()[:, 0] for n in (own.boi_token_id, own.eoi_token_id))
        if len(begin) != 1 or len(end) != 1 or int(end[0] - begin[0]) != 2:
            raise UserError(
                "question: must not contain the markers of an image; the prompt has "
                f"{len(begin)} of {own.boi_token_id} and {len(end)} of {own.eoi_token_id}"
            )
        return ids.to(self.device)

    def prompt_tokens(self, request: Request) -> int | None:
        """Length of the sequence the decoder would see."""
        if request.text is not None:
            return len(self._text_ids(SEPARATOR + request.question)) - 3 + len(request.text)
        kept = sum(len(page.kept) for page in request.vision)
        return len(self._text_ids(request.question)) - 1 + kept

    def check_compressor(self, compressor: CacheCompressor) -> None:
        """Raises UserError for one that looks into layers: theirs is foreign code."""
        if compressor.queries or compressor.all_layers or compressor.library is not None:
            allowed = "methods that look at keys and values of one layer"
            raise UserError(fault("compressor", type(compressor).__name__, allowed))

    def answer(self, question: str, vision: Sequence[CompressedTokens]) -> Answer:
        """Greedy answer over the kept tokens."""
        return self.answer_batch([Request(question, vision)])[0]

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer]:
        """Greedy answers of all requests at once, padded on the left."""
        if not requests:
            return []
        with torch.inference_mode():
            rows = [self.prompt(request) for request in requests]
            decoded = self._decode(requests, rows, self.max_new_tokens)
        return [answer_of(self, number, rows, decoded) for number in range(len(rows))]

    def teach(self, exercises: Sequence[Exercise], states: bool = False) -> Taught:
        """One sequence a question, see `forward_teaching.teach`.

        Raises UserError where states of layers are wanted: they are foreign code.
        """
        if states:
            allowed = "a family of transformers' own code where states of layers are wanted"
            raise UserError(fault("model.family", "glm4v_remote", allowed))
        return teach(self, exercises)


def _one_page(count: int) -> None:
    if count != 1:
        raise UserError(
            f"sample: got {count} pages, allowed: exactly 1 (GLM-4V-9B reads one image a prompt); "
            "take shorter samples or a layout with more text on a page"
        )
