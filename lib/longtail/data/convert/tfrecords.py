"""Long-tailed CIFAR as TFRecords (Cui et al., arXiv 1901.05555): the data that NCL trains on."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from longtail.data.convert.split import Split, refuse_overwriting, write_split
from longtail.data.convert.summary import tell
from longtail.errors import UserError

FOLDER = re.compile(r"cifar-(10|100)-data-im-(0?\.\d+|1(?:\.0+)?)")  # the smallest class / the largest class
FILES = {"train": "train.tfrecords", "valid": "eval.tfrecords"}
SIDE = 32
JPEG_QUALITY = 95  # OpenCV's default, with which the releases wrote JPEG files


def convert_tfrecords(input_path: str | Path, output_path: str | Path, jpeg: bool = False, force: bool = False) -> None:
    """Turn every folder of TFRecords below `input_path` into images and annotation files.

    cifar-10-data-im-0.01 becomes cifar10_imbalance100/: images/<label>/<split>_<number>.png, and
    cifar10_imbalance100_train.json and _valid.json, which come last: without them, the folder is that of a run that
    did not end, and the same command does it again.

    Args:
        input_path: folder that holds cifar-10-data-im-0.01 and the like, each with train.tfrecords, eval.tfrecords.
        output_path: folder of the new folders.
        jpeg: write JPEG files of quality 95, as the releases do, instead of PNG.
        force: whether to replace files.

    Raises:
        UserError: there are no such folders, TensorFlow is not installed, a record is damaged or is no image, or a
            file would be overwritten.
    """
    root = Path(input_path)
    if not root.is_dir():
        raise UserError(f"folder {root} does not exist")
    found = {entry: match for entry in sorted(root.iterdir()) if (match := FOLDER.fullmatch(entry.name))}
    if not found:
        raise UserError(f"{root} holds no folder like cifar-10-data-im-0.01")
    work = []
    for folder, match in found.items():
        classes, factor = int(match[1]), f"{1 / float(match[2]):.6g}"
        prefix = f"cifar{classes}_imbalance{factor}"
        outputs = {split: Path(output_path) / prefix / f"{prefix}_{split}.json" for split in FILES}
        for split, output in outputs.items():
            if not (folder / FILES[split]).is_file():
                raise UserError(f"{folder} lacks {FILES[split]}")
            refuse_overwriting(output, force)
        published = {"train": f"CIFAR-{classes}-LT {factor} train", "valid": f"CIFAR-{classes} test"}
        work.append((folder, classes, outputs, published))
    _tensorflow()
    for folder, classes, outputs, published in work:
        for output in outputs.values():
            output.unlink(missing_ok=True)
        splits = {
            split: write_images(folder / FILES[split], output.parent / "images", split, classes, jpeg)
            for split, output in outputs.items()
        }
        for split, content in splits.items():
            write_split(outputs[split], content)
            tell(outputs[split], content, published[split])


def write_images(records: Path, folder: Path, name: str, num_classes: int, jpeg: bool) -> Split:
    """Write each image of a file of TFRecords as <label>/<name>_<number>.png.

    Args:
        records: the file.
        folder: where the folders of the labels are made.
        name: how the names of the images begin.
        num_classes: C.
        jpeg: write JPEG files.

    Raises:
        UserError: a record is damaged, or the folder cannot be written.
    """
    paths: list[str] = []
    labels: list[int] = []
    suffix = "jpg" if jpeg else "png"
    try:
        for label in range(num_classes):
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
        for image, label in tqdm(read_records(records, num_classes), desc=str(records), disable=None, leave=False):
            path = folder / str(label) / f"{name}_{len(paths)}.{suffix}"
            Image.fromarray(image).save(path, quality=JPEG_QUALITY)  # PNG has no quality
            paths.append(str(path))
            labels.append(label)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from None
    if not paths:
        raise UserError(f"{records} holds no records")
    return Split(paths, labels, num_classes, [(SIDE, SIDE)] * len(paths))


def read_records(path: Path, num_classes: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield image (32, 32, 3) uint8 and label of each record; `image` holds 3072 bytes (3, 32, 32), `label` a number.

    Raises:
        UserError: a record is damaged, cut off, or no image of these classes; names the file, the record (from 0) and
            the byte where it begins.
    """
    tf = _tensorflow()
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    records = iter(tf.data.TFRecordDataset(str(path)))
    number = start = 0
    while True:
        where = f"{path} record {number} (from byte {start:,})"
        try:
            raw = next(records).numpy()
        except StopIteration:
            if start == size:  # TensorFlow takes a cut inside a length for the end
                return
            raise UserError(f"{where} is damaged: the file ends inside it") from None
        except tf.errors.DataLossError:
            raise UserError(f"{where} is damaged: its checksum is wrong or the file ends inside it") from None
        try:
            features = tf.train.Example.FromString(raw).features.feature
            image, label = list(features["image"].bytes_list.value), list(features["label"].int64_list.value)
        except Exception as error:  # protobuf's own class, which has moved between its versions
            raise UserError(f"{where} holds no tf.train.Example: {' '.join(str(error).split())}") from None
        if len(image) != 1 or len(image[0]) != 3 * SIDE * SIDE:
            found = f"{len(image[0]):,} bytes" if image else "none"
            raise UserError(f"{where}: feature `image` is {found}; it must be {3 * SIDE * SIDE:,} bytes")
        if len(label) != 1 or label[0] not in range(num_classes):
            raise UserError(f"{where}: feature `label` is {label}; it must be one number from 0 to {num_classes - 1}")
        yield np.frombuffer(image[0], np.uint8).reshape(3, SIDE, SIDE).transpose(1, 2, 0), int(label[0])
        number, start = number + 1, start + len(raw) + 16  # a length of 8 bytes and two checksums of 4


def _tensorflow() -> Any:
    """Import TensorFlow, which nothing else needs, without its notes and its hold on a GPU."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # only to be spared the note that they are on
    try:
        import tensorflow as tf
    except ImportError:
        raise UserError(
            "TensorFlow is needed to read TFRecords and is not installed: pip install -e '.[tfrecords]'"
        ) from None
    tf.config.set_visible_devices([], "GPU")
    return tf
