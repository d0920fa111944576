"""What a score is made of: where a reply begins, how far it copies, whether it stops.

difflib's ratio punishes every character too many, so a reader that finds the right turn, copies its
beginning and then repeats itself to the length limit scores less than one that answers with any
other turn. The score alone can't tell the two apart; these parts can.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from difflib import SequenceMatcher

from freqexp.nouns.sample import Parts, Sample, Turn

SHARED = 0.25
"""At most this share of the other replies may begin as the wanted one does."""

UNIT_CHARS = 64
REPEATS = 4
REPEATED_CHARS = 16
"""Text ends in repeats when its last 16 characters or more are one unit of at most 64 characters
again and again, at least four times."""

ALIKE = 0.6
"""From this ratio on a reply is a copy. Of replies from other conversations about 1 % are so like
one of 6 turns and 2 % so like one of 12; at 0.5 it would be 8 and 15 % (`python -m bench.parts`).
"""
COMPARED_CHARS = 200
CANDIDATES = 8
PIECE_CHARS = 3
"""Which turn was copied is asked of beginnings of 200 characters, and of the 8 turns whose
beginning shares most pieces of 3 characters with the reply's: difflib takes quadratic time."""


def parts(answer: str, sample: Sample, similarity: float) -> Parts:
    """The parts of an answer's score, as `Parts` defines them. similarity: as in `Grade`."""
    wanted = sample.answer.removeprefix(sample.prefix)
    reply = answer.removeprefix(sample.prefix)
    others = [turn.assistant for turn in sample.turns if turn.assistant != wanted]
    right = chars = chance = None
    if answer.startswith(sample.prefix) and wanted.strip():
        chars, chance = start(wanted, others)
        right = reply.lstrip().startswith(wanted.lstrip()[:chars])
    cut = reply[: len(wanted)]
    copied = similarity if cut == reply else SequenceMatcher(None, cut, wanted).ratio()
    index = None if cut == wanted else copied_turn(reply, wanted, sample.turns)
    return Parts(
        right_place=right,
        place_chance=chance,
        place_chars=chars,
        copied_share=copied,
        repeats=ends_in_repeats(reply) and not ends_in_repeats(wanted),
        wrong_turn=index,
        wrong_needle=None if index is None else _is_needle(sample.turns, index, wanted),
    )


def derailed(found: Parts, truncated: bool, answer: str, expected: str) -> bool:
    """Whether copying went on without an end: the answer ends in repeats, or it ran into the length
    limit and is no shorter than the expected one (else the limit was too low for any answer).
    """
    return found.repeats or (truncated and len(answer) >= len(expected))


def start(wanted: str, others: Sequence[str]) -> tuple[int, float | None]:
    """The shortest beginning of `wanted` that at most a quarter of `others` share, in characters,
    and the share of them that begin so; None without others. Leading white space doesn't count.

    All of `wanted` where no beginning is so rare.
    """
    wanted = wanted.lstrip()
    if not others:
        return 1, None
    shared = [_shared(other.lstrip(), wanted) for other in others]
    # Of the shared beginnings sorted down, the first that only a quarter may reach.
    limit = sorted(shared, reverse=True)[int(SHARED * len(others))]
    chars = min(limit + 1, len(wanted))
    return chars, sum(length >= chars for length in shared) / len(others)


def _shared(one: str, other: str) -> int:
    """How many characters two texts share from their beginning."""
    differing = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def ends_in_repeats(text: str) -> bool:
    """Whether a text ends in one short unit again and again. Takes the same time for any length."""
    tail = text[-2 * REPEATS * UNIT_CHARS :].rstrip()
    for unit in range(1, UNIT_CHARS + 1):
        needed = max(REPEATS * unit, REPEATED_CHARS)
        if needed <= len(tail) and tail[-needed:-unit] == tail[unit - needed :]:
            return True
    return False


def copied_turn(reply: str, wanted: str, turns: Sequence[Turn]) -> int | None:
    """Index of the turn that `reply` is a copy of, where that is another than the wanted one: the
    most similar one, at least `ALIKE` and more so than the wanted one. None where there is none.

    Replies are compared by their first characters, `reply` cut at the other's length.
    """
    pieces = _pieces(reply, 1)
    found = {i: turn.assistant for i, turn in enumerate(turns) if turn.assistant != wanted}
    likely = list(found)
    if len(found) > CANDIDATES:
        shared = {i: len(pieces & _pieces(other, PIECE_CHARS)) for i, other in found.items()}
        likely = heapq.nlargest(CANDIDATES, found, key=lambda i: (shared[i], -i))
    highest, best = _ratio_above(reply, wanted, 0.0), None
    for index in likely:
        ratio = _ratio_above(reply, found[index], max(ALIKE, highest))
        if ratio >= ALIKE and ratio > highest:
            highest, best = ratio, index
    return best


def _pieces(text: str, step: int) -> set[str]:
    """Pieces of a beginning, from every `step`-th place: of two texts that share a passage it
    suffices to take all of one of them.
    """
    head = text[:COMPARED_CHARS]
    return {head[i : i + PIECE_CHARS] for i in range(0, len(head) - PIECE_CHARS + 1, step)}


def _ratio_above(reply: str, other: str, limit: float) -> float:
    """The ratio of two beginnings; 0 where a bound of it is below `limit`."""
    other = other[:COMPARED_CHARS]
    # Of so short texts no character is too frequent to be looked at.
    matcher = SequenceMatcher(None, reply[: len(other)], other, autojunk=False)
    for bound in (matcher.real_quick_ratio, matcher.quick_ratio):
        if bound() < limit:
            return 0.0
    return matcher.ratio()


def _is_needle(turns: Sequence[Turn], index: int, wanted: str) -> bool | None:
    """Whether a turn answers the wanted turn's request; None when no turn has the wanted reply."""
    asked = [turn.user for turn in turns if turn.assistant == wanted]
    return any(_same_request(turns[index].user, user) for user in asked) if asked else None


def _same_request(one: str, other: str) -> bool:
    """Whether two messages ask for the same. The first one of a conversation may hold more before
    its request: MRCR's examples.
    """
    short, long = sorted((one, other), key=len)
    rest = long.removesuffix(short)
    return long.endswith(short) and bool(short) and not rest[-1:].isalnum()
