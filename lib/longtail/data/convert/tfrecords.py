"""Converter for the TFRecords of long-tailed CIFAR (Cui et al., arXiv 1901.05555), on which NCL trains."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from longtail.data.convert.split import Split, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.errors import UserError, one_line
from longtail.user_files import check_regular

FOLDER = re.compile(r"cifar-(10|100)-data-im-(0?\.\d*[1-9]\d*|1(?:\.0+)?)")  # smallest class / largest class
FILES = {"train": "train.tfrecords", "valid": "eval.tfrecords"}
SIDE = 32
JPEG_QUALITY = 95  # OpenCV's default, with which the releases wrote JPEG files


def convert_tfrecords(
    input_path: str | Path, output_path: str | Path, *, jpeg: bool = False, force: bool = False
) -> None:
    """Convert every folder of TFRecords in `input_path` to images and annotation files.

    cifar-10-data-im-0.01 becomes cifar10_imbalance100/: images/<label>/<split>_<number>.png, and
    cifar10_imbalance100_train.json and _valid.json. The annotation files are written last: if they are missing, the
    conversion was interrupted; run the same command again.

    Args:
        input_path: Folder of folders such as cifar-10-data-im-0.01, each with train.tfrecords and eval.tfrecords.
        output_path: Folder in which the new folders are created.
        jpeg: Write JPEG files of quality 95, as the releases do, instead of PNG.
        force: Replace existing files.

    Raises:
        UserError: There are no such folders, TensorFlow is not installed, a record is damaged or is not an image, or a
            file would be overwritten.
    """
    folders = _find_folders(Path(input_path), Path(output_path), force=force)
    _tensorflow()
    for folder in folders:
        for output in folder.outputs.values():
            output.unlink(missing_ok=True)
        splits = {
            split: write_images(
                folder.path / FILES[split],
                output.parent / "images",
                prefix=split,
                num_classes=folder.num_classes,
                jpeg=jpeg,
            )
            for split, output in folder.outputs.items()
        }
        for split, content in splits.items():
            write_split(folder.outputs[split], content)
            log_summary(folder.outputs[split], content, folder.published[split], training=split == "train")


class _Folder(NamedTuple):
    """One folder of TFRecords; `outputs` and `published` have an entry per split."""

    path: Path
    num_classes: int
    outputs: dict[str, Path]  # annotation files
    published: dict[str, str]  # names in `published.PUBLISHED`


def _find_folders(root: Path, output_path: Path, *, force: bool) -> list[_Folder]:
    """Return the folders of TFRecords in `root`, after checking that their outputs may be written."""
    if not root.is_dir():
        raise UserError(f"folder {root} does not exist")
    matches = {path: match for path in sorted(root.iterdir()) if (match := FOLDER.fullmatch(path.name))}
    if not matches:
        raise UserError(f"{root} holds no folder like cifar-10-data-im-0.01")
    folders = []
    for path, match in matches.items():
        num_classes, factor = int(match[1]), f"{1 / float(match[2]):.6g}"
        name = f"cifar{num_classes}_imbalance{factor}"
        outputs = {split: output_path / name / f"{name}_{split}.json" for split in FILES}
        for split, output in outputs.items():
            if not (path / FILES[split]).is_file():
                raise UserError(f"{path} lacks {FILES[split]}")
            check_writable(output, force=force)
        published = {"train": f"CIFAR-{num_classes}-LT {factor} train", "valid": f"CIFAR-{num_classes} test"}
        folders.append(_Folder(path, num_classes, outputs, published))
    return folders


def write_images(records: Path, folder: Path, *, prefix: str, num_classes: int, jpeg: bool) -> Split:
    """Write each image of a TFRecord file as <label>/<prefix>_<number>.png.

    Args:
        records: TFRecord file.
        folder: Folder of the label folders.
        prefix: Prefix of the file names.
        num_classes: Number of classes C.
        jpeg: Write JPEG files instead of PNG.

    Raises:
        UserError: A record is damaged, or the folder cannot be written.
    """
    paths: list[str] = []
    labels: list[int] = []
    suffix = "jpg" if jpeg else "png"
    try:
        for label in range(num_classes):
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
        for image, label in tqdm(read_records(records, num_classes), desc=str(records), disable=None, leave=False):
            path = folder / str(label) / f"{prefix}_{len(paths)}.{suffix}"
            Image.fromarray(image).save(path, quality=JPEG_QUALITY)  # ignored for PNG
            paths.append(str(path))
            labels.append(label)
        os.sync()  # the images are on the disk before the annotation file that lists them
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from None
    if not paths:
        raise UserError(f"{records} holds no records")
    return Split(paths, labels, num_classes=num_classes, sizes=[(SIDE, SIDE)] * len(paths))


def read_records(path: Path, num_classes: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the image (32, 32, 3) uint8 and the label of each record.

    Feature `image` holds 3072 bytes (3, 32, 32), feature `label` one number.

    Args:
        path: TFRecord file.
        num_classes: Number of classes C.

    Raises:
        UserError: A record is damaged, truncated, or not an image of these classes; the message names the file, the
            record (from 0) and its first byte.
    """
    tf = _tensorflow()
    size = check_regular(path, "TFRecord file")
    records = iter(tf.data.TFRecordDataset(str(path)))
    number = start = 0
    while True:
        where = f"{path} record {number} (from byte {start:,})"
        try:
            raw = next(records).numpy()
        except StopIteration:
            if start == size:  # TensorFlow takes a file that is truncated inside a length field as complete
                return
            raise UserError(f"{where} is damaged: the file ends inside it") from None
        except tf.errors.DataLossError:
            raise UserError(f"{where} is damaged: its checksum is wrong or the file ends inside it") from None
        yield _parse(tf, raw, where=where, num_classes=num_classes)
        number, start = number + 1, start + len(raw) + 16  # a length of 8 bytes and two checksums of 4


def _parse(tf: Any, raw: bytes, *, where: str, num_classes: int) -> tuple[np.ndarray, int]:
    """Return the image and the label of one record."""
    try:
        features = tf.train.Example.FromString(raw).features.feature
        image, label = list(features["image"].bytes_list.value), list(features["label"].int64_list.value)
    except Exception as error:  # an exception class of protobuf, whose module differs between versions
        raise UserError(f"{where} is not a tf.train.Example: {one_line(error)}") from None
    if len(image) != 1 or len(image[0]) != 3 * SIDE * SIDE:
        size = f"{len(image[0]):,} bytes" if image else "none"
        raise UserError(f"{where}: feature `image` is {size}; it must be {3 * SIDE * SIDE:,} bytes")
    if len(label) != 1 or label[0] not in range(num_classes):
        raise UserError(f"{where}: feature `label` is {label}; it must be one number from 0 to {num_classes - 1}")
    return np.frombuffer(image[0], np.uint8).reshape(3, SIDE, SIDE).transpose(1, 2, 0), int(label[0])


def _tensorflow() -> Any:
    """Import TensorFlow without its log messages, and without letting it reserve a GPU."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # otherwise TensorFlow logs that they are enabled
    try:
        import tensorflow as tf
    except ImportError:
        raise UserError(
            "TensorFlow is needed to read TFRecords and is not installed: pip install -e '.[tfrecords]'"
        ) from None
    tf.config.set_visible_devices([], "GPU")
    return tf
