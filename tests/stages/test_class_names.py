"""Class names in all files of a run and its evaluation."""

import csv
import json
from pathlib import Path

import pytest

from longtail.checkpoint_file import read_checkpoint
from longtail.config import changed
from longtail.errors import UserError
from longtail.runs.loggers.curves import curves
from longtail.stages.evaluate import validate
from tests.helpers.photos import COUNTS, NAMES, Photos
from tests.helpers.training import CPU, read_json, read_records


@pytest.mark.slow
def test_train_writes_class_names(photos: Photos) -> None:
    results = read_json(photos.run.results)
    assert results["class_names"] == NAMES
    assert results["class_counts"] == COUNTS
    for name in ("last.pth", "best_ensemble.pth"):
        content = read_checkpoint(photos.run.models / name)
        assert (content["class_names"], content["class_counts"]) == (NAMES, COUNTS)


def test_train_logs_the_recall_of_every_class_by_name(photos: Photos) -> None:
    record = read_records(photos.run, "valid")[-1]
    assert list(record["recall"]) == [f"{label} {name}" for label, name in enumerate(NAMES)]
    mean = sum(record["recall"].values()) / 3
    assert record["ensemble"]["balanced_accuracy"] == pytest.approx(mean)
    assert curves(record)["recall/1 猫"] == record["recall"]["1 猫"]


@pytest.mark.slow
def test_validate_writes_class_names(photos: Photos, tmp_path: Path) -> None:
    folder = validate(photos.cfg, photos.run.path, place=CPU)
    assert read_json(folder / "results.json")["class_names"] == NAMES
    with open(folder / "per_class_ensemble.csv", encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == NAMES


def test_validate_refuses_images_of_other_classes(photos: Photos, tmp_path: Path) -> None:
    content = json.loads((photos.folder / "train.json").read_text())
    for entry in content["annotations"]:
        entry["fpath"] = str(photos.folder / entry["fpath"])
    content["classes"] = NAMES[::-1]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    cfg = changed(photos.cfg, "DATASET.VALID_JSON", str(other))
    with pytest.raises(UserError, match="another order of classes"):
        validate(cfg, photos.run.path, place=CPU)
    cfg = changed(cfg, "DATASET.TRAIN_JSON", str(other))  # the data agree, but not with the checkpoint
    with pytest.raises(UserError, match=r"another order of classes than .*best_ensemble.pth"):
        validate(cfg, photos.run.path, place=CPU)
