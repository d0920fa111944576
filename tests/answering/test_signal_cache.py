"""Signals are held with their encodings, and are a part of what an encoding is asked by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_fakes import Counting, FakeReader, make_config

from freqexp.answering.cache import OF_PAGES, held_bytes, pixels_key, with_signals
from freqexp.answering.encodings import DiskEncodings
from freqexp.answering.session import Session
from freqexp.nouns.page import Pixels
from freqexp.nouns.vision import Signal, VisionTokens

PAGE = np.random.default_rng(0).integers(0, 256, (84, 112)).astype(np.uint8)
SETS = [
    names for count in range(len(OF_PAGES) + 1) for names in itertools.combinations(OF_PAGES, count)
]


class SignallingReader(FakeReader):
    """Gives the signals asked for, made of its features, and notes what it was asked."""

    signals = OF_PAGES

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Signal, ...]] = []

    def encode(
        self, pages: Sequence[Pixels], signals: Sequence[Signal] = (), chooser: Any = None
    ) -> list[VisionTokens]:
        self.asked.append(tuple(signals))
        made = []
        for page in super().encode(pages):
            count = len(page.features)
            able: dict[Signal, torch.Tensor] = {
                "pixels": torch.arange(count * 12, dtype=torch.uint8).view(count, 2, 2, 3),
                "attention": page.features[:, 0].softmax(0),
                "keys": page.features[:, 1:4],
            }
            found = {name: able[name] for name in signals}
            made.append(VisionTokens(page.features, page.grid, signals=found))
        return made


@pytest.fixture
def counting() -> Counting:
    made = Counting()
    made.reader = SignallingReader()
    return made


def equal(one: VisionTokens, other: VisionTokens) -> bool:
    return (
        torch.equal(one.features, other.features)
        and one.grid == other.grid
        and set(one.signals) == set(other.signals)
        and all(torch.equal(one.signals[name], other.signals[name]) for name in one.signals)
        and all(one.signals[name].dtype == other.signals[name].dtype for name in one.signals)
    )


@pytest.mark.parametrize("wanted", SETS, ids=str)
@pytest.mark.parametrize("held", SETS, ids=str)
def test_an_encoding_serves_whoever_asks_for_no_more(
    counting: Counting, held: tuple[Signal, ...], wanted: tuple[Signal, ...]
) -> None:
    session, reader = counting.session(), counting.reader
    session.encode(reader, [PAGE], signals=held, share=True)
    (found,), milliseconds = session.encode(reader, [PAGE], signals=wanted, share=True)
    assert (milliseconds is None) is (set(wanted) <= set(held))
    assert equal(found, reader.encode([PAGE], wanted)[0])


def test_the_order_in_which_signals_are_named_does_not_matter(counting: Counting) -> None:
    session = counting.session()
    session.encode(counting.reader, [PAGE], signals=("keys", "pixels"), share=True)
    _, milliseconds = session.encode(
        counting.reader, [PAGE], signals=("pixels", "keys"), share=True
    )
    assert milliseconds is None


def test_keys_differ_by_signals() -> None:
    key = pixels_key([PAGE])
    assert len({with_signals(key, names) for names in SETS}) == len(SETS)
    assert with_signals(key, ()) == key


def test_what_was_chosen_before_the_encoder_is_not_held(counting: Counting) -> None:
    session, reader = counting.session(), counting.reader

    def chooser(pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        raise AssertionError("the reader of this test asks for nothing")

    for _ in range(2):
        _, milliseconds = session.encode(reader, [PAGE], chooser=chooser, share=True)
        assert milliseconds is not None
    session.encode(reader, [PAGE], share=True)
    assert session.encode(reader, [PAGE], chooser=chooser, share=True)[1] is not None


def on_disk(counting: Counting, folder: Path) -> Session:
    session = counting.session()
    session.reader(make_config(str(folder), encodings_cache_gb=0.1))
    return session


@pytest.mark.parametrize("wanted", SETS, ids=str)
def test_signals_come_back_from_disk(
    counting: Counting, tmp_path: Path, wanted: tuple[Signal, ...]
) -> None:
    reader = counting.reader
    on_disk(counting, tmp_path).encode(reader, [PAGE], signals=OF_PAGES, share=True)
    later = on_disk(counting, tmp_path)
    (found,), milliseconds = later.encode(reader, [PAGE], signals=wanted, share=True)
    assert milliseconds is None
    assert equal(found, reader.encode([PAGE], wanted)[0])
    # The one in memory from now on is whole: whoever asks for more gets it without the disk.
    _, milliseconds = later.encode(reader, [PAGE], signals=OF_PAGES, share=True)
    assert milliseconds is None


def test_a_file_without_a_signal_does_not_stand_in_for_one_with_it(
    counting: Counting, tmp_path: Path
) -> None:
    reader = counting.reader
    on_disk(counting, tmp_path).encode(reader, [PAGE], signals=("keys",), share=True)
    later = on_disk(counting, tmp_path)
    (found,), milliseconds = later.encode(reader, [PAGE], signals=("pixels",), share=True)
    assert milliseconds is not None
    assert set(found.signals) == {"pixels"}


def test_signals_count_in_what_is_held_and_are_covered_by_the_hash(tmp_path: Path) -> None:
    page = VisionTokens(torch.zeros(4, 2), (2, 2), signals={"attention": torch.full((4,), 0.25)})
    assert held_bytes([page]) == (4 * 2 + 4) * 4
    disk = DiskEncodings(tmp_path, "encoder", 1 << 20)
    disk.put("pages", [page])
    path = disk.path("pages")
    data = path.read_bytes()
    quarter = np.float32(0.25).tobytes()
    assert data.count(quarter) == 4
    path.write_bytes(data.replace(quarter, np.float32(0.5).tobytes(), 1))
    with pytest.warns(UserWarning, match="damaged"):
        assert disk.get("pages") is None
