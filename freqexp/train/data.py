"""Training conversations as token sequences, with what each part of the decoder should look at."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from freqexp.benchmarks.short import KINDS, ORDINALS, TOPICS, draw_prefix, draw_requests
from freqexp.benchmarks.text import short_sentences
from freqexp.nouns.sample import Turn
from freqexp.pages.cells import USER_MARK, CellsRenderer, wrap
from freqexp.train.tokenizer import ALPHABET, vocabulary

Ints = npt.NDArray[np.int64]
SYMBOL = {character: i for i, character in enumerate(ALPHABET)}


@dataclass
class Example:
    """One conversation on pages with several questions, each hidden from the others.

    ids, positions [3, length], block (0: shared by all; k: question k), labels (-100: not trained)
    are aligned;
    symbols: [pages, rows, columns, 2] characters of every vision token; image_at: index of each
    vision token.
    looks: head name -> list of (query index, key indices).  ordinal: list of (index, how many-th
    such turn).
    first: where the first token of each reply is predicted.
    request: list of (index, kind, topic) of tokens that have seen a whole request.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    symbols: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    image_at: list[int] = field(default_factory=list)
    looks: dict[str, list[tuple[int, list[int]]]] = field(default_factory=dict)
    ordinal: list[tuple[int, int]] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    request: list[tuple[int, int, int]] = field(default_factory=list)

    def look(self, head: str, query: int, keys: list[int]) -> None:
        """Note that `head` should look from `query` at `keys`, evenly."""
        self.looks.setdefault(head, []).append((query, keys))


class ExampleMaker:
    """Draws training examples. Everything random comes from the `rng` given to `make`."""

    def __init__(self, renderer: CellsRenderer, split: str = "train") -> None:
        self.renderer = renderer
        self.texts = short_sentences(split)
        self.vocabulary = vocabulary()
        self.rows = renderer.rows
        self.columns = renderer.columns // 2

    def pairs(self, text: str) -> list[int]:
        """Token ids of a text of even length, two characters each."""
        return [self.vocabulary[text[i : i + 2]] for i in range(0, len(text), 2)]

    def make(self, rng: random.Random, needles: int, turns: int, questions: int) -> Example:
        """A conversation of `turns`, its needle `needles` times; half the questions ask for a
        needle.
        """
        requests, needle = draw_requests(rng, needles, turns)
        replies = rng.sample(self.texts, turns)
        conversation = [Turn(a, b) for a, b in zip(requests, replies, strict=True)]
        example = Example()
        spans = self._pages(example, conversation)
        start = example.positions[-1][0] + 1
        counts = _ordinals(requests)
        wanted = [i for i, request in enumerate(requests) if request == needle]
        chosen = rng.sample(wanted, min(len(wanted), (questions + 1) // 2))
        chosen += rng.sample(range(turns), min(questions - len(chosen), turns))
        for k, index in enumerate(chosen, start=1):
            self._question(example, rng, conversation[index], counts[index], spans[index], start, k)
        return example

    def _pages(self, example: Example, turns: list[Turn]) -> list[list[int]]:
        """Lay the pages down; for each turn the indices of its reply's tokens and of the next."""
        word = self.vocabulary
        example.ids.append(word["<|user|>"])
        example.positions.append((0, 0, 0))
        layout = self.renderer.layout(turns)
        symbols = np.full((len(layout), self.rows, self.columns, 2), SYMBOL[" "], np.int64)
        place: list[list[int]] = []
        for page, lines in enumerate(layout):
            for r, line in enumerate(lines):
                cells = [SYMBOL[c] for c in line.ljust(2 * self.columns)]
                symbols[page, r] = np.array(cells).reshape(self.columns, 2)
            place += self._page(example)[: len(lines)]
        example.symbols = symbols
        example.block = [0] * len(example.ids)
        example.labels = [-100] * len(example.ids)
        self._look_back(example, 1, len(example.ids))
        return self._replies(example, turns, place)

    def _page(self, example: Example) -> list[list[int]]:
        """Add one page's tokens; their indices by row."""
        word = self.vocabulary
        start = max(example.positions[-1]) + 2
        at = len(example.ids) + 1
        size = self.rows * self.columns
        end = start + max(self.rows, self.columns)
        image = [word["<|image|>"]] * size
        example.ids += [word["<|begin_of_image|>"], *image, word["<|end_of_image|>"]]
        example.positions.append((start - 1, start - 1, start - 1))
        example.positions += [
            (start, start + r, start + c) for r in range(self.rows) for c in range(self.columns)
        ]
        example.positions.append((end, end, end))
        example.image_at += range(at, at + size)
        return [
            list(range(at + r * self.columns, at + (r + 1) * self.columns))
            for r in range(self.rows)
        ]

    def _replies(
        self, example: Example, turns: list[Turn], place: list[list[int]]
    ) -> list[list[int]]:
        """Note what to look at in each turn; `place` holds the indices of every drawn row."""
        spans, row = [], 0
        seen: dict[str, list[int]] = {}
        for turn in turns:
            header = place[row][1 : (len(USER_MARK + turn.user) + 1) // 2]
            drawn = len(wrap(turn.assistant, 2 * self.columns))
            tokens = [token for line in place[row + 1 : row + 1 + drawn] for token in line]
            reply = tokens[: (len(turn.assistant) + 1) // 2]
            self._look_at_request(example, reply[0], turn.user, header)
            same = seen.setdefault(turn.user, [])
            same.append(reply[0])
            example.look("count", reply[0], [0, *same])
            example.ordinal.append((reply[0], len(same) - 1))
            for token in reply:
                example.look("segment", token, [reply[0]])
            spans.append([*reply, reply[-1] + 1])
            row += 1 + drawn
        return spans

    def _look_back(self, example: Example, start: int, stop: int) -> None:
        """Every token of [start, stop) looks at the one before it and the one before that."""
        for token in range(start, stop):
            example.look("previous", token, [token - 1])
            if token > start:
                example.look("before", token, [token - 2])

    def _look_at_request(
        self, example: Example, query: int, request: str, tokens: list[int]
    ) -> None:
        """`query` gathers the kind and, in another head, the topic that `tokens` spell."""
        kind, topic = request.split(" about ")
        example.request.append((query, KINDS.index(kind), TOPICS.index(topic)))
        example.look("kind", query, tokens[: len(kind) // 2])
        example.look("topic", query, tokens[(len(kind) + len(" about ")) // 2 :])

    def _question(
        self,
        example: Example,
        rng: random.Random,
        turn: Turn,
        ordinal: int,
        span: list[int],
        start: int,
        block: int,
    ) -> None:
        """Add one question and its answer; `span` holds what the reply's tokens are copied from."""
        prefix = draw_prefix(rng)
        prefix_ids, request_ids, reply_ids = map(self.pairs, (prefix, turn.user, turn.assistant))
        word = self.vocabulary
        question = [
            word["Prepend "],
            *prefix_ids,
            word[f" to the {ORDINALS[ordinal - 1]} (1 indexed) "],
            *request_ids,
            word[". Do not include any other text in your response."],
            word["<|assistant|>"],
        ]
        answer = [*prefix_ids, *reply_ids, word["<|endoftext|>"]]
        at = len(example.ids)
        first = at + len(question) - 1
        end = first + len(answer)
        example.ids += question + answer[:-1]
        example.labels += [-100] * (len(question) - 1) + answer
        example.block += [block] * (end - at)
        example.positions += [(start + i, start + i, start + i) for i in range(end - at)]
        ask_prefix = list(range(at + 1, at + 1 + len(prefix_ids)))
        number = ask_prefix[-1] + 1
        request = list(range(number + 1, number + 1 + len(request_ids)))
        stop = request[-1] + 1
        self._look_at_request(example, stop, turn.user, request)
        example.look("number", stop, [number])
        for token in range(first, end):
            example.look("question", token, [stop])
            example.look("find", token, [span[0]])
        self._look_back(example, at + 1, end)
        example.first.append(first + len(prefix_ids))
        sources = [*ask_prefix, *span]
        assert len(sources) == len(answer)
        for step, source in enumerate(sources):
            example.look("copy", first + step, [source])
        for step, source in enumerate([*ask_prefix, number]):
            example.look("induct", first + step, [source])


def _ordinals(requests: list[str]) -> list[int]:
    seen: Counter[str] = Counter()
    result = []
    for request in requests:
        seen[request] += 1
        result.append(seen[request])
    return result
