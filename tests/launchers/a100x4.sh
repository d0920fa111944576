#!/bin/bash

# Parameters
#SBATCH --account=vision
#SBATCH --array=0-7%4
#SBATCH --constraint='a100&80gb'
#SBATCH --cpus-per-task=8
#SBATCH --exclude=node7
#SBATCH --gpus-per-node=4
#SBATCH --job-name=freqexp-table1
#SBATCH --mem=245760M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --open-mode=append
#SBATCH --output=/data/outputs/sweeps/table1/jobs/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=long
#SBATCH --requeue
#SBATCH --reservation=mine
#SBATCH --signal=USR2@300
#SBATCH --time=480

# setup
module load cuda
_code=$?; [ $_code = 0 ] || { echo 'freqexp: cluster.setup: module load cuda (exit code '"$_code)" >&2; exit 1; }
export PYTHONPATH=/data/code:/data/code/launchers${PYTHONPATH:+:$PYTHONPATH}
export PYTHONSAFEPATH=1
export OMP_NUM_THREADS=8

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /data/outputs/sweeps/table1/jobs/%A_%a_%t_log.out --cpus-per-task=8 --kill-on-bad-exit=1 --wait=0 python -u -m submitit.core._submit /data/outputs/sweeps/table1/jobs
