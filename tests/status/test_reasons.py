"""Why a run ended, read from its log; and what counts as done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freqexp.status.files import read_run
from freqexp.status.logs import reason

FULL = "freqexp: cannot write /out/runs/a/records.jsonl: No space left on device"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([FULL, "Traceback (most recent call last):", "srun: error: node1: task 0: Exited"], FULL),
        (
            ["freqexp: launched in 2.00 s (1.5 s CPU)", "ValueError: x", "srun: error"],
            "ValueError: x",
        ),
        (
            ["slurmstepd: error: Detected 1 oom_kill event in StepId=7.0.", "srun: error: Killed"],
            "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0.",
        ),
        ([FULL, "freqexp: launched in 1.00 s (1 s CPU)", "none: 3/9 samples"], "none: 3/9 samples"),
        (["freqexp: cluster.setup: module load x (exit code 1)"], None),
        (["srun: error: Unable to create step"], None),
        (["", " "], ""),
    ],
)
def test_the_reason_in_a_log(lines: list[str], said: str | None) -> None:
    expected = lines[0] if said is None else (said or None)
    assert reason("\n".join(lines)) == expected


def test_without_its_records_a_run_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"samples": 2, "failed": 0, "samples_asked": 2}')
    (tmp_path / "config.yaml").write_text("samples: 2\n")
    assert not read_run(tmp_path, [], False).complete
    record = {"sample_id": "a", "score": 1.0, "index": 0}
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(record) + "\n")
    found = read_run(tmp_path, [], False)
    assert (found.complete, found.scored) == (False, 1)
    file.write_text("".join(json.dumps({**record, "sample_id": name}) + "\n" for name in "ab"))
    assert read_run(tmp_path, [], False).complete
