from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torchvision import datasets

from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.sources import check_same_names
from longtail.errors import UserError


def splits(*overrides: Any) -> Any:
    return build_splits(load_config(None, overrides))


def refusal(*overrides: Any) -> Any:
    with pytest.raises(UserError) as error:
        splits(*overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_build_splits_unknown_data_set() -> None:
    assert refusal("DATASET.DATASET", "digits").startswith("unknown data set 'digits'; available: annotations, cifar1")
    assert refusal("DATASET.DATASET", "cifar10lt").endswith("did you mean cifar10_lt?")


# ------------------------------------------------------------------ digits


def test_digits_sizes() -> None:
    train, valid, _ = splits("DATASET.DATASET", "digits_lt", "DATASET.IMBALANCECIFAR.RATIO", 0.02)
    assert (len(train), len(valid)) == (276, 797)
    assert train.class_counts() == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert min(valid.class_counts()) > 70
    assert train.load().shape == (276, 3, 32, 32)
    assert train.load().dtype == torch.uint8
    assert train.load().max() == 255


def test_digits_train_and_valid_disjoint() -> None:
    train, valid, _ = splits("DATASET.DATASET", "digits_lt", "DATASET.IMBALANCECIFAR.RATIO", 1.0)
    assert len(train) == 1000
    seen = {image.numpy().tobytes() for image in train.load()}
    assert len(seen) == 1000
    assert not any(image.numpy().tobytes() in seen for image in valid.load())


def test_digits_valid_labels() -> None:
    seen: Counter[int] = Counter()
    held_out: list[int] = []
    for label in load_digits().target.tolist():
        seen[label] += 1
        if seen[label] > 100:
            held_out.append(label)
    assert splits("DATASET.DATASET", "digits_lt").valid.labels.tolist() == held_out


@pytest.mark.slow
def test_digits_seed() -> None:
    def kept(seed: Any) -> Any:
        cfg = ["DATASET.DATASET", "digits_lt", "DATASET.IMBALANCECIFAR.RANDOM_SEED", seed]
        return splits(*cfg).train

    assert torch.equal(kept(0).load(), kept(0).load())
    assert not torch.equal(kept(0).load(), kept(1).load())
    assert kept(0).class_counts() == kept(1).class_counts()
    assert kept(0).fingerprint() != kept(1).fingerprint()


def test_digits_step_imbalance() -> None:
    train, *_ = splits("DATASET.DATASET", "digits_lt", "DATASET.IMBALANCECIFAR.KIND", "step")
    assert train.class_counts() == [100] * 5 + [1] * 5


def test_digits_empty_classes() -> None:
    error = refusal("DATASET.DATASET", "digits_lt", "DATASET.IMBALANCECIFAR.RATIO", 0.0001)
    assert "5 of 10 classes have no training images: 5, 6, 7, 8, 9; every class needs at least one" in error


# ------------------------------------------------------------------ annotation files


def test_annotations_source(image_folder: Callable[..., str]) -> None:
    train, valid, _ = splits(
        "DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", image_folder("train", [0, 1, 1], 2),
        "DATASET.VALID_JSON", image_folder("valid", [1, 0], 2),
    )  # fmt: skip
    assert train.class_counts() == [1, 2]
    assert valid.labels.tolist() == [1, 0]
    assert train.load().shape == (3, 3, 8, 8)
    assert train.name.endswith("train.json")


@pytest.mark.parametrize("key", ["TRAIN_JSON", "VALID_JSON"])
def test_annotations_source_missing_key(image_folder: Callable[..., str], key: Any) -> None:
    keys = {"TRAIN_JSON": image_folder("train", [0], 1), "VALID_JSON": image_folder("valid", [0], 1), key: ""}
    error = refusal("DATASET.DATASET", "CIFAR", *(part for k, v in keys.items() for part in (f"DATASET.{k}", v)))
    assert error == f"DATASET.{key} is empty; data set 'annotations' needs an annotation file there"


def test_annotations_source_root(image_folder: Callable[..., str], tmp_path: Path) -> None:
    path = image_folder("train", [0, 1], 2)
    moved = tmp_path / "lists" / "train.json"
    moved.parent.mkdir()
    moved.write_text(Path(path).read_text())
    keys = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(moved), "DATASET.VALID_JSON", str(moved)]
    assert splits(*keys, "DATASET.ROOT", str(tmp_path)).train.load().shape == (2, 3, 8, 8)
    with pytest.raises(UserError, match="does not exist"):
        splits(*keys).train.load()


def test_build_splits_refuses_one_class(image_folder: Callable[..., str]) -> None:
    path = image_folder("train", [0, 0], 1)
    error = refusal("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", path, "DATASET.VALID_JSON", path)
    assert error == f"{path} has one class; at least two are needed"


def test_build_splits_class_without_training_images(image_folder: Callable[..., str]) -> None:
    error = refusal(
        "DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", image_folder("train", [0, 2], 14),
        "DATASET.VALID_JSON", image_folder("valid", [0], 14),
    )  # fmt: skip
    assert "12 of 14 classes have no training images: 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...; " in error


def test_build_splits_different_classes(image_folder: Callable[..., str]) -> None:
    error = refusal(
        "DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", image_folder("train", [0, 1], 2),
        "DATASET.VALID_JSON", image_folder("valid", [0], 3),
    )  # fmt: skip
    assert "train.json has 2 classes, " in error and error.endswith("valid.json has 3")


# ------------------------------------------------------------------ third split


def with_test_split(image_folder: Callable[..., str], test_classes: Any = 2) -> Any:
    return [
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", image_folder("train", [0, 1, 1], 2)),
        *("DATASET.VALID_JSON", image_folder("valid", [1, 0], 2)),
        *("DATASET.TEST_JSON", image_folder("test", [1, 0, 1, 1], test_classes)),
    ]


def test_build_splits_without_test_split(image_folder: Callable[..., str]) -> None:
    keys = with_test_split(image_folder)
    assert splits(*keys, "DATASET.TEST_JSON", "").test is None


def test_build_splits_with_test_split(image_folder: Callable[..., str]) -> None:
    built = splits(*with_test_split(image_folder))
    assert (len(built.train), len(built.valid)) == (3, 2)
    assert built.test.labels.tolist() == [1, 0, 1, 1]
    assert built.test.load().shape == (4, 3, 8, 8)
    assert built.test.name.endswith("test.json")


def test_build_splits_test_split_of_digits(image_folder: Callable[..., str]) -> None:
    built = splits("DATASET.DATASET", "digits_lt", "DATASET.TEST_JSON", image_folder("test", [0, 9], 10))
    assert (len(built.train), len(built.valid)) == (242, 797)
    assert built.test.load().shape == (2, 3, 8, 8)


def test_build_splits_test_split_of_different_classes(image_folder: Callable[..., str]) -> None:
    error = refusal(*with_test_split(image_folder, test_classes=3))
    assert "train.json has 2 classes, " in error and error.endswith("test.json has 3")


def test_build_splits_missing_test_file() -> None:
    error = refusal("DATASET.DATASET", "digits_lt", "DATASET.TEST_JSON", "absent.json")
    assert error.startswith("annotation file absent.json does not exist")


@pytest.mark.parametrize("dataset", ["annotations", "digits_lt"])
def test_build_splits_test_split_skips_bad_images(
    image_folder: Callable[..., str], tmp_path: Path, dataset: Any
) -> None:
    keys = with_test_split(image_folder, test_classes=2 if dataset == "annotations" else 10)
    (tmp_path / "test" / "1.png").write_bytes(b"")
    (tmp_path / "test.json").write_text(
        (tmp_path / "test.json").read_text().replace('"category_id": 0', '"category_id": 1')
    )
    keys += ["DATASET.DATASET", dataset] + (
        [] if dataset == "annotations" else ["DATASET.TRAIN_JSON", "", "DATASET.VALID_JSON", ""]
    )
    built = splits(*keys, "DATASET.ON_BAD_IMAGE", "skip")
    images = built.test.load()
    assert torch.equal(images[1], images[2])
    assert built.test.bad_images.summary()["bad_images"]["count"] == 1
    assert (built.valid.bad_images is built.test.bad_images) == (dataset == "annotations")


# ------------------------------------------------------------------ CIFAR


@pytest.mark.slow
@pytest.mark.parametrize(
    ("archive_name", "dataset", "per_class", "total"),
    [
        ("CIFAR10", "cifar10_lt", 20, 78),
        ("CIFAR10", "IMBALANCECIFAR10", 20, 78),
        ("CIFAR100", "cifar100_lt", 20, 737),
        ("CIFAR100", "IMBALANCECIFAR100", 20, 737),
    ],
)
def test_cifar_long_tailed(
    cifar: Any, tmp_path: Path, archive_name: Any, dataset: Any, per_class: Any, total: Any
) -> None:
    images, labels = cifar(archive_name, per_class)
    train, valid, _ = splits(
        "DATASET.DATASET", dataset, "DATASET.ROOT", str(tmp_path), "DATASET.IMBALANCECIFAR.RATIO", 0.1,
    )  # fmt: skip
    assert len(train) == total
    assert train.class_counts()[0] == per_class
    assert train.class_counts()[-1] == per_class // 10
    assert torch.equal(valid.load(), images[:20])
    assert torch.equal(valid.labels, labels[:20])
    labels_of = {image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert [labels_of[image.numpy().tobytes()] for image in train.load()] == train.labels.tolist()


@pytest.mark.parametrize("dataset", ["cifar10_lt", "cifar100_lt"])
def test_cifar_missing_archive(tmp_path: Path, dataset: Any) -> None:
    error = refusal("DATASET.DATASET", dataset, "DATASET.ROOT", str(tmp_path), "DATASET.DOWNLOAD", False)
    assert f"incomplete under {tmp_path} and was not downloaded (DATASET.DOWNLOAD is False; DATASET.ROOT is" in error


def test_cifar_failed_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(datasets.CIFAR10, "download", fail)
    error = refusal("DATASET.DATASET", "cifar10_lt", "DATASET.ROOT", str(tmp_path))
    assert f"incomplete under {tmp_path} and could not be downloaded: no network" in error


@pytest.mark.parametrize("key", ["VALID_JSON", "TEST_JSON"])
def test_annotation_file_names_other_images_of_any_source(image_folder: Callable[..., str], key: str) -> None:
    other = image_folder("other", list(range(10)), 10, ((32, 32),))
    found = splits("DATASET.DATASET", "digits_lt", f"DATASET.{key}", other)
    named = found.valid if key == "VALID_JSON" else found.test
    assert named is not None and named.name == other
    assert len(named) == 10 and len(found.train) > 200
    assert len(found.valid) == (10 if key == "VALID_JSON" else 797)


def test_annotation_file_of_other_classes_is_refused(image_folder: Callable[..., str]) -> None:
    message = refusal("DATASET.DATASET", "digits_lt", "DATASET.VALID_JSON", image_folder("other", [0, 1], 2))
    assert "digits_lt train has 10 classes" in message


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("lost", ["ant", "bee", "fly"])
def test_check_same_names_refuses_a_missing_class(swap: bool, lost: str) -> None:
    classes = ["ant", "bee", "fly"]
    names, owners = (classes, [name for name in classes if name != lost]), ("run/last.pth", "photos")
    if swap:
        names, owners = names[::-1], owners[::-1]
    message = rf"^photos lacks class '{lost}' of run/last\.pth \(2 classes, there 3\); both must name the same classes"
    with pytest.raises(UserError, match=message):
        check_same_names(*names, *owners)
    check_same_names([], ["ant"], *owners)
