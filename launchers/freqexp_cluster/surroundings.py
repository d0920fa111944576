"""The environment that SLURM's commands get: nothing of an allocation around this process.

Inside `salloc`, `srun --pty` or a job, SLURM_* variables say what that one was given. sbatch hands
them on to the new job, where srun takes them for its own options (SLURM_MEM_PER_CPU beside memory
of a node is refused, SLURM_NTASKS changes how many processes there are); SBATCH_* go before what
the batch file asks for, and SQUEUE_* hide jobs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqexp.config.cluster import ClusterConfig

KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"})
"""Which SLURM is meant, and who asks."""
OF_SLURM = ("SLURM_", "SBATCH_", "SQUEUE_", "SINFO_", "SRUN_", "SALLOC_", "SCANCEL_")
FOREIGN = (*OF_SLURM, "SUBMITIT_", "PMI_", "PMIX_", "OMPI_")
OF_THIS_PROCESS = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
        "RANK",
        "LOCAL_RANK",
        "WORLD_SIZE",
        "LOCAL_WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
    }
)
"""Devices of this machine, and a place among processes: those of a job are its own."""
DEFAULTS = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_CLUSTERS": "clusters",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_RESERVATION": "reservation",
}
"""What users set for all their submissions, and the key or the further option that goes before."""


def clean() -> dict[str, str]:
    """The environment for a question to SLURM, and for a job."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not (name.startswith(FOREIGN) or name in OF_THIS_PROCESS)
    }


def defaults(cluster: ClusterConfig) -> dict[str, str]:
    """The user's own defaults of submissions, where `cluster` sets nothing in their place."""
    found = {name: os.environ[name] for name in DEFAULTS if os.environ.get(name)}
    return {
        name: value
        for name, value in found.items()
        if not getattr(cluster, DEFAULTS[name], None) and DEFAULTS[name] not in cluster.extra
    }
