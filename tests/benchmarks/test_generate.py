"""Generated MRCR samples, and the files they are saved to."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from freqexp.benchmarks import long
from freqexp.benchmarks.generate import generate, generator_hash, main, save
from freqexp.benchmarks.mrcr import grade, load_mrcr
from freqexp.benchmarks.rowfile import SUFFIXES
from freqexp.benchmarks.text import TEXTS, sentences
from freqexp.errors import ConfigError, UserError
from freqexp.nouns.sample import Sample

QUESTION = re.compile(
    r"Prepend (\S{10}) to the (\d)(?:st|nd|rd|th) \(1 indexed\) (.+)\. "
    r"Do not include any other text in your response\."
)


def asked(sample: Sample) -> tuple[int, str]:
    """(ordinal, request as a user makes it) of a long sample's question."""
    match = QUESTION.fullmatch(sample.question)
    assert match is not None
    assert match[1] == sample.prefix
    return int(match[2]), f"write a {match[3]}"


GOLDEN_IDS = ["mrcr-4611e99f49b438a1", "mrcr-7572363746e05baa"]


def characters(sample: Sample) -> int:
    return sum(len(turn.user) + len(turn.assistant) for turn in sample.turns)


@pytest.mark.parametrize("needles", [2, 4, 8])
def test_long_samples_hold_exactly_their_needles(needles: int) -> None:
    for sample in generate(needles, 10, 0, "long", target_chars=12_000):
        ordinal, request = asked(sample)
        matching = [turn.assistant for turn in sample.turns if turn.user == request]
        assert len(matching) == needles == sample.needles
        assert sample.answer == sample.prefix + matching[ordinal - 1]
        assert grade(sample.answer, sample).score == 1


def test_every_needle_is_asked_for() -> None:
    ordinals = Counter(asked(s)[0] for s in generate(8, 200, 0, "long", target_chars=2_000))
    assert sorted(ordinals) == list(range(1, 9))
    # 25 of each are expected; a binomial count lies outside 8..42 once in some thousand draws.
    assert all(8 <= count <= 42 for count in ordinals.values())


def test_distractors_share_the_kind_and_the_topic() -> None:
    for sample in generate(2, 10, 0, "long", target_chars=12_000):
        needle = asked(sample)[1].removeprefix("write a ").split(" about ")
        others = [turn.user.removeprefix("write a ").split(" about ") for turn in sample.turns]
        others = [pair for pair in others if pair != needle]
        assert any(kind == needle[0] for kind, _ in others)
        assert any(topic == needle[1] for _, topic in others)
        assert any(kind != needle[0] and topic != needle[1] for kind, topic in others)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("form", ["short", "long"])
def test_no_two_replies_are_equal(form: str, text: str) -> None:
    for sample in generate(8, 10, 0, form, turns=40, text=text):
        replies = [turn.assistant for turn in sample.turns]
        assert len(set(replies)) == len(replies) == 40


def test_more_turns_than_sentences_still_gives_distinct_replies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long, "_pool", lambda split: ("One sentence.", "Another sentence."))
    (sample,) = generate(2, 1, 0, "long", turns=50, target_chars=1)
    assert len({turn.assistant for turn in sample.turns}) == 50


@pytest.mark.parametrize("target", [5_000, 60_000, 1_000_000])
def test_length_passes_the_target_by_less_than_a_sentence(target: int) -> None:
    (sample,) = generate(2, 1, 0, "long", target_chars=target)
    assert target <= characters(sample) < target + long.SENTENCE_CHARS[1] + 2


def test_turns_and_length_can_be_chosen_together() -> None:
    (sample,) = generate(4, 1, 0, "long", turns=30, target_chars=9_000)
    assert len(sample.turns) == 30
    assert 9_000 <= characters(sample) < 9_300


def test_default_length() -> None:
    (sample,) = generate(2, 1, 0, "long")
    assert long.DEFAULT_CHARS <= characters(sample) < long.DEFAULT_CHARS + 300


@pytest.mark.parametrize("form", ["short", "long"])
def test_a_sample_does_not_depend_on_how_many_are_drawn(form: str) -> None:
    assert generate(2, 12, 5, form)[:4] == generate(2, 4, 5, form)


@pytest.mark.parametrize("form", ["short", "long"])
def test_seed_and_needles_change_every_sample(form: str) -> None:
    drawn = [
        sample.sample_id
        for needles, seed in ((2, 0), (2, 1), (4, 0))
        for sample in generate(needles, 4, seed, form)
    ]
    assert len(set(drawn)) == 12


@pytest.mark.parametrize("form", ["short", "long"])
def test_train_and_eval_samples_share_no_sentence(form: str) -> None:
    def said(split: str) -> set[str]:
        drawn = generate(2, 30, 0, form, split=split)
        replies = (turn.assistant for sample in drawn for turn in sample.turns)
        parts = (re.split(r"\n+|(?<=[.!?]) ", reply) for reply in replies)
        return {re.sub("[^a-z]", "", part.lower()) for split_up in parts for part in split_up}

    train, evaluation = said("train") - {""}, said("eval") - {""}
    assert len(train) > 100
    assert not train & evaluation


def test_replies_are_made_of_whole_sentences_of_the_split() -> None:
    known = {s + "." if s[-1].isalnum() else s for s in sentences("eval")}
    (sample,) = generate(2, 1, 0, "long", turns=40, target_chars=1)
    # One sentence a reply, because the target leaves no room for more.
    assert known.issuperset(turn.assistant for turn in sample.turns)


def test_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tuple(f"Sentence number {n} of a fixed text." for n in range(50))
    monkeypatch.setattr(long, "_pool", lambda split: pool)
    ids = [sample.sample_id for sample in generate(4, 2, 7, "long", target_chars=3_000)]
    assert ids == GOLDEN_IDS


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", ["short", "long"])
def test_saved_samples_load_as_the_same(tmp_path: Path, suffix: str, form: str) -> None:
    samples = generate(4, 5, 0, form)
    path = tmp_path / f"4needle{suffix}"
    save(samples, path)
    assert load_mrcr(path, 4) == samples


def test_saved_columns_are_the_published_ones(tmp_path: Path) -> None:
    (sample,) = generate(2, 1, 0, "long", target_chars=4_000)
    save([sample], tmp_path / "x.json")
    (row,) = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    messages = json.loads(row["prompt"])
    wanted = messages[row["desired_msg_index"]]
    assert wanted == {"role": "assistant", "content": sample.answer.removeprefix(sample.prefix)}
    assert row["total_messages"] == len(messages) == 2 * len(sample.turns) + 1
    assert row["n_chars"] == sum(len(message["content"]) for message in messages)
    assert (row["n_needles"], row["random_string_to_prepend"]) == (2, sample.prefix)


def test_bad_settings_are_named_together() -> None:
    with pytest.raises(ConfigError) as caught:
        generate(4, 1, 0, "short", turns=3, target_chars=100)
    assert caught.value.faults == (
        "needles.turns: got 3, allowed: at least the 4 needles",
        "needles.target_chars: got 100, allowed: none with needles.form=short",
    )
    with pytest.raises(ConfigError, match=r"needles\.form: got 'tall', allowed: short, long"):
        generate(2, 1, 0, "tall")
    with pytest.raises(ConfigError) as caught:
        generate(2, 1, 0, "short", near=1.01, text="latin")
    assert caught.value.faults == (
        "needles.near: got 1.01, allowed: a number from 0 to 1",
        "needles.text: got 'latin', allowed: english, random",
    )
    with pytest.raises(ConfigError, match=r"needles\.near: got nan, allowed: a number from 0 to 1"):
        generate(2, 1, 0, "short", near=float("nan"))


def test_generator_hash_is_of_code_and_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = generator_hash()
    assert before == generator_hash()
    other = tmp_path / "dataset.json"
    other.write_text("{}", encoding="utf-8")
    monkeypatch.setattr("freqexp.benchmarks.generate.source_path", lambda: other)
    assert generator_hash() != before


def test_command_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.parquet"
    arguments = ["--needles", "4", "--samples", "3", "--chars", "5000", str(out)]
    assert main(arguments) == 0
    assert "3 samples with 4 needles" in capsys.readouterr().out
    assert load_mrcr(out, 4) == generate(4, 3, 0, "long", target_chars=5000)
    arguments = ["--form", "short", "--near", "1", "--text", "random", "--samples", "3", str(out)]
    assert main(arguments) == 0
    assert load_mrcr(out, 2) == generate(2, 3, 0, "short", near=1, text="random")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--turns", "1", "out.json"], "needles.turns: got 1, allowed: at least the 2 needles"),
        (["--near", "2", "out.json"], "needles.near: got 2.0, allowed: a number from 0 to 1"),
        (["out.txt"], "out: got 'out.txt', allowed: a file ending in .parquet, .json, .jsonl"),
        (["/dev/null/out.json"], "/dev/null/out.json: can't be written: Not a directory"),
        (["/dev/null/out.parquet"], "/dev/null/out.parquet: can't be written"),
    ],
)
def test_command_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--samples", "1", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_command_refuses_no_samples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--samples", "0", "x.json"])
    assert caught.value.code == 2
    assert "--samples: got 0, allowed: 1 or more" in capsys.readouterr().err


def test_save_of_an_unknown_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"allowed: a file ending in \.parquet"):
        save([], tmp_path / "x.csv")
