"""Tests of tools/make_cifar_lt.py."""

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.annotations import read_annotations
from longtail.data.convert import cifar as cifar_module
from longtail.data.long_tail import class_counts, select_indices


def arguments(tmp_path: Path, *options: Any) -> Any:
    paths = ("--input_path", tmp_path, "--output_path", tmp_path / "out")
    return "--dataset", "cifar10", "--imbalance_factor", 10, *paths, "--no-download", *options


@pytest.mark.slow
def test_make_cifar_lt_equals_archive_source(run: Any, cifar: Any, tmp_path: Path) -> None:
    cifar("CIFAR10", 20)
    output = run("make_cifar_lt", *arguments(tmp_path))
    made = build_splits(
        load_config(
            None,
            ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(tmp_path / "out/cifar10_im10_train.json"),
             "DATASET.VALID_JSON", str(tmp_path / "out/cifar10_valid.json")],
        )
    )  # fmt: skip
    archive = build_splits(
        load_config(
            None,
            ["DATASET.DATASET", "cifar10_lt", "DATASET.ROOT", str(tmp_path), "DATASET.IMBALANCECIFAR.RATIO", 0.1],
        )
    )
    for ours, theirs in zip(made[:2], archive[:2], strict=True):
        pixels: Any = (ours.load(), theirs.load())
        assert torch.equal(*pixels)
        assert torch.equal(ours.labels, theirs.labels)
    assert "78 images, 10 classes, 20 to 2 images per class, imbalance factor 10, " in output
    assert (
        "WARNING: the numbers differ from those published. CIFAR-10-LT 10 train: 78 images instead of 20,431" in output
    )


def test_make_cifar_lt_writes_jpeg_of_a_quality_beside_png(run: Any, cifar: Any, tmp_path: Path) -> None:
    cifar("CIFAR10", 20)
    run("make_cifar_lt", *arguments(tmp_path))
    for quality in (75, 20):
        run("make_cifar_lt", *arguments(tmp_path, "--jpeg", quality))
    lossless = read_annotations(tmp_path / "out/cifar10_im10_train.json")
    jpeg = read_annotations(tmp_path / "out/cifar10_im10_q75_train.json")
    assert jpeg.labels == lossless.labels
    assert len(read_annotations(tmp_path / "out/cifar10_q75_valid.json").labels) == 20
    for name, source in zip(jpeg.paths, lossless.paths, strict=True):
        expected = BytesIO()
        Image.open(source).save(expected, "JPEG", quality=75)
        assert Path(name).read_bytes() == expected.getvalue()
    file, image = tmp_path / "out/cifar10_im10_q75_train.json", Path(jpeg.paths[0])
    file.unlink()
    image.write_bytes(image.read_bytes()[:-50])  # damaged: an interrupted run is completed
    assert "1 files had other content and were replaced" in run("make_cifar_lt", *arguments(tmp_path, "--jpeg", 75))
    assert read_annotations(file).paths == jpeg.paths


@pytest.mark.parametrize("quality", [0, 101])
def test_make_cifar_lt_refuses_other_qualities(refused: Any, tmp_path: Path, quality: int) -> None:
    error = refused("make_cifar_lt", *arguments(tmp_path, "--jpeg", quality))
    assert error == f"the JPEG quality is {quality}; it must be 1 to 100"


def test_make_cifar_lt_factors_share_files(run: Any, refused: Any, cifar: Any, tmp_path: Path) -> None:
    cifar("CIFAR10", 20)
    run("make_cifar_lt", *arguments(tmp_path))
    run("make_cifar_lt", *arguments(tmp_path, "--imbalance_factor", 5, "--kind", "step", "--seed", 3))
    step = read_annotations(tmp_path / "out/cifar10_im5_step_seed3_train.json")
    assert Counter(step.labels) == {label: 20 if label < 5 else 4 for label in range(10)}
    error = refused("make_cifar_lt", *arguments(tmp_path))
    assert error == f"{tmp_path}/out/cifar10_im10_train.json exists; --force replaces it"


def test_make_cifar_lt_other_validation_file(run: Any, refused: Any, cifar: Any, tmp_path: Path) -> None:
    cifar("CIFAR10", 20)
    other = tmp_path / "out/cifar10_valid.json"
    other.parent.mkdir()
    other.write_text(json.dumps({"annotations": [{"fpath": "a.jpg", "category_id": 0}], "num_classes": 10}))
    assert refused("make_cifar_lt", *arguments(tmp_path)) == f"{other} exists; --force replaces it"
    assert [path.name for path in other.parent.iterdir()] == [other.name]
    run("make_cifar_lt", *arguments(tmp_path, "--force"))
    assert len(read_annotations(other).labels) == 20


def test_make_cifar_lt_completes_interrupted_run(run: Any, cifar: Any, tmp_path: Path) -> None:
    cifar("CIFAR10", 20)
    run("make_cifar_lt", *arguments(tmp_path))
    file = tmp_path / "out/cifar10_im10_train.json"
    whole, image = file.read_bytes(), Path(read_annotations(file).paths[0])
    pixels = image.read_bytes()
    file.unlink()
    image.unlink()
    image.with_name(f"{image.name}.tmp").write_bytes(pixels[:50])
    run("make_cifar_lt", *arguments(tmp_path))
    assert (file.read_bytes(), image.read_bytes()) == (whole, pixels)
    assert not list(tmp_path.rglob("*.tmp"))


def test_make_cifar_lt_force(run: Any, cifar: Any, tmp_path: Path) -> None:
    cifar("CIFAR10", 20)
    run("make_cifar_lt", *arguments(tmp_path))
    image = Path(read_annotations(tmp_path / "out/cifar10_valid.json").paths[0])
    pixels = image.read_bytes()
    image.write_bytes(b"")
    run("make_cifar_lt", *arguments(tmp_path, "--force"))
    assert image.read_bytes() == pixels


def test_make_cifar_lt_user_errors(refused: Any, cifar: Any, tmp_path: Path) -> None:
    error = refused("make_cifar_lt", *arguments(tmp_path))
    assert error.startswith(f"the archive of cifar10 is missing or incomplete under {tmp_path} and was not downloaded")
    error = refused("make_cifar_lt", *arguments(tmp_path, "--imbalance_factor", 0.5))
    assert error == "the imbalance factor is 0.5; it must be 1 or more"
    cifar("CIFAR10", 20)
    error = refused("make_cifar_lt", *arguments(tmp_path, "--imbalance_factor", 30))
    assert error == "the imbalance factor 30 leaves 2 classes without images"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "classes", "factor", "images"),
    [("cifar10", 10, 100, 12_406), ("cifar10", 10, 50, 13_996), ("cifar10", 10, 10, 20_431),
     ("cifar100", 100, 100, 10_847), ("cifar100", 100, 50, 12_608), ("cifar100", 100, 10, 19_573)],
)  # fmt: skip
def test_make_cifar_lt_published_numbers(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: Any, classes: Any, factor: Any, images: Any
) -> None:
    """Use labels with the counts of the official archives; images are not written."""
    random = np.random.default_rng(0)

    def archive(name: Any, root: Any, *, train: Any, **_: Any) -> Any:
        labels = random.permutation(np.repeat(np.arange(classes), (50_000 if train else 10_000) // classes))
        data = np.zeros((len(labels), 32, 32, 0), np.uint8)
        return SimpleNamespace(data=data, targets=labels.tolist(), classes=[str(label) for label in range(classes)])

    monkeypatch.setattr(cifar_module, "read_archive", archive)
    monkeypatch.setattr(cifar_module, "write_images", lambda *args, **kwargs: None)
    paths = ("--output_path", tmp_path, "--dataset", dataset)
    output = run("make_cifar_lt", *paths, "--imbalance_factor", factor)
    name = f"CIFAR-{classes}"
    assert f"{images:,} images, {classes} classes, " in output
    assert f"the numbers are those published for {name}-LT {factor} train" in output
    assert f"the numbers are those published for {name} test" in output
    random = np.random.default_rng(0)
    labels = archive(dataset, "", train=True, download=False).targets
    kept = select_indices(labels, class_counts(50_000 // classes, classes, 1 / factor), 0)
    listed = read_annotations(tmp_path / f"{dataset}_im{factor}_train.json")
    assert listed.paths == [str(tmp_path / dataset / "train" / f"{index:05d}.png") for index in kept]
    assert listed.labels == [labels[index] for index in kept]
