#!/usr/bin/env bash
# Usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG NODES [options of tools/train.py]
# GPUS_PER_NODE (8), CPUS_PER_TASK (12), TIME (7-00:00:00) and SRUN_ARGS from the environment. Slurm sends SIGUSR1 five
# minutes before the time limit: the run writes a checkpoint and exits, and is queued again with --resume.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '2,4p' "$0" >&2
    exit 2
fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 NODES=$4
shift 4
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
mkdir -p work_dirs/slurm
sbatch <<EOF
#!/usr/bin/env bash
#SBATCH --partition=$PARTITION
#SBATCH --job-name=$JOB_NAME
#SBATCH --nodes=$NODES
#SBATCH --ntasks-per-node=$GPUS_PER_NODE
#SBATCH --gres=gpu:$GPUS_PER_NODE
#SBATCH --cpus-per-task=${CPUS_PER_TASK:-12}
#SBATCH --time=${TIME:-7-00:00:00}
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=work_dirs/slurm/%x-%j.log
status=0
srun ${SRUN_ARGS:-} --kill-on-bad-exit=0 python tools/train.py $CONFIG --launcher slurm --resume $* || status=\$?
# 138 is 128 + SIGUSR1: the run stopped because the time limit came near. Queue the rest of it.
if [ \$status -eq 138 ]; then scontrol requeue "\$SLURM_JOB_ID"; fi
exit \$status
EOF
