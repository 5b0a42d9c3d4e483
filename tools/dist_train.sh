#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT from the environment, the same command on each.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,3p' "$0" >&2
    exit 2
fi
CONFIG=$1 GPUS=$2
shift 2
# Stop signals go to every process, which may take its time to write its checkpoint (by default torchrun knows no SIGUSR1, and
# kills after 30 s). Older releases of torch have no such options.
STOP=()
if python -m torch.distributed.run --help | grep -q -- --signals-to-handle; then
    STOP=(--signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 --shutdown-timeout "${SHUTDOWN_TIMEOUT:-900}")
fi
exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    "${STOP[@]}" --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
