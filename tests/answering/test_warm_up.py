from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from run_fakes import Counting, FakeReader, make_config, without_times

from freqexp.config.run import RunConfig
from freqexp.readers.base import Request
from freqexp.results.record_file import load_records
from freqexp.running.execute import execute, run_folder
from freqexp.running.progress import make_progress
from freqexp.schemas.tokens import RandomPruneConfig


class Warm(FakeReader):
    """Warms up; remembers what it was asked to warm up with."""

    warms_up = True

    def __init__(self) -> None:
        super().__init__()
        self.warmed: list[Request] = []
        self.fails = False

    @property
    def generation(self) -> dict[str, Any]:
        return {"repetition_penalty": 1.1}

    def warm_up(self, request: Request) -> None:
        self.warmed.append(request)
        if self.fails:
            raise RuntimeError("no")


@pytest.fixture
def counting() -> Counting:
    made = Counting()
    made.reader = Warm()
    return made


def test_a_sample_goes_the_whole_way_first(tmp_path: Path, counting: Counting) -> None:
    cfg = make_config(str(tmp_path), samples=4, compressor=RandomPruneConfig())
    session = counting.session()
    execute(cfg, session, make_progress())
    reader = counting.reader
    assert isinstance(reader, Warm)
    (request,) = reader.warmed
    assert request.question.startswith("sample-")
    assert sum(len(page.kept) for page in request.vision) < 144
    found = load_records(run_folder(cfg, session.run_id(cfg)) / "records.jsonl")
    # The warm-up left nothing behind that the first sample would find ready.
    assert all(record.encode_ms is not None for record in found)
    assert all(record.render_ms is not None for record in found)
    execute(cfg, counting.session(), make_progress())
    assert len(reader.warmed) == 1


def config(folder: Path) -> RunConfig:
    return make_config(str(folder), samples=4)


def test_a_warm_up_that_fails_costs_nothing(tmp_path: Path, counting: Counting) -> None:
    reader = counting.reader
    assert isinstance(reader, Warm)
    reader.fails = True
    failed = execute(config(tmp_path / "a"), counting.session(), make_progress())
    reader.fails = False
    warmed = execute(config(tmp_path / "b"), counting.session(), make_progress())
    assert without_times(asdict(failed)) == without_times(asdict(warmed))
    assert failed.failed == 0


def test_the_conditions_of_the_answers_are_noted(tmp_path: Path, counting: Counting) -> None:
    cfg = make_config(str(tmp_path), samples=4)
    session = counting.session()
    execute(cfg, session, make_progress())
    found = json.loads((run_folder(cfg, session.run_id(cfg)) / "provenance.json").read_text())
    assert found["generation"] == {"repetition_penalty": 1.1}
    assert found["cpus"] >= 1
    assert len(found["threads"]) == 1
    assert set(found["load"]) == {"started", "finished"}
    assert None not in found["load"].values()
