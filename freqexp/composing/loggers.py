"""The loggers of this project, turned up by `hydra.verbose`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

OURS = ("freqexp", "freqexp_cluster")
FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Shown(logging.StreamHandler):  # type: ignore[type-arg]
    """On stderr, as it is at that time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter(FORM, "%H:%M:%S"))


def turn_up(verbose: bool | str | Iterable[str]) -> None:
    """Show everything these loggers say: True is this project's, a name or names are those.

    Without it only warnings are shown.
    """
    if isinstance(verbose, bool):
        names: Iterable[str] = OURS if verbose else ()
    else:
        names = (verbose,) if isinstance(verbose, str) else verbose
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        if not logger.hasHandlers():
            logger.addHandler(_Shown())
