#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# GPUS is the number on each machine. Several machines: the same command on each, with NNODES (4, or 2:4 for any number from 2 to
# 4), MASTER_ADDR and MASTER_PORT (29500), or RDZV_ENDPOINT=host:port, from the environment.
# A run that fails is started again MAX_RESTARTS (3) times and resumes. A stop signal leaves SHUTDOWN_TIMEOUT seconds (900) for
# the checkpoint.
# The exit status is that of the training: 0, 128 + a signal's number for a stopped run, 2 for a wrong input, 1 for other errors.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,7p' "$0" >&2
    exit 2
fi
CONFIG=$1 GPUS=$2
shift 2
exec python -m sapiens.utils.torchrun --nproc_per_node="$GPUS" --max_restarts="${MAX_RESTARTS:-3}" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
