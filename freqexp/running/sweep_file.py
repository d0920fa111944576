"""A sweep's name, its folder, and the file that says which runs are its."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.errors import UserError, fault
from freqexp.files import read_json, write_json
from freqexp.running.execute import baseline_of
from freqexp.running.plan import Point

if TYPE_CHECKING:
    from freqexp.config.run import RunConfig

SWEEP = "sweep.json"


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


def sweep_name(points: Sequence[RunConfig], runs: Sequence[Point]) -> str:
    """The name that was set, else one made from the runs and how many samples of each are asked
    for: the same command has the same name.

    Raises UserError for a name that cannot be a folder's.
    """
    name = points[0].sweep_name
    if name is None:
        asked = sorted(f"{point.run_id} {point.cfg.samples}" for point in runs)
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:12]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        allowed = "1 to 100 letters, digits, dots, dashes and underscores, not starting with a dot"
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


def write_sweep(output_dir: Path, name: str, runs: Sequence[Point]) -> Path:
    """Write sweeps/<name>/sweep.json; other runs of earlier commands of the same name stay in it.

    A run stands there once for each number of samples that the last command asked it for.
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
    write_json(file, {"name": name, "runs": list(entries.values())})
    return file
