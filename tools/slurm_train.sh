#!/usr/bin/env bash
# Usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR or NODES] [options of tools/train.py]
# From the environment: GPUS (in all), GPUS_PER_NODE (8), CPUS_PER_TASK (12), TIME (7-00:00:00), SRUN_ARGS, and SUBMIT_ARGS, further
# options of tools/submit.py, which this script calls: SUBMIT_ARGS="--account A --dry-run".
set -euf -o pipefail # f: SUBMIT_ARGS may hold a *
if [ $# -lt 3 ]; then
    sed -n '2,4p' "$0" >&2
    exit 2
fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3
shift 3
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
GPUS=${GPUS:-$GPUS_PER_NODE}
for name in GPUS_PER_NODE GPUS; do
    if [[ ! ${!name} =~ ^[1-9][0-9]{0,6}$ ]]; then
        echo "error: $name=${!name}: expected a number of GPUs, 1 or more" >&2
        exit 2
    fi
done
if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then GPUS_PER_NODE=$GPUS; fi
if [ $((GPUS % GPUS_PER_NODE)) -ne 0 ]; then
    echo "error: GPUS=$GPUS is not a multiple of GPUS_PER_NODE=$GPUS_PER_NODE: all nodes have equally many GPUs" >&2
    exit 2
fi
NODES=$((GPUS / GPUS_PER_NODE))
case ${1:--} in
    -*) ;;
    *[!0-9]*) set -- --work-dir "$@" ;;
    *)
        NODES=$1
        shift
        ;;
esac
# shellcheck disable=SC2086
exec python "$(dirname "$0")/submit.py" "$CONFIG" --partition "$PARTITION" --job-name "$JOB_NAME" --nodes "$NODES" \
    --gpus "$GPUS_PER_NODE" --cpus-per-task "${CPUS_PER_TASK:-12}" --time "${TIME:-7-00:00:00}" \
    ${SRUN_ARGS:+--srun-args="$SRUN_ARGS"} ${SUBMIT_ARGS:-} -- "$@"
