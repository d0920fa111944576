"""Real English sentences for generated conversations, split into disjoint train and eval texts.

Source: chitchat-dataset 0.9.0 (MIT), 7,168 real conversations shipped inside its wheel. The split
is a hash of a
sentence's letters, so that two sentences that differ only in case or punctuation never fall on
different sides.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import random
import re
import string
from pathlib import Path

from freqexp.errors import UserError

SPLITS = ("train", "eval", "fit", "held")
"""Two texts, train and eval; fit and held are the two parts of train, for what is trained further
and has to be watched on sentences of its own."""
TEXTS = ("english", "random")
EVAL_SHARE, HELD_SHARE = 0.1, 0.05
SHORT_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz .,?!'")
SHORT_LENGTHS = (20, 44)

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_UNWANTED = (
    *("hitler", "nazi", "fuck", "shit", "bitch", "nigg"),
    *("rape", "slut", "whore", "porn", "penis", "vagina"),
)
_ALPHABETS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_NOT_A_LETTER = re.compile(r"[^a-z]+")


def source_path() -> Path:
    """Path of the packaged text; UserError when the package is missing."""
    spec = importlib.util.find_spec("chitchat_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the text source is missing: pip install chitchat-dataset==0.9.0")
    return Path(spec.submodule_search_locations[0]) / "dataset.json"


def split_of(sentence: str) -> str:
    """'train' or 'eval', from the sentence's letters alone."""
    return "eval" if _in_part(_digest(sentence)[:4], EVAL_SHARE) else "train"


def sentences_in(text: str) -> list[str]:
    """The sentences that a reply was put together from."""
    return [part for part in map(str.strip, _SENTENCE_END.split(text)) if part]


def in_split(sentence: str, split: str) -> bool:
    """Whether a sentence is of one of SPLITS. Raises ValueError for any other name."""
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, allowed: {', '.join(SPLITS)}")
    if split in ("train", "eval") or split_of(sentence) == "eval":
        return split_of(sentence) == split
    held = _in_part(_digest(sentence)[4:8], HELD_SHARE)
    return held == (split == "held")


def is_evaluation(sentence: str) -> bool:
    """Whether a sentence is one of the split eval, up to case, marks and spaces."""
    return _letters(sentence) in _evaluation()


@functools.lru_cache(maxsize=1)
def _evaluation() -> frozenset[str]:
    return frozenset(map(_letters, sentences("eval")))


def _letters(sentence: str) -> str:
    return _NOT_A_LETTER.sub("", sentence.lower())


def _digest(sentence: str) -> bytes:
    return hashlib.sha256(_letters(sentence).encode()).digest()


def _in_part(digest: bytes, share: float) -> bool:
    return int.from_bytes(digest, "big") < share * 2**32


@functools.lru_cache(maxsize=1)
def _all_sentences() -> tuple[str, ...]:
    conversations = json.loads(source_path().read_text(encoding="utf-8"))
    found: dict[str, None] = {}
    for conversation in conversations.values():
        for group in conversation["messages"]:
            for message in group:
                for stripped in sentences_in(message["text"]):
                    usable = stripped.isascii() and stripped.isprintable()
                    lowered = stripped.lower()
                    # Word by word: one pattern of all of them takes four times as long.
                    if usable and not any(word in lowered for word in _UNWANTED):
                        found[stripped] = None
    return tuple(sorted(found))


@functools.lru_cache(maxsize=len(SPLITS))
def sentences(split: str) -> tuple[str, ...]:
    """Distinct ASCII sentences of one split, sorted."""
    return tuple(s for s in _all_sentences() if in_split(s, split))


@functools.lru_cache(maxsize=len(SPLITS))
def short_sentences(split: str) -> tuple[str, ...]:
    """Distinct lower-case sentences of 20 to 44 characters, at least four words, of one split,
    sorted.

    Even lengths only: a text cell of the tiny reader holds two characters, so an even sentence
    fills whole cells.
    """
    low, high = SHORT_LENGTHS
    lowered = {s.lower() for s in _all_sentences() if low <= len(s) <= high}
    return tuple(
        sorted(
            s
            for s in lowered
            if len(s) % 2 == 0
            and SHORT_ALPHABET.issuperset(s)
            and len(s.split()) >= 4
            and "  " not in s
            and in_split(s, split)
        )
    )


def random_letters(rng: random.Random, text: str) -> str:
    """`text` with each letter and digit replaced by one drawn evenly, in the same case.

    Spaces, line ends and marks stay, so the text is laid out as before and nothing of it can be
    guessed from English. Only `rng.random` is drawn from.
    """
    drawn = []
    for character in text:
        alphabet = next((a for a in _ALPHABETS if character in a), character)
        drawn.append(alphabet[int(rng.random() * len(alphabet))])
    return "".join(drawn)
