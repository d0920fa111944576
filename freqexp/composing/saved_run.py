"""`--config-path outputs/runs/ID --config-name config`: a saved run as Hydra's primary config.

Where it was computed and shown is this command's matter, and an option that the command chooses
takes the place of what was saved for its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freqexp.config.identity import EXECUTION
from freqexp.errors import ConfigError, fault
from freqexp.paths import conf_dir

NAME = "saved_run"
"""Of the primary config in the ConfigStore."""

HERE = (*EXECUTION, "output_dir")
"""What is not taken from the file: how and where a run is computed and shown."""

GROUPS = ("model", "compressor", "profile", "needles")
PLACES = ("codec", "token", "kv")


def store_saved(folder: str, name: str | None, overrides: Sequence[str]) -> str:
    """Put a saved run into Hydra's ConfigStore, inside `hydra_ready`; gives its config name.

    folder, name: as given to Hydra's flags; relative to the working directory. overrides: of the
    command. Raises ConfigError for a file that is not the configuration of a run.
    """
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    file = Path(folder).expanduser() / f"{(name or 'config').removesuffix('.yaml')}.yaml"
    allowed = "a folder outputs/runs/<run id> with --config-name config; options of your own: "
    allowed += "--config-dir"
    try:
        saved = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        primary = OmegaConf.to_container(OmegaConf.load(conf_dir() / "run.yaml"), resolve=False)
    except OSError as error:
        reason = f"{file}: {error.strerror or 'not there'}"
        raise ConfigError([fault("--config-path", folder, f"{allowed} ({reason})")]) from None
    except (ValueError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError([f"{file}: {' '.join(str(error).split())}"]) from None
    if not isinstance(saved, dict) or not {"model", "compressor", "needles"} <= set(saved):
        raise ConfigError([fault("--config-path", folder, f"{allowed} ({file} is no run)")])
    assert isinstance(primary, dict)
    store = ConfigStore.instance()
    store.repo.pop(f"{NAME}.yaml", None)
    store.store(name=NAME, node=_primary(primary, saved, overrides))
    return NAME


def _primary(primary: dict[Any, Any], saved: dict[Any, Any], overrides: Sequence[str]) -> Any:
    """conf/run.yaml with the saved values in place of its own."""
    chosen = {text.partition("=")[0].lstrip("+").partition("@")[0] for text in overrides}
    kept = [group for group in GROUPS if group not in chosen]
    values = {key: value for key, value in saved.items() if key not in (*HERE, *GROUPS)}
    values |= {group: saved[group] for group in kept if group in saved}
    defaults = []
    for entry in primary["defaults"]:
        group = next(iter(entry)) if isinstance(entry, dict) else entry
        if group in kept and group in saved:
            defaults += _schemas(group, saved[group])
        else:
            defaults.append(entry)
    own = {key: value for key, value in primary.items() if key != "defaults"}
    return {**own, **values, "defaults": defaults}


def _schemas(group: str, section: dict[str, Any]) -> list[dict[str, str]]:
    """The schemas of a saved section, which say what its keys are."""
    if group != "compressor":
        made = [{f"/schema@{group}": group}]
        if group == "model":
            made.append({"/schema/render@model.render": section["render"]["name"]})
        return made
    made = [{"/schema/compressor@compressor": section["name"]}]
    if section["name"] == "combined":
        made += [
            {f"/schema/compressor@compressor.{place}": section[place]["name"]}
            for place in PLACES
            if isinstance(section.get(place), dict)
        ]
    return made
