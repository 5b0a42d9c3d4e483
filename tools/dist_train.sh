#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT from the environment, the same command on each.
# A stop signal leaves SHUTDOWN_TIMEOUT seconds (900) for the checkpoint.
# The exit status is that of the training: 0, 128 + a signal's number for a stopped run, 2 for a wrong input, 1 for other errors.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,5p' "$0" >&2
    exit 2
fi
CONFIG=$1 GPUS=$2
shift 2
exec python -m sapiens.utils.torchrun \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
