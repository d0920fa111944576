"""Settings of this machine, without a flag: the folder `conf/local`, or FREQEXP_CONFIG_DIR.

It is laid out like `conf/` and is searched before it: `cluster/ours.yaml` there is `cluster=ours`.
Its `local.yaml` holds values for every run.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from freqexp.errors import ConfigError, fault

if TYPE_CHECKING:
    from omegaconf import DictConfig

VARIABLE = "FREQEXP_CONFIG_DIR"
FOLDER = Path("conf") / "local"
FILE = "local.yaml"
SETTINGS = ("local", "settings")
"""Group and option as which `conf/run.yaml` takes the values of the file."""

log = logging.getLogger(__name__)


def local_folder() -> Path | None:
    """The absolute folder of local settings: the one that FREQEXP_CONFIG_DIR names (none where it
    is empty), else `conf/local` of the working directory, where there is one.

    Raises ConfigError for a variable that names no folder, and for a folder that would take the
    place of the configuration of all runs.
    """
    named = os.environ.get(VARIABLE)
    if named is None:
        folder = FOLDER.absolute()
        if not folder.is_dir():
            return None
    elif not named:
        return None
    else:
        folder = Path(named).expanduser().absolute()
        if not folder.is_dir():
            raise ConfigError([fault(VARIABLE, named, "a folder laid out like conf/, or nothing")])
    if (folder / "run.yaml").exists():
        allowed = f"{FILE} for values of every run; run.yaml would take the place of ours"
        raise ConfigError([fault(str(folder), "run.yaml", allowed)])
    log.info("local settings: %s", folder)
    return folder


def local_settings(folder: Path) -> DictConfig | None:
    """The values that the folder's `local.yaml` sets; None without one.

    Raises ConfigError for a file that holds none.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    file = folder / FILE
    if not file.exists():
        return None
    try:
        found = OmegaConf.load(file)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError([f"{file}: {' '.join(str(error).split())}"]) from None
    if not isinstance(found, DictConfig):
        raise ConfigError([fault(str(file), type(found).__name__, "keys with values")])
    return found
