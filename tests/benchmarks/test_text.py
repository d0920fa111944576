"""The packaged sentences and their split."""

from __future__ import annotations

import re

import pytest

from freqexp.benchmarks.text import SHORT_ALPHABET, SPLITS, sentences, short_sentences, split_of


def letters(sentence: str) -> str:
    return re.sub("[^a-z]", "", sentence.lower())


@pytest.mark.parametrize("source", [sentences, short_sentences])
def test_train_and_eval_share_no_sentence(source: object) -> None:
    assert callable(source)
    train, evaluation, fit, held = ({letters(s) for s in source(split)} for split in SPLITS)
    assert evaluation
    # Neither case nor punctuation nor spacing makes a train sentence an eval one.
    assert not train & evaluation
    assert fit | held == train
    assert held
    assert not fit & held
    assert 0.03 < len(held) / len(train) < 0.07


def test_short_sentences_share_no_split_with_the_others() -> None:
    assert not {letters(s) for s in short_sentences("train")} & set(map(letters, sentences("eval")))
    assert not {letters(s) for s in short_sentences("eval")} & set(map(letters, sentences("train")))


@pytest.mark.parametrize(
    "variant", ["Hello, there!", "hello there", "HELLO THERE?", "Hel lo there"]
)
def test_split_looks_at_letters_alone(variant: str) -> None:
    assert split_of(variant) == split_of("hello there")


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_are_distinct_sorted_printable_ascii(split: str) -> None:
    found = sentences(split)
    assert list(found) == sorted(set(found))
    assert all(s.isascii() and s.isprintable() and s == s.strip() != "" for s in found)


@pytest.mark.parametrize("split", SPLITS)
def test_short_sentences_fit_the_small_reader(split: str) -> None:
    found = short_sentences(split)
    assert list(found) == sorted(set(found))
    assert all(len(s) % 2 == 0 and SHORT_ALPHABET.issuperset(s) for s in found)
    assert all(len(s.split()) >= 4 for s in found)


def test_eval_is_about_a_tenth() -> None:
    train, evaluation = len(sentences("train")), len(sentences("eval"))
    assert 0.08 < evaluation / (train + evaluation) < 0.12


@pytest.mark.parametrize("source", [sentences, short_sentences])
def test_unknown_split_is_refused(source: object) -> None:
    assert callable(source)
    with pytest.raises(ValueError, match="split: got 'test', allowed: train, eval"):
        source("test")
