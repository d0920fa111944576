"""The options of generated samples: how near the other requests are, and what replies say."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from freqexp.benchmarks import long
from freqexp.benchmarks.generate import generate
from freqexp.benchmarks.text import SHORT_ALPHABET, short_sentences
from freqexp.nouns.sample import Sample

# The first two of each, drawn before `near` and `text` were options.
FIRST_IDS = {
    ("short", 2): ["mrcr-dfe0ead13fd997ee", "mrcr-1e0602f0957a754d"],
    ("short", 4): ["mrcr-925fded6059e08ee", "mrcr-1df528b42c1fb444"],
    ("short", 8): ["mrcr-cfc19147d6ff3f30", "mrcr-677af04c9e64af34"],
    ("long", 2): ["mrcr-7fa51488eb1f5655", "mrcr-c0afb7844c6b7ecd"],
    ("long", 4): ["mrcr-3ef65d1506aa1e0a", "mrcr-b7bd06962a2820a3"],
    ("long", 8): ["mrcr-fdcefac69e19db84", "mrcr-4e57d52646a07636"],
}
RANDOM_REPLIES = ["Whxchslx fxdjle 3 lb l qrdzf ryoj.", "Kxtlnusz wuavud 89 yc h btpib kpmb."]


def shares(sample: Sample) -> list[int]:
    """How many of kind and topic each request but the needle has in common with it."""
    needle = sample.question.split("(1 indexed) ")[1].split(". Do not")[0]
    others = [turn.user.removeprefix("write a ") for turn in sample.turns]
    pairs = [other.split(" about ") for other in others if other != needle]
    return [sum(map(str.__eq__, pair, needle.split(" about "))) for pair in pairs]


@pytest.mark.parametrize("form", ["short", "long"])
def test_near_is_the_share_of_requests_like_the_needle(form: str) -> None:
    found = {
        near: [n for s in generate(2, 20, 0, form, 22, near=near) for n in shares(s)]
        for near in (0.0, 0.5, 1.0)
    }
    assert all(len(counts) == 400 for counts in found.values())
    assert set(found[1.0]) == {1}
    # A blind draw shares a kind or a topic about once in ten.
    assert sum(found[0.0]) < 60
    assert 190 < sum(found[0.5]) < 260


@pytest.mark.parametrize("form", ["short", "long"])
def test_near_requests_share_the_kind_as_often_as_the_topic(form: str) -> None:
    kinds = topics = 0
    for sample in generate(2, 20, 0, form, 22, near=1):
        needle = sample.question.split("(1 indexed) ")[1].split(". Do not")[0]
        for turn in sample.turns:
            kind, topic = turn.user.removeprefix("write a ").split(" about ")
            kinds += needle.startswith(f"{kind} ") and not needle.endswith(f" {topic}")
            topics += needle.endswith(f" {topic}") and not needle.startswith(f"{kind} ")
    assert kinds + topics == 400
    assert 160 < kinds < 240


@pytest.mark.parametrize(("form", "needles"), FIRST_IDS)
def test_the_usual_samples_are_those_of_earlier_versions(form: str, needles: int) -> None:
    usual = generate(needles, 2, 0, form)
    assert [sample.sample_id for sample in usual] == FIRST_IDS[form, needles]
    assert generate(needles, 2, 0, form, near=0.5, text="english") == usual
    assert generate(needles, 2, 0, form, near=0.75) != usual


def layout(text: str) -> str:
    """`text` with what `random_letters` draws anew replaced by a class of characters."""
    for one, letters in (("a", "[a-z]"), ("A", "[A-Z]"), ("0", "[0-9]")):
        text = re.sub(letters, one, text)
    return text


@pytest.mark.parametrize("near", [0.5, 1.0])
@pytest.mark.parametrize("form", ["short", "long"])
def test_random_letters_change_replies_and_nothing_else(form: str, near: float) -> None:
    english = generate(4, 5, 0, form, near=near)
    drawn = generate(4, 5, 0, form, near=near, text="random")
    for before, after in zip(english, drawn, strict=True):
        assert (after.question, after.prefix) == (before.question, before.prefix)
        assert [turn.user for turn in after.turns] == [turn.user for turn in before.turns]
        for old, new in zip(before.turns, after.turns, strict=True):
            assert old.assistant != new.assistant
            assert layout(old.assistant) == layout(new.assistant)
        place = [turn.assistant for turn in before.turns].index(before.answer[10:])
        assert after.answer == after.prefix + after.turns[place].assistant
        assert after.sample_id != before.sample_id


def test_random_letters_of_the_short_form_fit_the_small_reader() -> None:
    replies = [t.assistant for s in generate(8, 20, 0, "short", text="random") for t in s.turns]
    assert all(len(r) % 2 == 0 and SHORT_ALPHABET.issuperset(r) for r in replies)
    assert not set(replies) & set(short_sentences("eval"))
    # Evenly drawn: in English an "e" is a hundred times as frequent as a "z".
    letters = Counter("".join(replies)) - Counter(dict.fromkeys(" .,?!'", 10**9))
    assert len(letters) == 26
    assert max(letters.values()) < 2 * min(letters.values())


def test_random_letters_are_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tuple(f"Sentence number {n} of a fixed text." for n in range(50))
    monkeypatch.setattr(long, "_pool", lambda split: pool)
    (sample,) = generate(2, 1, 7, "long", turns=2, target_chars=100, text="random")
    assert [turn.assistant for turn in sample.turns] == RANDOM_REPLIES
