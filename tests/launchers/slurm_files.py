"""What a SLURM of two nodes on the loopback reads: configuration, key, GPUs, and a `sacct`."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from pathlib import Path

NODES = 2
GPUS = 4

SLURM_CONF = """\
ClusterName=freqexp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,default_queue_depth=200,batch_sched_delay=0
KillWait=3
MinJobAge=300
MaxArraySize=5000
MaxJobCount=10000
JobRequeue=1
GresTypes=gpu
NodeName={nodes} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_ports} CPUs=16 \
CoresPerSocket=16 RealMemory=64000 Gres=gpu:a100:{gpus}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=5 State=UP
"""
"""cred_expire: a requeued job waits that long (the default is two minutes)."""

GRES_CONF = """\
AutoDetect=off
NodeName={nodes} Name=gpu Type=a100 File={folder}/nvidia[0-{last_gpu}]
"""
"""Without `File`, or with one that is no device, a job is not told its GPUs."""

SACCT = """\
#!/usr/bin/env bash
# There is no accounting daemon: answers from the controller the one call that submitit makes.
ids=()
while [ $# -gt 0 ]; do [ "$1" = -j ] && { ids+=("$2"); shift; }; shift; done
echo "JobID|State|NodeList"
exec squeue -h -r -t all -o '%i|%T|%N' -j "$(IFS=,; echo "${ids[*]}")"
"""


def write_files(folder: Path) -> None:
    """slurm.conf, gres.conf, a munge key, files that pass for GPUs, and `sacct`."""
    folder.chmod(0o755)  # munged wants its socket to be reachable
    ports = free_ports(NODES + 1)
    values = {
        "host": socket.gethostname().split(".")[0],
        "user": getpass.getuser(),
        "folder": folder,
        "nodes": f"node[1-{NODES}]",
        "controller_port": ports[0],
        "node_ports": ",".join(map(str, ports[1:])),
        "gpus": GPUS,
        "last_gpu": GPUS - 1,
    }
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
    (folder / "gres.conf").write_text(GRES_CONF.format(**values))
    (folder / "munge.key").touch(mode=0o600)
    (folder / "munge.key").write_bytes(os.urandom(128))
    for gpu in range(GPUS):
        (folder / f"nvidia{gpu}").symlink_to("/dev/null")
    (folder / "bin").mkdir()
    (folder / "bin" / "sacct").write_text(SACCT)
    (folder / "bin" / "sacct").chmod(0o755)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
