"""What stands beside the runs: sweep.json, the link to the newest sweep, overrides.yaml."""

from __future__ import annotations

import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_fakes import Counting, fake_run_id

from freqexp.comparing.targets import resolve
from freqexp.errors import UserError
from freqexp.running.progress import Lines
from freqexp.running.sweep import run_points
from freqexp.schemas.tokens import TokenConfig
from freqexp.status.points import find_sweep


def run(points: Any, counting: Counting, **more: Any) -> Path:
    run_points(
        points, lambda cfg: [], session=counting.session(), progress=Lines(io.StringIO()), **more
    )
    return Path(points[0].output_dir)


def test_a_sweep_keeps_its_line_its_tags_and_its_notes(config: Any, counting: Counting) -> None:
    points = [config(compressor=TokenConfig(), tags=["a", "b"], notes="why", sweep_name="mine")]
    line = ["-m", "keep_ratio=0.3,0.5", "notes=why"]
    root = run(points, counting, overrides=[["keep_ratio=0.3"]], arguments=line)
    kept = json.loads((root / "sweeps" / "mine" / "sweep.json").read_text())
    assert (kept["arguments"], kept["tags"], kept["notes"]) == (line, ["a", "b"], "why")
    assert kept["command"] == shlex.join(sys.orig_argv)


def test_latest_leads_to_the_sweep_that_was_started_last(config: Any, counting: Counting) -> None:
    for name in ("one", "two", "one"):
        root = run([config(sweep_name=name, seed=len(name))], counting)
        assert (root / "sweeps" / "latest").resolve().name == name
    # It is one sweep more to nobody.
    assert find_sweep(None, root).parent.name == "one"
    assert find_sweep("latest", root).parent.name == "one"
    with pytest.raises(UserError, match=r"there are: one, two$"):
        find_sweep("three", root)
    assert resolve("latest", root, []).name == "one"
    (root / "sweeps" / "two" / "sweep.json").unlink()
    assert resolve(str(root), root, []).sweep == "one"
    with pytest.raises(UserError, match="sweep_name: got 'latest'"):
        run([config(sweep_name="latest")], counting)


def test_overrides_stand_beside_the_configuration(config: Any, counting: Counting) -> None:
    base, ours = config(), config(compressor=TokenConfig())
    overrides = ["compressor=token", "notes='it is: \"so\"'", "tags=[ä,b]"]
    root = run([ours], counting, overrides=[overrides])
    file = root / "runs" / fake_run_id(ours) / "overrides.yaml"
    assert yaml.safe_load(file.read_text()) == overrides
    assert not (root / "runs" / fake_run_id(base) / "overrides.yaml").exists()
    run([ours], counting, overrides=[["compressor=token"]])  # answered from its files
    assert yaml.safe_load(file.read_text()) == overrides
    run([base], counting, overrides=[[]], arguments=[])
    longer = config(samples=7)
    run([longer], counting, overrides=[["samples=7"]])
    file = root / "runs" / fake_run_id(base) / "overrides.yaml"
    assert yaml.safe_load(file.read_text()) == ["samples=7"]
