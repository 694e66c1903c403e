#!/usr/bin/env bash
# Train on the CPU, on one GPU, or on several GPUs of this machine from one process (DataParallel).
# CONFIG is a YAML file or short names, joined by commas; it may be a recipe.
#
#   bash data_parallel_train.sh CONFIG GPUS [--resume auto|never|PATH] [KEY VALUE ...]
#   bash data_parallel_train.sh cifar10_im100,ncl 0,1
#   bash data_parallel_train.sh cifar10_im100,ncl cpu TRAIN.MAX_EPOCH 20
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '5,7s/^# *//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/.venv/bin/python}
[ -z "${VIRTUAL_ENV:-}" ] && [ -x "$python" ] || python=${PYTHON:-python3}
exec "$python" "$here/main/train.py" --cfg "$1" --gpus "$2" "${@:3}"
