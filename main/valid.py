#!/usr/bin/env python3
"""Evaluate a trained network: accuracy, shot groups, per-class tables, confusion matrices, per expert and ensemble.

    python main/valid.py --cfg output/digits_lt_ncl/2026-01-31-12-00-00/config.yaml
    python main/valid.py --cfg RUN/config.yaml --gpus cpu TEST.MODEL_FILE best_single.pth
    python main/valid.py --cfg RUN/config.yaml --split test
    python main/valid.py --cfg RUN/config.yaml DATASET.VALID_JSON other_images.json
    python main/valid.py --cfg cifar10_im100,ncl TEST.MODEL_FILE released/best_ensemble_model.pth
    python main/valid.py --cfg RUN/config.yaml TEST.TAU_NORM.USE_TAU_NORM True TEST.TAU_NORM.TAU 0.7
    python main/valid.py --cfg RUN/config.yaml --tau-sweep 0 0.25 0.5 0.75 1
    python main/valid.py --cfg RUN/config.yaml --logit-adjustment-sweep

Evaluates best_ensemble.pth of the run directory that holds the YAML file, unless TEST.MODEL_FILE names another. Writes
RUN/evaluation/<date-time>/; for a config outside a run directory OUTPUT_DIR/NAME/evaluation/<date-time>/. --split test
evaluates the images of DATASET.TEST_JSON, or those that the training held out of your own images as a test split.

A sweep evaluates once per strength of tau-normalization or post-hoc logit adjustment, from one pass over the images,
and writes a table (CSV) and a figure. A strength chosen on the images that are then reported overstates the result.

Exit code: 0 done, 2 invalid command, config or data.
"""

import sys

from longtail.cli.valid import script

if __name__ == "__main__":
    sys.exit(script(__doc__))
