from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from freqexp.results.record import Record, settle
from freqexp.results.summarize import summarize
from freqexp.results.table import missing_words, place, render_table, size, times
from freqexp.schemas.codecs import BlockDctConfig
from freqexp.schemas.tokens import TokenConfig


def record(name: str, score: float | None, **more: Any) -> Record:
    return Record(
        sample_id=name,
        needles=2,
        bucket="",
        expected="x",
        score=score,
        error="broke" if score is None else None,
        chance=0.25,
        vision_tokens_in=144,
        kv_cache_bytes=6144,
        png_bytes=13000,
        encode_ms=30.4,
        prefill_ms=15.2,
        decode_ms=250.0,
        **more,
    )


def summaries(config: Any) -> list[Any]:
    none = summarize(
        config(),
        "a" * 16,
        settle(
            record(name, score, vision_tokens_out=144, png_bytes_after=13000)
            for name, score in (("a", 0.5), ("b", 0.75))
        ),
    )
    codec = summarize(
        config(compressor=BlockDctConfig(block=8), keep_ratio=0.25),
        "b" * 16,
        settle(
            record(
                name,
                score,
                vision_tokens_out=144,
                png_bytes_after=2_000_000,
                compress_ms=1.234,
                simulated=True,
                truncated=True,
            )
            for name, score in (("a", None), ("b", 0.75))
        ),
    )
    token = replace(
        summarize(
            config(compressor=TokenConfig()),
            "c" * 16,
            settle(
                replace(
                    record(name, score, vision_tokens_out=out, png_bytes_after=13000),
                    encode_ms=None,
                )
                for name, score, out in (("a", 0.5, 72), ("b", 0.25, 71))
            ),
        ),
        delta=-0.25,
        delta_low=-0.5,
        delta_high=0.0,
    )
    return [none, codec, token]


def test_the_table_shows_every_row_in_order(config: Any) -> None:
    title, head, rule, none, codec, token, *legend = render_table(summaries(config)).splitlines()
    assert title == "model: fake, needles: 2"
    names = [name.strip() for name in head.split("  ") if name.strip()]
    assert names == [
        "samples",
        "compressor",
        "options",
        "keep",
        "profile",
        "accuracy [95 %]",
        "chance",
        "delta [95 %]",
        "tokens",
        "KV cache",
        "PNG",
        "ms",
        "notes",
        "run",
    ]
    assert set(rule) == {"-", " "}

    def cells(line: str) -> dict[str, str]:
        starts = [head.index(name) for name in names]
        ends = [*starts[1:], None]
        return {n: line[a:b].strip() for n, a, b in zip(names, starts, ends, strict=True)}

    assert cells(none) == {
        "samples": "2",
        "compressor": "none",
        "options": "",
        "keep": "-",
        "profile": "-",
        "accuracy [95 %]": "0.625 [0.264, 0.894]",
        "chance": "0.250",
        "delta [95 %]": "-",
        "tokens": "144 -> 144",
        "KV cache": "6.0 KiB",
        "PNG": "12.7 KiB -> 12.7 KiB",
        "ms": "- / 30 / 15 / 250",
        "notes": "",
        "run": "aaaaaaaa",
    }
    found = cells(codec)
    assert found["samples"] == "1 of 2"
    assert found["options"] == "block=8"
    assert found["keep"] == "0.25"
    assert found["accuracy [95 %]"] == "0.750"
    assert found["PNG"] == "12.7 KiB -> 1.9 MiB"
    assert found["ms"] == "1.2 / 30 / 15 / 250"
    assert found["notes"] == "simulated, 1 truncated, 1 failed"
    found = cells(token)
    assert found["profile"] == "aggressive"
    assert found["delta [95 %]"] == "-0.250 [-0.500, +0.000]"
    assert found["tokens"] == "144 -> 71.5"
    assert found["ms"] == "- / - / 15 / 250"
    assert legend[0] == ""
    assert "simulated: nothing really got shorter or smaller" in " ".join(legend)


def test_columns_that_say_nothing_are_left_out(config: Any) -> None:
    head = render_table(summaries(config)[:1]).splitlines()[1]
    assert not {"options", "profile", "notes", "samples", "model"} & set(head.split())


def test_what_scores_are_made_of_has_columns_where_it_was_recorded(config: Any) -> None:
    none, codec, token = summaries(config)
    apart = replace(none, right_place_rate=0.5, place_chance=0.128, copied_share=0.75)
    _, head, _, first, second, *legend = render_table([apart, codec]).splitlines()
    start = head.index("place")
    assert first[start:].startswith("50 % (13)  0.750   ")
    assert second[start:].startswith("-          -       ")
    assert any(line.startswith("place:") for line in legend)
    plain = render_table([none, codec, token])
    assert "place" not in plain
    assert "copied" not in plain
    assert place(0.0, None) == "0 % (-)"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (24.6 * 2**20, "24.6 MiB")],
)
def test_sizes_have_binary_units(value: float | None, shown: str) -> None:
    assert size(value) == shown
    assert size(2**40) == "1024.0 GiB"


def test_times_are_short(config: Any) -> None:
    summary = replace(summaries(config)[0], compress_ms_median=9.96, encode_ms_median=0.04)
    assert times(summary) == "10.0 / 0.0 / 15 / 250"


def test_tokens_of_a_layer_are_shown_where_some_leave_on_the_way(config: Any) -> None:
    def table(*means: float | None) -> str:
        made = [
            summarize(
                config(),
                str(number) * 16,
                settle([replace(record("a", 0.5), decoder_tokens=166, mean_layer_tokens=mean)]),
            )
            for number, mean in enumerate(means)
        ]
        return render_table(made)

    assert "layer tokens" not in table(166.0, None)
    shown = table(166.0, 118.0, 117.5)
    assert "166 -> 118 " in shown
    assert "166 -> 117.5 " in shown
    assert "166 -> 166" not in shown
    assert shown.endswith("enter the decoder -> mean over its layers.")


@pytest.mark.parametrize(
    ("missing", "characters", "said"),
    [
        (None, None, []),
        (0.0, 500.0, []),
        (0.5, 500.0, []),
        (5.0, 500.0, ["1 % of the characters not shown"]),
        (499.0, 500.0, ["99.8 % of the characters not shown"]),
    ],
)
def test_a_row_says_when_characters_are_not_shown(
    missing: float | None, characters: float | None, said: list[str]
) -> None:
    assert missing_words(missing, characters) == said
