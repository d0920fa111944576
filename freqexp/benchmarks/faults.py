"""What can be wrong with an MRCR question: faults that are said and counted, not refused.

About 10 % of the samples that openai/mrcr held before 2025-12-05 have more equal requests than they
say, so that a right answer may be graded as a wrong one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from freqexp.nouns.sample import Sample, Turn

FAULTS = {
    "no_reply": "the wanted reply does not answer the asked request in the conversation",
    "other_count": "the request stands there more or less often than n_needles says",
    "other_place": "the wanted reply is not the one that the question counts to",
    "repeated": "the same sample stands before it in the data",
}

_QUESTION = re.compile(
    r"to the (\d{1,9})(?:st|nd|rd|th) \(1 indexed\) (.+?)\. Do not include", re.DOTALL
)
_END = " \n\t.!?"


def sample_faults(sample: Sample) -> dict[str, str]:
    """The faults of one sample, by their names in `FAULTS`, each with what was found.

    The asked request is the user message before the wanted reply, so that it need not be worded as
    in openai/mrcr; a question that is worded so must ask for it, too. "repeated" is never among
    them: that takes several samples.
    """
    turns = sample.turns
    expected = sample.answer.removeprefix(sample.prefix).strip()
    asked = _QUESTION.search(sample.question)
    replies = [n for n, turn in enumerate(turns) if turn.assistant.strip() == expected]
    found = [n for n in replies if asked is None or _asks(turns[n], asked[2])]
    if not found:
        what = "answers another request" if replies else "is nowhere in the conversation"
        return {"no_reply": f"the wanted reply {what}"}
    request = _request(turns, found[0])
    equal = [n for n in range(len(turns)) if _is(turns, n, request)]
    faults = {}
    if len(equal) != sample.needles:
        said = f"n_needles says {sample.needles}"
        faults["other_count"] = f"{request[-60:]!r} is asked {len(equal)} times, {said}"
    place = int(asked[1]) if asked is not None else None
    if place is not None and not set(found) & set(equal[place - 1 : place]):
        number = equal.index(found[0]) + 1
        faults["other_place"] = f"the wanted reply is number {number}, asked for is number {place}"
    return faults


def count_faults(samples: Iterable[Sample]) -> dict[str, int]:
    """How many samples there are, how many have a fault, and how many have each."""
    counts = Counter({"samples": 0, "faulty": 0, **dict.fromkeys(FAULTS, 0)})
    for _, faults in faults_of(samples):
        counts.update(["samples", *(["faulty"] if faults else []), *faults])
    return dict(counts)


def faults_of(samples: Iterable[Sample]) -> Iterator[tuple[Sample, dict[str, str]]]:
    """Each sample with its faults, "repeated" among them."""
    seen = set()
    for sample in samples:
        said = hash((sample.question, sample.answer, sample.turns))  # a text may be megabytes
        repeated = {"repeated": FAULTS["repeated"]} if said in seen else {}
        seen.add(said)
        yield sample, {**sample_faults(sample), **repeated}


def _asks(turn: Turn, named: str) -> bool:
    """Whether a user message is a request for `named`: "Write a poem." is one for "poem"."""
    return turn.user.casefold().rstrip(_END).endswith(named.casefold().rstrip(_END))


def _is(turns: tuple[Turn, ...], number: int, request: str) -> bool:
    """Whether a turn's user message is `request`. In the first one examples may stand before it."""
    text = turns[number].user.strip()
    return text == request or (number == 0 and text.endswith("\n" + request))


def _request(turns: tuple[Turn, ...], number: int) -> str:
    """What the user asked for in a turn. In the first one, after examples: what is asked again,
    else its last line.
    """
    text = turns[number].user.strip()
    if number:
        return text
    again = {turn.user.strip() for turn in turns[1:]}
    equal = (request for request in again if request and _is(turns, 0, request))
    return max(equal, key=len, default=text.rpartition("\n")[2])
