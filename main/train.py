#!/usr/bin/env python3
"""Train a config, or the stages of a recipe one after the other.

    python main/train.py --cfg digits_lt,ncl
    python main/train.py --cfg cifar10_im100,ncl --gpus 0,1 TRAIN.BATCH_SIZE 128
    python main/train.py --cfg cifar10_im100,ncl --resume output/cifar10_im100_ncl/2026-01-31-12-00-00
    torchrun --nproc_per_node 4 main/train.py --cfg cifar10_im100,ncl --gpus 0,1,2,3
    python main/train.py --cfg cifar10_im100,crt --gpus 0 baseline:TRAIN.MAX_EPOCH 100
    python main/train.py --list

A config is a YAML file, or several joined by commas and merged from left to right; names without `.yaml` are looked up
under configs/ (--list prints them). The same command resumes a run that was stopped (Ctrl-C, SIGTERM, a crash);
`--resume never` starts a new one. The run directory is OUTPUT_DIR/NAME/<date-time>/; the stages of a recipe have theirs
in OUTPUT_DIR/<recipe>/<stage>/, and OUTPUT_DIR/<recipe>/summary.json summarizes them. KEY VALUE applies to all stages
of a recipe, STAGE:KEY VALUE to one.

Exit code: 0 finished, 1 another process of the run has exited, 2 invalid command, config or data, 128 + n stopped by
signal n; the state is saved.
"""

import sys

from longtail.cli.train import script

if __name__ == "__main__":
    sys.exit(script(__doc__))
