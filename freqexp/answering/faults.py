"""What went wrong with a sample: in words, and whether a smaller batch could do better."""

from __future__ import annotations

import traceback
from pathlib import Path

from freqexp.errors import UserError


def is_out_of_memory(error: Exception) -> bool:
    """Whether a smaller batch could go where this failed; torch has no class for CPU memory."""
    import torch

    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def describe(error: Exception) -> str:
    """An error in one line: what a user can mend as it is, anything else with type and place."""
    if isinstance(error, UserError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
