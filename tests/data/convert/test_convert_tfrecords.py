"""Tests of the converter of TFRecords, which are written with TensorFlow."""

import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.cli import train
from longtail.data.annotations import read_annotations

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
CIFAR = ROOT.parent / "shared" / "data" / "cifar10_jpeg.zip"


def test_convert_tfrecords_without_tensorflow(refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cifar-10-data-im-0.01").mkdir()
    for name in ("train", "eval"):
        (tmp_path / "cifar-10-data-im-0.01" / f"{name}.tfrecords").touch()
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # importing it raises ImportError
    error = refused("convert_from_tfrecords", "--input_path", tmp_path, "--output_path", tmp_path / "out")
    assert error == "TensorFlow is needed to read TFRecords and is not installed: pip install -e '.[tfrecords]'"
    assert not (tmp_path / "out").exists()


def test_convert_tfrecords_missing_folders(refused: Any, tmp_path: Path) -> None:
    arguments = ("--output_path", tmp_path / "out")
    assert refused("convert_from_tfrecords", "--input_path", tmp_path / "no", *arguments).endswith("does not exist")
    error = refused("convert_from_tfrecords", "--input_path", tmp_path, *arguments)
    assert error == f"{tmp_path} holds no folder like cifar-10-data-im-0.01"
    (tmp_path / "cifar-10-data-im-0.01").mkdir()
    error = refused("convert_from_tfrecords", "--input_path", tmp_path, *arguments)
    assert error == f"{tmp_path}/cifar-10-data-im-0.01 lacks train.tfrecords"


@pytest.fixture
def tensorflow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the TensorFlow module."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install -e '.[tfrecords]'")


@pytest.fixture
def record(tensorflow: Any) -> Any:
    """Return a function that serializes one record as Cui et al. do."""
    train = tensorflow.train

    def record(image: bytes, label: int) -> bytes:
        features = {
            "image": train.Feature(bytes_list=train.BytesList(value=[image])),
            "label": train.Feature(int64_list=train.Int64List(value=[label])),
        }
        return train.Example(features=train.Features(feature=features)).SerializeToString()

    return record


@pytest.fixture
def images() -> Any:
    """Return forty images (3, 32, 32) and labels, of CIFAR-10 if available; the same for both splits."""
    if CIFAR.exists():
        from zipfile import ZipFile

        with ZipFile(CIFAR) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith("jpg"))
            chosen = names[:: len(names) // 40][:40]
            pixels = [np.array(Image.open(archive.open(name)).convert("RGB")) for name in chosen]
    else:
        noise = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
        # Smooth images, which JPEG keeps nearly unchanged.
        pixels = [np.array(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)) for image in noise]
    return [image.transpose(2, 0, 1) for image in pixels], [number % 10 for number in range(40)]


@pytest.fixture
def written(tensorflow: Any, record: Any, images: Any, tmp_path: Path) -> Any:
    """Write both splits of cifar-10-data-im-0.1; return the folder above."""
    folder = tmp_path / "in" / "cifar-10-data-im-0.1"
    folder.mkdir(parents=True)
    for name in ("train", "eval"):
        with tensorflow.io.TFRecordWriter(str(folder / f"{name}.tfrecords")) as writer:
            for image, label in zip(*images, strict=True):
                writer.write(record(image.tobytes(), label))
    return folder.parent


def arguments(written: Any, tmp_path: Path, *options: Any) -> Any:
    return "--input_path", written, "--output_path", tmp_path / "out", *options


def test_convert_tfrecords(run: Any, content: Any, images: Any, written: Any, tmp_path: Path) -> None:
    output = run("convert_from_tfrecords", *arguments(written, tmp_path))
    folder = tmp_path / "out" / "cifar10_imbalance10"
    for split in ("train", "valid"):
        listed = read_annotations(folder / f"cifar10_imbalance10_{split}.json")
        assert listed.labels == images[1]
        assert listed.paths[13] == str(folder / f"images/3/{split}_13.png")
        for path, image in zip(listed.paths, images[0], strict=True):
            assert np.array_equal(np.array(Image.open(path)), image.transpose(1, 2, 0))
    assert content(folder / "cifar10_imbalance10_train.json")["annotations"][13] == {
        "image_id": 13, "fpath": "images/3/train_13.png", "im_height": 32, "im_width": 32, "category_id": 3,
    }  # fmt: skip
    assert "40 images, 10 classes, 4 images per class (balanced)" in output
    assert (
        "WARNING: the numbers differ from those published. CIFAR-10-LT 10 train: 40 images instead of 20,431" in output
    )


def test_convert_tfrecords_jpeg(run: Any, images: Any, written: Any, tmp_path: Path) -> None:
    run("convert_from_tfrecords", *arguments(written, tmp_path, "--jpeg"))
    path = tmp_path / "out/cifar10_imbalance10/images/3/valid_13.jpg"
    with Image.open(path) as image:
        assert image.format == "JPEG"
        assert image.quantization[0][0] == 2  # 16 at quality 50, an eighth of it at 95
        assert np.abs(np.array(image).astype(int) - images[0][13].transpose(1, 2, 0)).mean() < 8


@pytest.mark.skipif(not CIFAR.exists(), reason=f"{CIFAR} is not there")
def test_convert_tfrecords_then_train(run: Any, written: Any, tmp_path: Path) -> None:
    run("convert_from_tfrecords", *arguments(written, tmp_path))
    prefix = tmp_path / "out/cifar10_imbalance10/cifar10_imbalance10"
    command = ["cifar10_im10_json,ce", "--gpus", "cpu", "TRAIN.BATCH_SIZE", "20"]
    command += ["DATASET.TRAIN_JSON", f"{prefix}_train.json", "DATASET.VALID_JSON", f"{prefix}_valid.json"]
    command += ["TRAIN.MAX_EPOCH", "1", "VALID_STEP", "1", "OUTPUT_DIR", str(tmp_path / "runs")]
    assert train.main(command) == 0
    results = json.loads(next(tmp_path.rglob("results.json")).read_text())
    assert results["epochs"] == 1 and results["classes"] == 10


def test_convert_tfrecords_force(run: Any, refused: Any, written: Any, tmp_path: Path) -> None:
    run("convert_from_tfrecords", *arguments(written, tmp_path))
    error = refused("convert_from_tfrecords", *arguments(written, tmp_path))
    assert error == f"{tmp_path}/out/cifar10_imbalance10/cifar10_imbalance10_train.json exists; --force replaces it"
    run("convert_from_tfrecords", *arguments(written, tmp_path, "--force"))


def begin(data: bytes | bytearray, number: int) -> int:
    """Return the first byte of a record."""
    start = 0
    for _ in range(number):
        start += 16 + struct.unpack_from("<Q", data, start)[0]
    return start


@pytest.mark.parametrize("part", ["length", "checksum of length", "payload", "checksum of payload"])
def test_read_records_changed_byte(refused: Any, written: Any, tmp_path: Path, part: Any) -> None:
    path = written / "cifar-10-data-im-0.1/eval.tfrecords"
    data = bytearray(path.read_bytes())
    start, end = begin(data, 17), begin(data, 18)
    offsets = {"length": 1, "checksum of length": 9, "payload": 500, "checksum of payload": end - start - 1}
    data[start + offsets[part]] ^= 0x10
    path.write_bytes(data)
    error = refused("convert_from_tfrecords", *arguments(written, tmp_path))
    where = f"{path} record 17 (from byte {start:,})"
    assert error == f"{where} is damaged: its checksum is wrong or the file ends inside it"
    assert not list((tmp_path / "out").rglob("*.json"))


@pytest.mark.parametrize("kept", [3, 10, 12, 400, -1])
def test_read_records_truncated_file(refused: Any, written: Any, tmp_path: Path, kept: Any) -> None:
    path = written / "cifar-10-data-im-0.1/train.tfrecords"
    data = path.read_bytes()
    start = begin(data, 39)
    path.write_bytes(data[: start + kept] if kept > 0 else data[:-1])
    error = refused("convert_from_tfrecords", *arguments(written, tmp_path))
    assert error.startswith(f"{path} record 39 (from byte {start:,}) is damaged: ")
    assert "the file ends inside it" in error


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (b"x" * 3071, 0, "feature `image` is 3,071 bytes; it must be 3,072 bytes"),
        (b"x" * 3072, 10, "feature `label` is [10]; it must be one number from 0 to 9"),
        (b"x" * 3072, -1, "feature `label` is [-1]; it must be one number from 0 to 9"),
    ],
)
def test_read_records_invalid_feature(
    refused: Any, tensorflow: Any, record: Any, written: Any, tmp_path: Path, image: Any, label: Any, message: Any
) -> None:
    path = written / "cifar-10-data-im-0.1/train.tfrecords"
    with tensorflow.io.TFRecordWriter(str(path)) as writer:
        writer.write(record(b"x" * 3072, 1))
        writer.write(record(image, label))
    error = refused("convert_from_tfrecords", *arguments(written, tmp_path))
    assert error.startswith(f"{path} record 1 (from byte ") and error.endswith(message)


def test_read_records_other_content(refused: Any, tensorflow: Any, written: Any, tmp_path: Path) -> None:
    path = written / "cifar-10-data-im-0.1/train.tfrecords"
    with tensorflow.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff\xff\xff")
    error = refused("convert_from_tfrecords", *arguments(written, tmp_path))
    assert "record 0 (from byte 0) is not a tf.train.Example: " in error
    with tensorflow.io.TFRecordWriter(str(path)) as writer:
        writer.write(tensorflow.train.Example().SerializeToString())
    error = refused("convert_from_tfrecords", *arguments(written, tmp_path))
    assert error.endswith("feature `image` is none; it must be 3,072 bytes")
    path.write_bytes(b"")
    assert refused("convert_from_tfrecords", *arguments(written, tmp_path)) == f"{path} holds no records"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_convert_tfrecords_unwritable_output(refused: Any, written: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    assert "cannot be written" in refused("convert_from_tfrecords", *arguments(written, tmp_path))
