"""What users of Hydra type out of habit and is something else here: answered with what to type.

docs/hydra.md has the whole table, of what acts as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from freqexp.errors import fault

LAUNCHERS = {
    "basic": "cluster=local",
    "joblib": "cluster=workers cluster.max_parallel=N",
    "ray": "cluster=workers on one machine, cluster=slurm on several",
    "rq": "cluster=workers",
    "submitit_local": "cluster=workers",
    "submitit_slurm": "cluster=slurm (or a100x4), with cluster.partition and so on",
}
"""Launchers of Hydra and its plug-ins, and what does the same here."""

LAUNCHER_KEYS = {
    "account": "cluster.account",
    "additional_parameters": "+cluster.extra.OPTION",
    "array_parallelism": "cluster.max_parallel",
    "constraint": "cluster.constraint",
    "cpus_per_gpu": "cluster.cpus_per_gpu",
    "cpus_per_task": "cluster.cpus_per_gpu (of each process)",
    "exclude": "cluster.exclude",
    "gpus_per_node": "cluster.gpus_per_node",
    "gres": "cluster.gpus_per_node",
    "max_num_timeout": "cluster.max_requeues",
    "mem_gb": "cluster.mem_gb",
    "n_jobs": "cluster.max_parallel",
    "nodes": "cluster.nodes",
    "partition": "cluster.partition",
    "qos": "cluster.qos",
    "setup": "cluster.setup",
    "signal_delay_s": "cluster.signal_delay_s",
    "submitit_folder": "output_dir (logs are in its sweeps/NAME/jobs)",
    "tasks_per_node": "cluster.processes",
    "timeout_min": "cluster.time",
}
"""Keys of their configurations and ours."""

GRID = "values with commas and -m, as in -m keep_ratio=0.3,0.5,0.7"
OURS = ("freqexp", "hydra_plugins.freqexp_local.")
RESULTS = "output_dir=FOLDER: results are in FOLDER/runs/<run id>, found again by a resume"

HYDRA_KEYS: Mapping[str, tuple[Any, str]] = {
    "hydra.run.dir": (".", RESULTS),
    "hydra.sweep.dir": (".", f"{RESULTS}, the sweep in FOLDER/sweeps/<sweep_name>"),
    "hydra.sweep.subdir": ("${hydra.job.num}", RESULTS),
    "hydra.output_subdir": (
        None,
        "nothing: config.yaml and overrides.yaml are in <output_dir>/runs/<run id>",
    ),
    "hydra.job.chdir": (
        None,
        "nothing: a run stays in the folder it was started in and writes into output_dir",
    ),
    "hydra.job.env_set": (
        {},
        "VARIABLE=VALUE before the command; for jobs on a cluster 'export VARIABLE=VALUE' in "
        "cluster.setup",
    ),
}
"""Keys of Hydra that would move or wrap the results: their value here, and what to type instead."""

GROUPS = {
    "hparams_search": f"nothing adaptive; {GRID}",
    "debug": "experiment=smoke",
    "trainer": "cluster=OPTION says where it runs, model.batch_size=N how many at once",
    "logger": "tracking=auto, online, offline or off",
    "paths": "output_dir=FOLDER, needles.path and model.path",
    "extras.print_config": "--cfg job",
    "task_name": "sweep_name=NAME",
}
"""Groups and keys of the usual project templates, and what stands for them here."""

AGENT = "WANDB_SWEEP_ID"


def typed_faults(overrides: Sequence[str]) -> list[str]:
    """Faults of overrides as they are typed, before Hydra reads them."""
    faults = []
    asked = [text.lstrip("+~") for text in overrides if "hydra.launcher." in text.partition("=")[0]]
    for text in overrides:
        key, equals, value = text.partition("=")
        key = key.lstrip("+~")
        if text.startswith("("):
            allowed = "a file experiment/NAME.yaml for each pair, then -m experiment=NAME,NAME"
            faults.append(fault("override", text, allowed))
        elif key == "hydra/launcher" and value not in OURS:
            faults.append(fault(key, value, _launcher(value, asked)))
        elif key in ("hydra/sweeper", "hydra/hydra_sweeper") and value not in OURS:
            faults.append(fault(key, value, f"freqexp: every combination; {GRID}"))
        elif key in GROUPS and equals:
            faults.append(fault(key, value, GROUPS[key]))
        elif value.replace(" ", "").startswith("interval("):
            faults.append(fault(key, value, GRID))
    if not any(text.startswith("hydra/launcher=") for text in overrides):
        for text in asked:
            key, _, value = text.partition("=")
            faults.append(fault(key, value, _key(text)))
    return faults


def _launcher(name: str, keys: Sequence[str]) -> str:
    meant = LAUNCHERS.get(name, "cluster=local, workers, slurm or a100x4")
    typed = "".join(f"; {text.partition('=')[0]} is {_key(text)}" for text in keys)
    return f"freqexp, which hands all points to what cluster names: {meant}{typed}"


def _key(text: str) -> str:
    name = text.partition("=")[0].split(".")[2]
    return LAUNCHER_KEYS.get(name, "a key of cluster (python -m freqexp.run --cfg job -p cluster)")


def composed_faults(config: DictConfig, hydra: DictConfig) -> list[str]:
    """Faults of a composed configuration and of Hydra's part of it, wherever they were set."""
    faults = []
    for key, (ours, allowed) in HYDRA_KEYS.items():
        found = _raw(hydra, key.removeprefix("hydra."))
        if found != ours and not (key == "hydra.job.chdir" and found is False):
            faults.append(fault(key, found, allowed))
    faults += _plugin_faults(hydra) + _logging_faults(hydra)
    output = _raw(config, "output_dir")
    if isinstance(output, str) and "${now:" in output:
        allowed = "a folder that is the same on every resume; runs and sweeps have their own in it"
        faults.append(fault("output_dir", output, allowed))
    if os.environ.get(AGENT) and str(_raw(config, "tracking")).rpartition(".")[2] != "off":
        allowed = (
            f"off under a W&B agent ({AGENT} is set), whose run ids are its own; a sweep mirrored "
            "to W&B is -m with commas"
        )
        faults.append(fault("tracking", str(_raw(config, "tracking")).rpartition(".")[2], allowed))
    return faults


def _raw(config: DictConfig, path: str) -> Any:
    """A value as it was written, interpolations unresolved; None where there is none."""
    node: Any = config
    for key in path.split("."):
        known = isinstance(node, DictConfig)
        node = node._get_node(key, validate_access=False) if known else None
    if isinstance(node, DictConfig):
        return OmegaConf.to_container(node, resolve=False)
    return None if node is None else node._value()


def _plugin_faults(hydra: DictConfig) -> list[str]:
    """Another launcher or sweeper, chosen in a YAML file."""
    faults = []
    for name in ("launcher", "sweeper"):
        target = str(_raw(hydra, f"{name}._target_"))
        if not target.startswith(OURS[1]):
            known = [key for key in LAUNCHERS if key in target]
            allowed = _launcher(known[0] if known else "", ()) if name == "launcher" else GRID
            faults.append(fault(f"hydra/{name}", target, allowed))
    return faults


def _logging_faults(hydra: DictConfig) -> list[str]:
    """Logs that go to a file of Hydra's."""
    handlers = _raw(hydra, "job_logging.handlers")
    files = [
        handler["filename"]
        for handler in (handlers if isinstance(handlers, Mapping) else {}).values()
        if isinstance(handler, Mapping) and "filename" in handler
    ]
    if not files:
        return []
    allowed = "none, disabled or stdout; hydra.verbose=true says more on stderr, 2>FILE keeps it"
    return [fault("hydra/job_logging", f"a file {files[0]}", allowed)]
