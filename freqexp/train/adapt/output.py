"""What comes out: a folder with the adapter, the compressor's weights, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from freqexp.files import write_json
from freqexp.readers.adapting import save_full, save_lora
from freqexp.results.provenance import code_state, command, now, versions
from freqexp.train.adapt.config import Store, Trained
from freqexp.train.adapt.curve import Row
from freqexp.train.adapt.student import Student

PROVENANCE = "adapt.json"


def write(student: Student, folder: Path, step: int, rows: Sequence[Row]) -> None:
    """Write what the student holds. Raises UserError when it can't be written."""
    said, config = provenance(student, step, rows), student.config
    if config.model is Trained.decoder:
        model, base = student.reader.model, student.base if config.store is Store.int8 else None
        save_full(model, student.run.model, folder, said, student.weights, base=base)
    elif config.model is Trained.lora:
        save_lora(student.reader.model, student.run.model, folder, said)
    else:
        write_json(folder / PROVENANCE, said)
    if student.starts and student.learned is not None:
        student.learned.save(folder)


def provenance(student: Student, step: int, rows: Sequence[Row]) -> Mapping[str, Any]:
    """Settings, the step that was best with what it scored on held-out conversations, versions."""
    best = [row for row in rows if row["step"] == step and "whole_answer" in row]
    commit, dirty = code_state()
    return {
        "made": now(),
        "command": command(),
        "settings": student.said,
        "best_step": step,
        "held_out": dict(best[-1]) if best else {},
        "commit": commit,
        "dirty": dirty,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
