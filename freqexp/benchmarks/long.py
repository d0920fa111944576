"""MRCR's own form, generated: requests such as "write a poem about tapirs", replies of real
sentences, any length.

Without MRCR's examples before the conversation. Only `random.Random.random` is drawn from: Python
promises the same sequence of it for the same seed in every version.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import TypeVar

from freqexp.benchmarks.short import NEAR, PREFIX_ALPHABET, PREFIX_LENGTH, question_text
from freqexp.benchmarks.text import sentences
from freqexp.nouns.sample import Sample, Turn

DEFAULT_CHARS = 20_000
REPLY_CHARS = 1_200
SENTENCE_CHARS = (20, 240)

# What stands between two sentences, and how many make a stanza or paragraph.
LAYOUTS = {
    "poem": ("\n", 4),
    "song": ("\n", 4),
    "short story": (" ", 5),
    "blog post": (" ", 4),
    "news article": (" ", 3),
    "formal speech": (" ", 6),
    "letter": (" ", 4),
    "product review": (" ", 8),
    "riddle": ("\n", 8),
    "social media post": (" ", 2),
}
KINDS = tuple(LAYOUTS)
_TOPICS = """
tapirs otters badgers falcons herons lemurs walruses beetles dolphins sparrows tortoises camels
moths glaciers volcanoes deserts harbours meadows waterfalls caves comets eclipses thunderstorms
tides fog pianos violins trumpets lanterns umbrellas compasses clocks bicycles trains
lighthouses windmills bridges libraries markets kitchens gardens attics museums playgrounds
airports barns greenhouses theatres bakers sailors teachers astronauts gardeners detectives
painters carpenters nurses beekeepers neighbours pancakes olives mushrooms noodles lemons
pumpkins walnuts coffee chocolate soup bread chess marathons puzzles kites snowmen birthdays
dreams secrets promises holidays letters maps mirrors shadows candles buttons shoelaces pencils
telescopes magnets robots batteries satellites
"""
TOPICS = tuple(_TOPICS.split())

_Item = TypeVar("_Item")


def _pick(rng: random.Random, items: Sequence[_Item]) -> _Item:
    return items[int(rng.random() * len(items))]


def _shuffle(rng: random.Random, items: list[_Item]) -> None:
    for last in range(len(items) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        items[last], items[other] = items[other], items[last]


@functools.lru_cache(maxsize=2)
def _pool(split: str) -> tuple[str, ...]:
    """Whole sentences of a split, closed by a full stop where they end in a letter or a digit."""
    low, high = SENTENCE_CHARS
    usable = (s for s in sentences(split) if low <= len(s) <= high and len(s.split()) >= 4)
    return tuple(s + "." if s[-1].isalnum() else s for s in usable)


def _requests(rng: random.Random, needles: int, turns: int, near: float) -> list[tuple[str, str]]:
    """A shuffled list of `turns` (kind, topic), one of them in it exactly `needles` times, and that
    one last.

    near: share of the others, in [0, 1], that take over its kind or its topic, each as often.
    Above 0 the first two do, where there is room for two.
    """
    needle = (_pick(rng, KINDS), _pick(rng, TOPICS))
    others: list[tuple[str, str]] = []
    while len(others) < turns - needles:
        drawn = (0.0, near / 2)[len(others)] if len(others) < 2 else rng.random()
        kind = needle[0] if drawn < near / 2 else _pick(rng, KINDS)
        topic = needle[1] if near / 2 <= drawn < near else _pick(rng, TOPICS)
        if (kind, topic) != needle:
            others.append((kind, topic))
    requests = [needle] * needles + others
    _shuffle(rng, requests)
    return [*requests, needle]


def _reply(rng: random.Random, kind: str, chars: float, pool: Sequence[str], used: set[str]) -> str:
    """At least `chars` characters of whole sentences, unlike every text in `used`."""
    separator, block = LAYOUTS[kind]
    text = _pick(rng, pool)
    count = 1
    while len(text) < chars or text in used:
        text += ("\n\n" if count % block == 0 else separator) + _pick(rng, pool)
        count += 1
    return text


def _phrase(kind: str, topic: str) -> str:
    return f"{kind} about {topic}"


def long_sample(
    rng: random.Random,
    needles: int,
    split: str,
    turns: int | None = None,
    target_chars: int | None = None,
    near: float = NEAR,
) -> Sample:
    """One long sample, without id and bucket.

    turns: how many; None: as many as `target_chars` takes at about 1,200 characters each.
    target_chars: characters of all messages but the question; None: 20,000, or 1,200 a turn where
    `turns` is given. The length passes it by less than a sentence, unless it is too small for one
    sentence a reply.
    near: share of the other requests, in [0, 1], that share the needle's kind or its topic.
    Raises ValueError when `turns` can't hold the needles.
    """
    if target_chars is None:
        target_chars = DEFAULT_CHARS if turns is None else turns * REPLY_CHARS
    if turns is None:
        turns = max(2 * needles, round(target_chars / REPLY_CHARS))
    if turns < needles:
        raise ValueError(f"turns: got {turns}, allowed: at least the {needles} needles")
    *requests, needle = _requests(rng, needles, turns, near)
    pool, used = _pool(split), set[str]()
    left = target_chars - sum(len(f"write a {_phrase(*request)}") for request in requests)
    conversation = []
    for number, (kind, topic) in enumerate(requests, start=1):
        share = left / (turns - number + 1)
        spread = 1.0 if number == turns else 0.6 + 0.8 * rng.random()
        reply = _reply(rng, kind, share * spread, pool, used)
        used.add(reply)
        left -= len(reply)
        conversation.append(Turn(f"write a {_phrase(kind, topic)}", reply))
    ordinal = 1 + int(rng.random() * needles)
    matching = [turn for turn, asked in zip(conversation, requests, strict=True) if asked == needle]
    prefix = "".join(_pick(rng, PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
    return Sample(
        sample_id="",
        needles=needles,
        bucket="",
        turns=tuple(conversation),
        question=question_text(prefix, ordinal, _phrase(*needle)),
        answer=prefix + matching[ordinal - 1].assistant,
        prefix=prefix,
    )
