"""Class names: from the annotation files to the splits and the data tools."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.annotations import read_annotations
from longtail.data.inspect.browse import browse
from longtail.data.inspect.verify import as_json, verify
from longtail.data.inspect.verify_text import as_text
from longtail.data.sources import check_same_names
from longtail.errors import UserError

NAMES = ["Avion à réaction", "猫", "truck #1"]
ImageFolder = Callable[..., str]


def name_classes(path: str, names: object, key: str = "classes") -> str:
    """Write names into an annotation file."""
    content = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({**content, key: names}))
    return path


def config(train: str, valid: str) -> CfgNode:
    files = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", train, "DATASET.VALID_JSON", valid]
    return load_config(None, [*files, "DATASET.VIEWS", ["none"], "TRAIN.BATCH_SIZE", 2])


@pytest.fixture
def files(image_folder: ImageFolder) -> tuple[str, str]:
    """Return the annotation files of a training and a validation split with three classes."""
    return image_folder("train", [0, 0, 0, 1, 1, 2], 3), image_folder("valid", [0, 1, 2], 3)


@pytest.mark.parametrize("key", ["classes", "class_names"])
def test_read_annotations_class_names(files: tuple[str, str], key: str) -> None:
    assert read_annotations(files[0]).class_names == ()
    assert read_annotations(name_classes(files[0], NAMES, key)).class_names == tuple(NAMES)


@pytest.mark.parametrize("names", [NAMES[:2], [*NAMES, "more"], ["a", "b", 3], "abc"])
def test_read_annotations_refuses_names_that_are_not_one_per_class(files: tuple[str, str], names: object) -> None:
    with pytest.raises(UserError, match="classes must be 3 names"):
        read_annotations(name_classes(files[0], names))


def test_build_splits_class_names(files: tuple[str, str]) -> None:
    train, valid = files
    assert build_splits(config(train, valid)).class_names() == []
    name_classes(valid, NAMES)  # one split is enough
    splits = build_splits(config(train, valid))
    assert splits.class_names() == NAMES
    assert splits.train.class_names == ()


@pytest.mark.parametrize(
    ("names", "message"), [(NAMES[::-1], "another order of classes"), ([*NAMES[:2], "lorry"], "other classes")]
)
def test_build_splits_refuses_a_split_with_other_names(files: tuple[str, str], names: list[str], message: str) -> None:
    cfg = config(name_classes(files[0], NAMES), name_classes(files[1], names))
    with pytest.raises(UserError, match=rf"valid.json has {message} than .*train.json"):
        build_splits(cfg)


def test_check_same_names_accepts_equal_and_missing_names() -> None:
    check_same_names(NAMES, NAMES, "a", "b")
    check_same_names(NAMES, (), "a", "b")
    check_same_names((), NAMES, "a", "b")


def test_browse_prefers_the_names_of_the_annotation_file(files: tuple[str, str]) -> None:
    sheet = browse(config(name_classes(files[0], NAMES), files[1]), 1)
    assert sheet.class_names == NAMES
    assert {sample.label: sample.name for sample in sheet.samples} == dict(enumerate(NAMES))


def test_verify_shows_names_and_reports_different_ones(files: tuple[str, str]) -> None:
    train, valid = files
    report = verify([name_classes(train, NAMES), name_classes(valid, NAMES)])
    assert not [finding for finding in report.findings if finding.kind == "classes"]
    assert "Avion à réaction 3  猫 2  truck #1 1" in as_text(report)
    assert as_json(report)["splits"][0]["class_names"] == NAMES
    report = verify([train, name_classes(valid, NAMES[::-1])])
    assert [finding.split for finding in report.findings if finding.kind == "classes"] == [valid]
    assert "lists other classes, or another order of classes, than" in as_text(report)
