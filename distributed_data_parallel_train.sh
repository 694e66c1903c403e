#!/usr/bin/env bash
# Train in several processes (DistributedDataParallel), one per GPU, or on the CPU through gloo.
# CONFIG is a YAML file or short names, joined by commas; it may be a recipe.
#
#   bash distributed_data_parallel_train.sh CONFIG NUM_PROCESSES GPUS [--resume auto|never|PATH] [KEY VALUE ...]
#   bash distributed_data_parallel_train.sh cifar10_im100,ncl 4 0,1,2,3
#   bash distributed_data_parallel_train.sh cifar10_im100,ncl 2 cpu
#
# TORCHRUN_ARGS is passed to torchrun, for several machines: "--nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST:29500".
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '5,7s/^# *//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/.venv/bin/python}
[ -z "${VIRTUAL_ENV:-}" ] && [ -x "$python" ] || python=${PYTHON:-python3}
where=${TORCHRUN_ARGS:---standalone}
# A new rendezvous store for every restart: in a shared one torchrun leaves the addresses of processes that have exited.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}
if [ -z "${OMP_NUM_THREADS:-}${MKL_NUM_THREADS:-}" ]; then  # torchrun would export 1
    threads=$(LOCAL_WORLD_SIZE=$2 "$python" -m longtail.threads 2>/dev/null) && export OMP_NUM_THREADS=$threads
fi
# shellcheck disable=SC2086  (several words on purpose)
exec "$python" -m torch.distributed.run $where --nproc-per-node "$2" "$here/main/train.py" --cfg "$1" --gpus "$3" "${@:4}"
