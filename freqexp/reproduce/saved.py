"""Saved runs: their configuration on this machine, and what differs from where they were made."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqexp.answering.measure import host_kind
from freqexp.comparing.load import load
from freqexp.comparing.run import Run
from freqexp.comparing.run_files import load_run
from freqexp.comparing.text import plain
from freqexp.composing.compose import compose
from freqexp.config.identity import EXECUTION
from freqexp.config.run import RunConfig, Tracking
from freqexp.config.saved import from_yaml
from freqexp.errors import ConfigError, UserError, fault
from freqexp.reproduce.outside import absent, differing
from freqexp.results.provenance import CONFIG, code_state, versions

if TYPE_CHECKING:
    from freqexp.answering.session import Session

GROUP = "cluster"


@dataclass(frozen=True)
class Saved:
    """A saved run. run: its results; None when only its configuration was kept."""

    name: str
    config: Path
    run: Run | None


@dataclass(frozen=True)
class Surroundings:
    """What a run depends on, then and now. same: names of what is equal. changed: in sentences.

    other_weights: its weights are not those here, so a score would be another model's.
    """

    same: tuple[str, ...]
    changed: tuple[str, ...]
    other_weights: bool
    other_versions: bool


def find(target: str, outputs: str) -> list[Saved]:
    """The saved runs that `target` names: a config.yaml, a run, a sweep or an output folder.

    Raises UserError for a target that is none of it.
    """
    path = Path(target).expanduser()
    file = path / CONFIG if path.is_dir() else path
    if file.is_file() and file.suffix in (".yaml", ".yml"):
        run = load_run(file.parent) if file.name == CONFIG else None
        return [Saved(file.parent.name if file.name == CONFIG else file.stem, file, run)]
    loaded = load([target], outputs)
    found = [Saved(run.run_id, run.folder / CONFIG, run) for run in loaded.runs]
    absent = [saved.name for saved in found if not saved.config.is_file()]
    if absent:
        raise UserError(f"{target}: no {CONFIG} in {', '.join(absent)}; nothing says what to run")
    return found


def parse_config(saved: Saved, folders: Sequence[Path | str] = ()) -> RunConfig:
    """The saved configuration with this version's defaults for scheduling and tracking, unchecked.

    folders: where methods of the user's own are.
    Raises UserError and ConfigError, for an older version's file with what to do, and for a method
    from outside that is not here.
    """
    lacking = absent(saved.run.provenance if saved.run is not None else {}, folders)
    if lacking:
        raise ConfigError([f"{saved.name}: {line}" for line in lacking])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / CONFIG
        file.write_text(_without_execution(saved.config), encoding="utf-8")
        try:
            cfg = from_yaml(file, folders)
        except ConfigError as error:
            raise ConfigError([_older(saved, str(error).replace(f"{file}: ", ""))]) from None
    # The run may have more samples than the sweep that was named asked for.
    asked = saved.run.asked if saved.run is not None else None
    return cfg if asked is None else replace(cfg, samples=asked)


def read_config(
    saved: Saved, overrides: Sequence[str], output_dir: str, folders: Sequence[Path | str] = ()
) -> RunConfig:
    """The saved configuration, to be computed here into `output_dir`.

    overrides: `key=value` on the saved values, and `cluster=OPTION`. Raises what `parse_config`
    raises, and ConfigError with every fault.
    """
    cluster = [text for text in overrides if text.partition("=")[0] == GROUP]
    cfg = replace(
        parse_config(saved, folders),
        cluster=compose(cluster).cluster,
        tracking=Tracking.off,
        output_dir=output_dir,
    )
    return _changed(cfg, [text for text in overrides if text not in cluster])


def _without_execution(path: Path) -> str:
    """The file's text with this version's defaults in place of what says where to compute."""
    import yaml
    from omegaconf import OmegaConf

    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(value, dict) or "model" not in value:
        raise UserError(fault("TARGET", str(path), "the config.yaml of a run"))
    defaults: Any = OmegaConf.to_container(OmegaConf.structured(compose()))
    kept = {key: item for key, item in value.items() if key not in EXECUTION}
    execution = {key: defaults[key] for key in EXECUTION}
    return OmegaConf.to_yaml(OmegaConf.create({**kept, **execution}))


def _older(saved: Saved, reason: str) -> str:
    provenance = saved.run.provenance if saved.run is not None else {}
    commit = provenance.get("commit")
    own = provenance.get("versions")
    version = own.get("freqexp") if isinstance(own, Mapping) else None
    by = f"written by freqexp {plain(version)}" if version else "written by another version"
    at = f"; check out {plain(commit)} to run it as it was" if commit else ""
    return f"{saved.config}: {by}, whose schema this version does not read ({reason}){at}"


def _changed(cfg: RunConfig, overrides: Sequence[str]) -> RunConfig:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from freqexp.config.check import check

    node = OmegaConf.structured(cfg)
    faults = []
    for text in overrides:
        key, equals, value = text.partition("=")
        try:
            if not equals:
                raise ValueError("no =")
            OmegaConf.update(node, key, OmegaConf.from_dotlist([f"x={value}"]).x)
        except (OmegaConfBaseException, ValueError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            faults.append(fault("override", text, f"key=value on a saved value ({reason})"))
    if faults:
        raise ConfigError(faults)
    changed = OmegaConf.to_object(node)
    assert isinstance(changed, RunConfig)
    faults = check(changed)
    if faults:
        raise ConfigError(faults)
    return changed


def surroundings(saved: Saved, cfg: RunConfig, session: Session) -> Surroundings:
    """Weights, data, code, versions and machine of a saved run beside those here."""
    then = saved.run.provenance if saved.run is not None else {}
    if not then:
        return Surroundings((), ("no provenance was saved with it",), False, True)
    same, changed = [], []
    hashes = session.hashes(cfg)
    for name in ("weights_hash", "data_hash", "code_hash"):
        title = name.removesuffix("_hash")
        if then.get(name) == hashes[name]:
            same.append(title)
        else:
            changed.append(f"{title}: {_short(then.get(name))} then, {_short(hashes[name])} now")
    if "code" not in same:
        changed[-1] += f" (commit {_short(then.get('commit'))}, now {_short(code_state()[0])})"
    changed += differing(then, cfg)
    packages = _packages(then.get("versions"))
    changed += packages
    if not packages:
        same.append("versions")
    host = host_kind(cfg.model)
    if then.get("host_kind") == host:
        same.append(f"kind of machine ({plain(host)})")
    else:
        changed.append(f"machine: {plain(then.get('host_kind'))} then, {host} now")
    if then.get("dirty"):
        changed.append("it was made with changes that were not committed")
    if then.get("resumed"):
        changed.append(f"it was continued {len(then['resumed'])} times")
    return Surroundings(
        tuple(same),
        tuple(changed),
        other_weights="weights" not in same,
        other_versions=bool(packages),
    )


def _packages(then: object) -> list[str]:
    """Packages of another version, one sentence, first those that were there then and are now; none
    when all are the same.
    """
    now = versions()
    before = then if isinstance(then, Mapping) else {}
    differing = [
        f"{plain(name)} {plain(before.get(name, 'none'))} -> {now.get(name, 'none')}"
        for name in sorted({*before, *now}, key=lambda n: (n not in before or n not in now, str(n)))
        if before.get(name) != now.get(name)
    ]
    return [f"versions: {', '.join(differing)}"] if differing else []


def _short(value: object) -> str:
    return plain(value)[:12] if value else "unknown"
