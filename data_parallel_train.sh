#!/usr/bin/env bash
# Train on the CPU, on one GPU, or on several GPUs of this machine from one process (DataParallel).
# CONFIG may be a recipe: its stages are trained one after the other.
#
#   bash data_parallel_train.sh CONFIG GPUS [--resume auto|never|PATH] [KEY VALUE ...]
#   bash data_parallel_train.sh configs/cifar10_lt/im100/ncl.yaml 0,1
#   bash data_parallel_train.sh configs/cifar10_lt/im100/ncl.yaml cpu TRAIN.MAX_EPOCH 20
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '5,7s/^# *//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/.venv/bin/python}
[ -z "${VIRTUAL_ENV:-}" ] && [ -x "$python" ] || python=${PYTHON:-python3}
kind=--cfg
grep -qs '^stages:' "$1" && kind=--recipe
exec "$python" "$here/main/train.py" "$kind" "$1" --gpus "$2" "${@:3}"
