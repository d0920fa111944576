"""MRCR files as they are published, damaged ones, and the official grade."""

from __future__ import annotations

import json
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mrcr_data import (
    EXAMPLES,
    POEMS,
    REQUEST,
    WRITERS,
    messages,
    row,
    write_json,
    write_jsonl,
    write_parquet,
)

from freqexp.benchmarks import mrcr
from freqexp.benchmarks.mrcr import chance, data_hash, grade, load_mrcr
from freqexp.errors import UserError
from freqexp.nouns.sample import Sample, Turn


def sample(answer: str, prefix: str = "abcdefghij", others: tuple[str, ...] = ()) -> Sample:
    """A sample that expects `answer` and also holds the replies `others`."""
    turns = tuple(Turn("write", text) for text in (answer, *others))
    return Sample("id", 2, "", turns, "?", prefix + answer, prefix)


@pytest.mark.parametrize("suffix", WRITERS)
def test_reads_the_published_columns(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"2needle{suffix}", [row(0), row(1)])
    first, second = load_mrcr(path, 2)
    assert first.turns == (
        Turn(f"{EXAMPLES}\n\n{REQUEST}", POEMS[0]),
        Turn("write a riddle about rain", "What falls and never climbs? 0"),
        Turn(REQUEST, POEMS[1]),
    )
    assert first.question.startswith("Prepend aB3dE6gH00 to the 2nd (1 indexed) poem about tapirs.")
    assert (first.prefix, first.answer) == ("aB3dE6gH00", "aB3dE6gH00" + POEMS[1])
    assert (first.needles, first.bucket) == (2, "")
    assert first.sample_id != second.sample_id


def test_formats_names_and_places_do_not_change_the_samples(tmp_path: Path) -> None:
    rows = [row(n) for n in range(3)]
    parsed = [{**r, "prompt": json.loads(r["prompt"])} for r in rows]
    lines = tmp_path / "lines.json"
    lines.write_text("\ufeff" + "\n\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    loaded = [
        load_mrcr(path, 2)
        for path in (
            write_parquet(tmp_path / "a.parquet", rows),
            write_json(tmp_path / "b.json", parsed),
            write_jsonl(folder / "c.JSONL", rows),
            lines,
        )
    ]
    assert loaded[0] == loaded[1] == loaded[2] == loaded[3]


def test_json_lines_may_hold_line_separators_inside_a_text(tmp_path: Path) -> None:
    prompt = json.loads(row()["prompt"])
    prompt[4]["content"] = "one\u2028two"
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row(prompt=prompt), ensure_ascii=False) + "\n", encoding="utf-8")
    assert load_mrcr(path, 2)[0].turns[1].assistant == "one\u2028two"


def test_folder_takes_the_files_named_after_the_needles(tmp_path: Path) -> None:
    (tmp_path / "2needle").mkdir()
    write_parquet(tmp_path / "2needle" / "2needle_0.parquet", [row(0), row(1)])
    write_parquet(tmp_path / "2needle" / "2needle_1.parquet", [row(2)])
    write_parquet(tmp_path / "4needle.parquet", [row(3, needles=4)])
    (tmp_path / "README.md").write_text("about", encoding="utf-8")
    prefixes = [s.prefix for s in load_mrcr(tmp_path, 2)]
    assert prefixes == ["aB3dE6gH00", "aB3dE6gH01", "aB3dE6gH02"]
    assert [s.prefix for s in load_mrcr(tmp_path, 4)] == ["aB3dE6gH03"]


def test_folder_of_other_names_is_filtered_by_the_column(tmp_path: Path) -> None:
    write_json(tmp_path / "all.json", [row(0), row(1, needles=8), row(2)])
    assert [s.prefix for s in load_mrcr(tmp_path, 8)] == ["aB3dE6gH01"]


def test_limit_draws_by_seed_and_a_larger_one_only_adds(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [row(n) for n in range(40)])
    ten, twenty = load_mrcr(path, 2, limit=10, seed=3), load_mrcr(path, 2, limit=20, seed=3)
    assert twenty[:10] == ten
    assert ten != load_mrcr(path, 2, limit=10, seed=4)
    everything = load_mrcr(path, 2)
    assert sorted(s.sample_id for s in load_mrcr(path, 2, limit=99)) == sorted(
        s.sample_id for s in everything
    )


def test_a_row_that_stands_twice_gets_two_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_parquet(tmp_path / "x.parquet", [row(0), row(0), row(0)])
    first, second, third = (s.sample_id for s in load_mrcr(path, 2))
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert "2 of the 3 samples read have a fault; the first, row 1: the same" in caplog.text


def test_faulty_samples_are_read_and_said_file_by_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_parquet(tmp_path / "a b.parquet", [row(n, answer=f"aB3dE6gH{n:02d}x") for n in (0, 1)])
    sound = write_json(tmp_path / "sound.json", [row(2), row(3)])
    write_jsonl(tmp_path / "z.jsonl", [row(4), row(5, prompt=json.dumps(one_more()))])
    assert len(load_mrcr(sound, 2)) == 2
    assert not caplog.records
    assert len(load_mrcr(tmp_path, 2)) == 6
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{tmp_path}/a b.parquet: 2 of the 2 samples read have a fault; the")
    assert "first, row 0: the wanted reply is nowhere in the conversation (all" in first
    assert first.endswith(f"freqexp.benchmarks.check --all '{tmp_path}/a b.parquet')")
    assert second.startswith(f"{tmp_path}/z.jsonl: 1 of the 2 samples read have a fault; the")
    assert f"row 1: '{REQUEST}' is asked 3 times, n_needles says 2 (all" in second


def one_more() -> list[dict[str, str]]:
    """A conversation with a needle too many, after the others."""
    *told, question = messages("aB3dE6gH05")
    extra = [{"role": "user", "content": REQUEST}, {"role": "assistant", "content": "A third."}]
    return [*told, *extra, question]


def test_buckets_are_counted_and_never_taken_from_a_column(tmp_path: Path) -> None:
    def long(number: int, words: int, **changes: Any) -> dict[str, Any]:
        prompt = json.loads(row(number)["prompt"])
        prompt[4]["content"] = " tapir" * words  # two tokens each
        return row(number, prompt=prompt, **changes)

    rows = [long(0, 4_500), long(1, 2_100), long(2, 3_900, tokens=9000), row(3, tokens=5000)]
    path = write_json(tmp_path / "x.json", rows)
    assert [s.bucket for s in load_mrcr(path, 2)] == ["8192-16384", *["4096-8192"] * 2, ""]
    chosen = load_mrcr(path, 2, bucket="4096-8192")
    assert [s.prefix for s in chosen] == ["aB3dE6gH01", "aB3dE6gH02"]
    with pytest.raises(
        UserError, match=r"needles\.bucket.*4096-8192 \(2 samples\), 8192-16384 \(1.*none \(1 s"
    ):
        load_mrcr(path, 2, bucket="16384-32768")
    with pytest.raises(UserError, match=r"needles\.bucket: got '4k-8k', allowed: 4096-8192, "):
        load_mrcr(path, 2, bucket="4k-8k")


def test_data_hash_is_of_the_content(tmp_path: Path) -> None:
    path = write_json(tmp_path / "2needle.json", [row(0)])
    write_json(tmp_path / "4needle.json", [row(0, needles=4)])
    before = data_hash(path, 2)
    assert data_hash(tmp_path, 2) == before != data_hash(tmp_path, 4)
    moved = path.rename(tmp_path / "2needle_moved.json")
    assert data_hash(moved, 2) == before
    write_json(moved, [row(0), row(1)])
    assert data_hash(moved, 2) != before


def spoil(message: Callable[[list[Any]], Any]) -> dict[str, Any]:
    """A row whose prompt's messages went through `message`."""
    messages = json.loads(row()["prompt"])
    return row(prompt=json.dumps(message(messages) or messages))


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "empty prefix": (
        row(random_string_to_prepend=""),
        "random_string_to_prepend: got '', allowed: a prefix",
    ),
    "no prefix": (
        row(random_string_to_prepend=None),
        "random_string_to_prepend: got None, allowed: a prefix",
    ),
    "other prefix": (
        row(random_string_to_prepend="zzz"),
        "answer: got 'aB3dE6gH00.*', allowed: text that starts with 'zzz'",
    ),
    "no answer": (row(answer=None), "answer: got None, allowed: text that starts with"),
    "odd count": (row(n_needles=2.5), "n_needles: got 2.5, allowed: a whole number"),
    "no count": (row(n_needles=None), "n_needles: got None, allowed: a whole number"),
    "not JSON": (row(prompt="[{"), "prompt: not JSON: "),
    "not a list": (row(prompt='{"role": "user"}'), "prompt: got dict, allowed: a list"),
    "nothing": (row(prompt=[]), "prompt: got an empty list, allowed: a list of messages"),
    "a text": (
        spoil(lambda m: ["hello", *m]),
        "prompt: message 0: got str, allowed: an object with role",
    ),
    "no content": (
        spoil(lambda m: m[2].pop("content") and m),
        "prompt: message 2: content: got nothing, allowed: text",
    ),
    "no question": (
        spoil(lambda m: m[:-1]),
        "prompt: got 7 messages, the last of them of the assistant",
    ),
    "no turns": (spoil(lambda m: m[-1:]), "prompt: got 1 messages, the last of them of the user"),
    "two in a row": (
        spoil(lambda m: m[:2] + m[1:]),
        "prompt: message 2: got user, allowed: assistant",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_is_named(tmp_path: Path, case: str) -> None:
    bad, message = BAD_ROWS[case]
    path = write_json(tmp_path / "x.json", [row(0), row(1), bad])
    with pytest.raises(UserError, match=rf"x\.json: row 2: {message}"):
        load_mrcr(path, 2)


@pytest.mark.parametrize("suffix", WRITERS)
def test_missing_columns_are_named_with_those_found(tmp_path: Path, suffix: str) -> None:
    bad = row()
    del bad["answer"], bad["n_needles"]
    path = WRITERS[suffix](tmp_path / f"x{suffix}", [bad])
    with pytest.raises(UserError, match="columns answer, n_needles missing; found: prompt, random"):
        load_mrcr(path, 2)


def test_missing_prompt_column_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [{"text": "a"}])
    with pytest.raises(UserError, match=r"x\.parquet: columns prompt, .* missing; found: text"):
        load_mrcr(path, 2)


def empty_table(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([row()]).slice(0, 0), path)


BAD_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("x.parquet", lambda path: None, "it does not exist"),
    "other extension": ("x.csv", lambda path: path.touch(), "allowed: a .parquet, .json, .jsonl"),
    "no bytes": ("x.parquet", lambda path: path.touch(), "the file is empty"),
    "not parquet": ("x.parquet", lambda path: path.write_bytes(b"x" * 99), "can't be read as Par"),
    "no parquet rows": ("x.parquet", empty_table, "the file holds no rows"),
    "no JSON rows": ("x.json", lambda path: path.write_text("[]"), "the file holds no rows"),
    "blank": ("x.jsonl", lambda path: path.write_text("\n\n"), "the file holds no rows"),
    "not JSON": ("x.json", lambda path: path.write_text("[{,"), "not JSON: "),
    "bad line": ("x.jsonl", lambda path: path.write_text('{"a": 1}\n{'), "line 2: not JSON"),
    "numbers": ("x.json", lambda path: path.write_text("[1]"), "row 0: got int, allowed: an"),
    "not UTF-8": ("x.json", lambda path: path.write_bytes(b"[\xff]"), "not UTF-8 text: .*byte 1"),
    "folder without data": ("x.parquet", lambda path: path.mkdir(), "this folder holds none"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_named(tmp_path: Path, case: str) -> None:
    name, make, message = BAD_FILES[case]
    make(tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}.*{message}"):
        load_mrcr(tmp_path / name, 2)


def test_truncated_parquet_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [row(n) for n in range(20)])
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(200) + content[400:])
    with pytest.raises(UserError, match=r"x\.parquet: can't be read as Parquet"):
        load_mrcr(path, 2)


@pytest.mark.parametrize("method", ["stat", "read_text"])
def test_unreadable_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    path = write_json(tmp_path / "x.json", [row()])

    def refuse(self: Path, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(UserError, match=r"x\.json.* Permission denied"):
        load_mrcr(path, 2)


def test_impossible_path_is_named() -> None:
    with pytest.raises(UserError, match=r"needles\.path: got 'xxx.*File name too long"):
        load_mrcr("x" * 5000 + ".json", 2)


def test_other_needle_counts_are_listed(tmp_path: Path) -> None:
    path = write_json(tmp_path / "x.json", [row(0), row(1), row(2, needles=8)])
    with pytest.raises(
        UserError, match=r"needles\.count: got 4, allowed: 2 \(2 samples\), 8 \(1 s"
    ):
        load_mrcr(path, 4)


@settings(max_examples=60, deadline=None)
@given(answer=st.text(max_size=60), expected=st.text(max_size=60), hit=st.booleans())
def test_grade_is_the_official_one(answer: str, expected: str, hit: bool) -> None:
    prefix = "q7Wz1kT0bN"
    response = prefix + answer if hit else answer
    official = 0.0
    if response.startswith(prefix):
        official = SequenceMatcher(None, response[len(prefix) :], expected).ratio()
    result = grade(response, sample(expected, prefix))
    assert result.score == official
    assert result.prefix_hit == response.startswith(prefix)
    if hit:
        assert result.similarity == result.score


def test_grade_neither_strips_nor_lowers() -> None:
    asked = sample("The Answer")
    assert grade("abcdefghijThe Answer", asked).score == 1
    assert grade(" abcdefghijThe Answer", asked).score == 0
    assert grade("ABCDEFGHIJThe Answer", asked).score == 0
    assert 0 < grade("abcdefghijthe answer", asked).score < 1
    assert 0 < grade("abcdefghij The Answer", asked).score < 1
    # Only the first prefix is taken away.
    assert grade("abcdefghijabcdefghijThe Answer", asked).score == pytest.approx(20 / 30)


def test_similarity_of_a_missed_prefix_is_of_the_whole_answer() -> None:
    result = grade("The Answer", sample("The Answer"))
    assert (result.score, result.prefix_hit, result.similarity) == (0, False, 1)
    assert grade("", sample("The Answer")).similarity == 0


def test_chance_is_the_mean_score_of_the_other_turns() -> None:
    asked = sample("a tapir in the rain", others=("a riddle", "a tapir in the sun"))
    scores = [
        grade(asked.prefix + text, asked).score for text in ("a riddle", "a tapir in the sun")
    ]
    assert chance(asked) == pytest.approx(sum(scores) / 2)
    assert grade("anything", asked).chance == chance(asked)
    assert chance(sample("alone")) is None


def test_chance_of_a_long_conversation_is_of_a_stable_subset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []

    def ratio(answer: str, expected: str) -> float:
        compared.append(answer)
        return 0.25

    monkeypatch.setattr(mrcr, "_ratio", ratio)
    asked = sample("x", others=tuple(f"reply {n}" for n in range(500)))
    assert chance.__wrapped__(asked) == 0.25
    first, compared[:] = list(compared), []
    chance.__wrapped__(asked)
    assert first == compared
    assert len(set(first)) == mrcr.CHANCE_TURNS
