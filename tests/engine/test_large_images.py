"""A run as on ImageNet-LT, in small: files of any size, worker processes, NCL's policy, an image backbone."""

import json

import pytest

from longtail.config import load_config
from longtail.engine.training import train


@pytest.mark.parametrize(("loss", "views"), [("NIL_NBOD", 1), ("NIL_NBOD_plus", 2)])
def test_nested_training_from_files(image_folder, tmp_path, loss, views):
    sizes = ((70, 80), (90, 66))
    train_json = image_folder("train", [0, 1, 2] * 4, 3, sizes)
    valid_json = image_folder("valid", [0, 1, 2], 3, sizes)
    settings = [
        *("DATASET.DATASET", "ImageNet_LT", "DATASET.TRAIN_JSON", train_json, "DATASET.VALID_JSON", valid_json),
        *("DATASET.INTRA_N", views, "INPUT_SIZE", [32, 32], "OUTPUT_DIR", str(tmp_path), "TRAIN.NUM_WORKERS", 1),
        *("BACKBONE.MULTI_NETWORK_TYPE", ["res10", "res10"], "CLASSIFIER.TYPE", "cos", "TRAIN.BATCH_SIZE", 6),
        *("TRAIN.COMBINER.TYPE", "multi_network_default", "LOSS.LOSS_TYPE", loss, "LOSS.HCM_N", 2),
        *("LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6),
        *("TRAIN.MAX_EPOCH", 1, "TRAIN.TENSORBOARD.ENABLE", False, "TEST.NUM_WORKERS", 0),
    ]
    run = train(load_config(None, settings), "x.yaml", "cpu")
    results = json.loads(run.results.read_text())
    assert (results["experts"], results["classes"]) == (2, 3)
    record = json.loads(run.metrics.read_text().splitlines()[0])
    distillation = {"NIL_NBOD": {"loss/nbod", "loss/hard_nbod"}, "NIL_NBOD_plus": {"loss/intra", "loss/inter"}}
    assert {"loss/ce", "loss/hard_ce"} | distillation[loss] <= record.keys()
