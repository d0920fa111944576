"""Which of W&B's own settings decided how a run is mirrored, and which do not count, in words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOT_HEEDED = (
    "WANDB_RUN_ID",
    "WANDB_RESUME",
    "WANDB_NAME",
    "WANDB_RUN_GROUP",
    "WANDB_JOB_TYPE",
    "WANDB_TAGS",
    "WANDB_PROJECT",
    "WANDB_DIR",
)
"""Variables of things that a run says by itself, whatever they hold."""


def who_decided(settings: Any) -> str | None:
    """What set the mode of `wandb.setup`'s settings; None where nothing did."""
    for name in ("WANDB_MODE", "WANDB_DISABLED"):
        if os.environ.get(name):
            return f"{name}={os.environ[name]}"
    for file in (settings.settings_workspace, settings.settings_system):
        if file and _sets_mode(Path(file)):
            return f"{file} (`wandb online` takes it back)"
    return None


def _sets_mode(file: Path) -> bool:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return any(line.partition("=")[0].strip() in ("mode", "disabled") for line in lines)


def unheeded() -> Sequence[str]:
    """Variables that are set and don't count."""
    return [name for name in NOT_HEEDED if os.environ.get(name)]
