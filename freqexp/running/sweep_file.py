"""A sweep's name, its folder, and the file that says which runs are its."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.errors import ConfigError, UserError, fault
from freqexp.files import read_json, write_json, write_text
from freqexp.results.provenance import command
from freqexp.running.execute import baseline_of
from freqexp.running.plan import Point

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

SWEEP = "sweep.json"
OVERRIDES = "overrides.yaml"
LATEST = "latest"
"""Beside the sweeps, a link to the one that was started last."""


def check_writable(folder: Path) -> None:
    """Raise UserError unless files can be made in `folder`, which is made if missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            fault("output_dir", str(folder), f"a folder that can be written ({error.strerror})")
        ) from None


def check_one_sweep(points: Sequence[RunConfig], *more: str) -> None:
    """Raise ConfigError when points differ in what a sweep has one of: where results go, its name,
    and `more`.
    """
    faults = []
    for name in (*more, "output_dir", "sweep_name"):
        values = list(dict.fromkeys(repr(getattr(cfg, name)) for cfg in points))
        if len(values) > 1:
            listed = ", ".join(values) if name not in more else f"{len(values)} different ones"
            faults.append(f"{name}: got {listed}, allowed: one value for all points of a sweep")
    if faults:
        raise ConfigError(faults)


def sweep_name(points: Sequence[RunConfig], runs: Sequence[Point]) -> str:
    """The name that was set, else one made from the runs and how many samples of each are asked
    for: the same command has the same name.

    Raises UserError for a name that cannot be a folder's.
    """
    name = points[0].sweep_name
    if name is None:
        asked = sorted(f"{point.run_id} {point.cfg.samples}" for point in runs)
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:12]
    if name == LATEST or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        allowed = "1 to 100 letters, digits, dots, dashes and underscores, not starting with a dot"
        allowed += f"; not {LATEST}, a link to the newest sweep"
        raise UserError(fault("sweep_name", name, allowed))
    return name


def check_same_sweep(output_dir: Path, name: str, runs: Sequence[Point]) -> None:
    """Raise UserError when the name is already that of another sweep.

    The same sweep again, a part of it, or one that contains it, is no other sweep.
    """
    file = output_dir / "sweeps" / name / SWEEP
    earlier = {entry["run_id"] for entry in (read_json(file) or {}).get("runs", [])}
    now = {point.run_id for point in runs}
    if earlier <= now or now <= earlier:
        return
    raise UserError(
        fault(
            "sweep_name",
            name,
            f"a name that is not yet that of another sweep ({len(earlier - now)} of its "
            f"{len(earlier)} runs are not in this one, {len(now - earlier)} here are not in it; a "
            "change of code, weights or data makes other runs, too). Choose another sweep_name, or "
            f"give that one up: remove {file}; its runs stay",
        )
    )


def write_sweep(
    output_dir: Path, name: str, runs: Sequence[Point], arguments: Sequence[str] = ()
) -> Path:
    """Write sweeps/<name>/sweep.json, to which sweeps/latest leads from then on; other runs of
    earlier commands of the same name stay in it.

    A run stands there once for each number of samples that the last command asked it for.
    arguments: of the last command, as typed.
    """
    file = output_dir / "sweeps" / name / SWEEP
    entries: dict[tuple[str, int | None], dict[str, Any]] = {}
    now = {point.run_id for point in runs}
    for entry in (read_json(file) or {}).get("runs", []):
        if entry["run_id"] not in now:
            entries[entry["run_id"], entry.get("samples")] = entry
    for point in runs:
        entries[point.run_id, point.cfg.samples] = {
            "run_id": point.run_id,
            "samples": point.cfg.samples,
            "overrides": list(point.overrides),
            "baseline": baseline_of(point.cfg) is None,
            "added": point.added,
        }
    value = {
        "name": name,
        "command": command(),
        "arguments": list(arguments),
        "tags": list(dict.fromkeys(tag for point in runs for tag in point.cfg.tags)),
        "notes": next((point.cfg.notes for point in runs if point.cfg.notes), None),
        "runs": list(entries.values()),
    }
    write_json(file, value)
    _point_at(file.parent)
    return file


def _point_at(folder: Path) -> None:
    """Let sweeps/latest lead to this sweep, where links can be made."""
    link = folder.with_name(LATEST)
    made = folder.with_name(f".{LATEST}.{os.getpid()}")
    with contextlib.suppress(OSError):
        made.symlink_to(folder.name, target_is_directory=True)
        made.replace(link)


def write_overrides(folder: Path, point: Point) -> None:
    """Write overrides.yaml, as Hydra has it, beside a run's config.yaml; not for a baseline that no
    override chose. Raises UserError when it can't be written.
    """
    if point.added:
        return
    lines = [f"- {json.dumps(text, ensure_ascii=False)}\n" for text in point.overrides]
    text = "".join(lines) or "[]\n"
    file = folder / OVERRIDES
    if not file.exists() or file.read_text("utf-8") != text:
        write_text(file, text)
