"""Checkpoints of the training: tensors, numbers and text, so that reading one runs no code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from freqexp.errors import UserError


def save(path: Path, checkpoint: Mapping[str, object]) -> None:
    """Replace the file as a whole.

    checkpoint: stage (its index), model (a state dict) and, within a stage, state (`Stage.state`).
    Raises UserError when it can't be written, with the file as it was.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save(dict(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    # On a full disk torch may name its own writer's state and not the system's error.
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"cannot write {path}: {reason}; what was there is kept") from error


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; {"stage": 0} without a file.

    Raises UserError for a file that is damaged, or that holds anything but plain data.
    """
    if not path.exists():
        return {"stage": 0}
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path}: not a checkpoint that can be read ({reason}); move it away to start afresh"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("stage"), int):
        raise UserError(f"{path}: not a checkpoint of this training; move it away to start afresh")
    return found
