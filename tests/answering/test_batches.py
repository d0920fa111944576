from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import run_fakes
from run_fakes import Counting, make_samples

from freqexp.answering.session import Session
from freqexp.config.run import RunConfig
from freqexp.nouns.sample import Sample, Turn
from freqexp.results.record import Record
from freqexp.results.record_file import load_records
from freqexp.results.summary import Summary
from freqexp.running.execute import execute, run_folder
from freqexp.running.progress import Lines
from freqexp.schemas.needles import NeedlesConfig


@pytest.fixture
def batched(config: Any) -> Any:
    """batched(size, **changes): a run whose samples are answered together."""
    return lambda size, **changes: config(
        model=replace(run_fakes.MODEL, batch_size=size), **changes
    )


def run(cfg: RunConfig, session: Session) -> Summary:
    return execute(cfg, session, Lines(io.StringIO()))


def records_of(cfg: RunConfig) -> list[Record]:
    return load_records(run_folder(cfg, run_fakes.fake_run_id(cfg)) / "records.jsonl")


def scores(records: list[Record]) -> dict[str, tuple[float | None, str | None]]:
    return {record.sample_id: (record.score, record.answer) for record in records}


def uneven_samples(needles: NeedlesConfig, samples: int, seed: int) -> list[Sample]:
    """The usual ones with texts of very different length, not in the order of length."""
    made = make_samples(needles, samples, seed)
    lengths = [(7 * number) % samples for number in range(samples)]
    return [
        replace(sample, turns=(*sample.turns, Turn("more?", 100 * length * "x")))
        for sample, length in zip(made, lengths, strict=True)
    ]


def test_a_batch_gives_what_single_samples_give(
    batched: Any, config: Any, counting: Counting
) -> None:
    run(config(), counting.session())
    run(batched(4), counting.session())
    single, together = records_of(config()), records_of(batched(4))
    assert scores(together) == scores(single)
    assert counting.reader.batches == [4, 2]
    assert [record.batch_size for record in single] == [1] * 6
    assert [record.batch_size for record in together] == [4, 4, 4, 4, 2, 2]


def test_neighbours_in_length_are_answered_together(batched: Any, counting: Counting) -> None:
    counting.samples = uneven_samples
    cfg = batched(3)
    run(cfg, counting.session())
    characters = {
        sample.sample_id: sample.characters for sample in uneven_samples(cfg.needles, 6, 0)
    }
    order = [characters[record.sample_id] for record in records_of(cfg)]
    assert order == sorted(order)
    assert len(set(order)) == 6


def test_a_batch_too_large_is_halved_and_the_next_start_small(
    batched: Any, counting: Counting
) -> None:
    counting.reader.most = 2
    cfg = batched(5, samples=9)
    assert run(cfg, counting.session()).failed == 0
    # 5 -> 3 and 2; 3 -> 2 and a single one; then batches of 2 from the start.
    assert counting.reader.batches == [5, 3, 2, 2, 2, 2]
    assert [record.batch_size for record in records_of(cfg)] == [2, 2, 1, 2, 2, 2, 2, 2, 2]


def test_without_memory_for_one_sample_that_sample_fails(batched: Any, counting: Counting) -> None:
    import torch

    def refuse(name: str) -> None:
        if name == "sample-004":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    counting.reader.on_answer = refuse
    cfg = batched(4)
    assert run(cfg, counting.session()).failed == 1
    found = {record.sample_id: record for record in records_of(cfg)}
    assert "OutOfMemoryError: CUDA out of memory" in str(found["sample-004"].error)
    assert found["sample-004"].batch_size is None
    assert all(found[name].error is None for name in found if name != "sample-004")


def test_a_bad_sample_does_not_take_its_neighbours_with_it(
    batched: Any, counting: Counting
) -> None:
    counting.reader.broken = {"sample-003"}
    cfg = batched(6)
    assert run(cfg, counting.session()).failed == 1
    found = {record.sample_id: record for record in records_of(cfg)}
    assert "no answer to sample-003" in str(found["sample-003"].error)
    assert found["sample-003"].score is None
    # An error says nothing about memory: 6 -> 3 and 3, and the bad one's half again.
    # The samples count down from sample-006.
    assert counting.reader.batches == [6, 3, 3, 2]


def test_a_page_that_fails_leaves_the_batch_before_it_is_answered(
    batched: Any, counting: Counting
) -> None:
    encode = counting.reader.encode
    counting.samples = uneven_samples

    def picky(pages: Any, *further: Any) -> Any:
        if len(counting.reader.encoded) == 2:
            counting.reader.encoded.append(pages[0])
            raise RuntimeError("a broken page")
        return encode(pages)

    counting.reader.encode = picky
    cfg = batched(6)
    assert run(cfg, counting.session()).failed == 1
    assert counting.reader.batches == [5]


def test_a_reader_without_batches_is_asked_one_by_one(batched: Any, counting: Counting) -> None:
    counting.reader.can_batch = False
    cfg = batched(4)
    run(cfg, counting.session())
    assert counting.reader.batches == []
    assert [record.batch_size for record in records_of(cfg)] == [1] * 6


def test_an_interrupted_run_of_batches_goes_on(batched: Any, counting: Counting) -> None:
    cfg = batched(2)
    seen: list[str] = []

    def interrupt(name: str) -> None:
        seen.append(name)
        if len(seen) == 4:
            raise KeyboardInterrupt

    counting.reader.on_answer = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(cfg, counting.session())
    assert len(records_of(cfg)) == 2
    again = Counting()
    summary = run(cfg, again.session())
    assert again.reader.batches == [2, 2]
    whole = replace(cfg, output_dir=str(Path(cfg.output_dir) / "whole"))
    expected = run(whole, Counting().session())
    assert run_fakes.without_times(asdict(summary)) == run_fakes.without_times(asdict(expected))
