#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# GPUS is the number on each machine. Several machines: the same command on each, with NNODES, MASTER_ADDR and MASTER_PORT (29500),
# or RDZV_ENDPOINT=host:port, from the environment.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,4p' "$0" >&2
    exit 2
fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
shift 3
exec python -m sapiens.utils.torchrun --nproc_per_node="$GPUS" --max_restarts="${MAX_RESTARTS:-0}" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
