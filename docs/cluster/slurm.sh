#!/bin/bash
#SBATCH --job-name=recipe-strengths
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=08:00:00
#
# A search over the nodes of a SLURM job; for GPUs add --gpus-per-node. From a checkout on a disk that
# all nodes mount, with its .venv made (`make setup`):
#
#   sbatch docs/cluster/slurm.sh search DATASET=... RUN_NAME=mine
#   sbatch docs/cluster/slurm.sh resume RUN=mine         # after the time limit, or a lost node
set -euo pipefail

cd "$SLURM_SUBMIT_DIR"
(($#)) || { echo "A target of make must be given: search DATASET=... or resume RUN=..." >&2; exit 2; }

# This script runs on the first node, which becomes Ray's head. Its name is known to the others.
port=$((20000 + SLURM_JOB_ID % 10000))
address="$(hostname):$port"

# Who reaches Ray's ports may run code, so that each job has its own token; srun hands it to the nodes.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN="$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
export RAY_AUTH_MODE RAY_AUTH_TOKEN

# Ends Ray on all nodes, however this script ends.
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT

ray_on() {  # ray_on <number of nodes> <which, as srun has it> <settings of ray start>
  # srun does not take over the job's --cpus-per-task by itself.
  srun --nodes="$1" --ntasks="$1" "$2" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    .venv/bin/ray start --block --disable-usage-stats \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" "${@:3}" &
}

# A short path of the job's own: sockets lie below it.
ray_on 1 --nodelist="$SLURMD_NODENAME" \
  --head --port="$port" --include-dashboard=false --temp-dir="/tmp/ray-$SLURM_JOB_ID"
if ((SLURM_JOB_NUM_NODES > 1)); then
  # They try for a while until the head is there, and get trials as they join.
  ray_on $((SLURM_JOB_NUM_NODES - 1)) --exclude="$SLURMD_NODENAME" --address="$address"
fi

make "$@" RAY_ADDRESS="$address"
