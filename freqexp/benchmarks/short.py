"""The short form of MRCR: conversations of a few one-sentence turns, for readers of a few small
pages.

Same questions, same grader, same counting of repeated requests as MRCR; requests lose their "write
a" and replies are one
sentence. Requests have even length and replies too, so that they fill whole two-character cells.
"""

from __future__ import annotations

import random
import string

from freqexp.benchmarks.text import short_sentences
from freqexp.nouns.sample import Sample, Turn

KINDS = tuple(
    [
        "poem",
        "song",
        "joke",
        "tale",
        "note",
        "memo",
        "riddle",
        "letter",
        "speech",
        "ballad",
        "recipe",
        "review",
        "sonnet",
        "legend",
    ]
)
TOPICS = tuple(
    [
        "bears",
        "birds",
        "boats",
        "books",
        "bread",
        "chess",
        "crabs",
        "crows",
        "dance",
        "doors",
        "drums",
        "ducks",
        "farms",
        "foxes",
        "frogs",
        "goats",
        "honey",
        "kites",
        "lakes",
        "lions",
        "magic",
        "money",
        "music",
        "ocean",
        "paint",
        "pizza",
        "roads",
        "roses",
        "sheep",
        "ships",
        "stars",
        "sugar",
        "swans",
        "trees",
        "whale",
        "winds",
        "anchors",
        "bridges",
        "candles",
        "castles",
        "cookies",
        "dragons",
        "flowers",
        "gardens",
        "islands",
        "mirrors",
        "penguin",
        "pirates",
        "planets",
        "rabbits",
        "rockets",
        "spiders",
        "turtles",
        "violins",
    ]
)
TURNS = {2: 6, 4: 8, 8: 12}
ORDINALS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th")
PREFIX_ALPHABET = string.ascii_lowercase + string.digits
PREFIX_LENGTH = 10
NEAR = 0.5


def question_text(prefix: str, ordinal: int, request: str) -> str:
    """MRCR's own wording; `ordinal` counts from 1."""
    return (
        f"Prepend {prefix} to the {ORDINALS[ordinal - 1]} (1 indexed) {request}. "
        "Do not include any other text in your response."
    )


def draw_requests(
    rng: random.Random, needles: int, turns: int, near: float = NEAR
) -> tuple[list[str], str]:
    """A shuffled list of `turns` requests, and the one that stands in it exactly `needles` times.

    near: share of the other requests, in [0, 1], that take over the needle's kind or its topic,
    each as often; the rest are drawn blindly.
    """
    kind, topic = rng.choice(KINDS), rng.choice(TOPICS)
    needle = f"{kind} about {topic}"
    requests = [needle] * needles
    while len(requests) < turns:
        drawn = rng.random()
        other_kind = kind if drawn < near / 2 else rng.choice(KINDS)
        other_topic = topic if drawn >= 1 - near / 2 else rng.choice(TOPICS)
        other = f"{other_kind} about {other_topic}"
        if other != needle:
            requests.append(other)
    rng.shuffle(requests)
    return requests, needle


def draw_prefix(rng: random.Random) -> str:
    """Ten random characters the answer must start with."""
    return "".join(rng.choices(PREFIX_ALPHABET, k=PREFIX_LENGTH))


def short_sample(
    rng: random.Random,
    needles: int,
    split: str,
    turns: int | None = None,
    near: float = NEAR,
    sample_id: str = "",
) -> Sample:
    """One short sample; `near` as in `draw_requests`. Raises ValueError when `turns` can't hold the
    needles.
    """
    count = TURNS[needles] if turns is None else turns
    if count < needles:
        raise ValueError(f"turns: got {count}, allowed: at least the {needles} needles")
    requests, needle = draw_requests(rng, needles, count, near)
    replies = rng.sample(short_sentences(split), count)
    conversation = tuple(
        Turn(request, reply) for request, reply in zip(requests, replies, strict=True)
    )
    ordinal = rng.randint(1, needles)
    matching = [turn.assistant for turn in conversation if turn.user == needle]
    prefix = draw_prefix(rng)
    return Sample(
        sample_id=sample_id,
        needles=needles,
        bucket="short",
        turns=conversation,
        question=question_text(prefix, ordinal, needle),
        answer=prefix + matching[ordinal - 1],
        prefix=prefix,
    )
