"""Packing of a data set: every image once, as a JPEG file at a given length of the shorter side.

Photographs of several megapixels are read and decoded whole for a crop of 224 pixels; a packed copy of 256 or 512
pixels is read and decoded many times faster. Crops of a smaller copy have less detail, so accuracies may differ from
those of the original images.

FOLDER/train.json, valid.json and test.json are annotation files of the copies. They are written last, so that they
exist only if all their images do. Every image is written to a temporary file, read back, and then renamed: packing that
was interrupted continues with what is missing.
"""

import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from yacs.config import CfgNode

from longtail.data.annotations import image_paths, load_annotations
from longtail.data.convert.split import write_annotations
from longtail.data.images.reading import read_pixels
from longtail.errors import UserError
from longtail.files import atomic_write, sha256
from longtail.processors import available_processors
from longtail.user_files import read_json, translating

logger = logging.getLogger(__name__)

SPLITS = {"train": "TRAIN_JSON", "valid": "VALID_JSON", "test": "TEST_JSON"}
PER_FOLDER = 1000  # files per folder; some file systems are slow with more
BLOCK = 4096  # images between two messages


@dataclass(frozen=True)
class Settings:
    """How images are packed; a folder holds images of one setting only.

    Attributes:
        side: Shorter side in pixels; smaller images keep their size.
        quality: Quality of the JPEG files, 1..100.
    """

    side: int = 256
    quality: int = 95


def pack(cfg: CfgNode, folder: str | Path, settings: Settings) -> dict[str, Path]:
    """Write the images of a config at a smaller size, and their annotation files.

    Args:
        cfg: Config of a data set of annotation files.
        folder: Folder of the copies.
        settings: Size and quality.

    Returns:
        The annotation file of each split.

    Raises:
        UserError: The data set has no image files, an image cannot be read, or the folder holds other copies.
    """
    named = {split: cfg.DATASET[key] for split, key in SPLITS.items() if cfg.DATASET[key]}
    if cfg.DATASET.DATASET != "annotations" or not named:
        raise UserError(
            f"data set {cfg.DATASET.DATASET!r} has no image files to pack; allowed: DATASET.DATASET annotations with "
            "DATASET.TRAIN_JSON or VALID_JSON"
        )
    # All of them first: a mistake in any is found before anything is written.
    contents = {split: load_annotations(path) for split, path in named.items()}
    _claim(Path(folder), settings, sources=named)
    return {
        split: _pack_split(
            content,
            image_paths(content, named[split], root=cfg.DATASET.ROOT),
            folder=Path(folder),
            split=split,
            settings=settings,
        )
        for split, content in contents.items()
    }


def _claim(folder: Path, settings: Settings, *, sources: dict[str, str]) -> None:
    """Record what the folder holds, or check that it holds the same.

    Raises:
        UserError: The folder holds copies of other images, or of another size.
    """
    wanted = {**asdict(settings), "sources": {split: sha256(path) for split, path in sources.items()}}
    record = folder / "pack.json"
    with translating(folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        if not record.exists():
            with atomic_write(record, "w") as file:
                file.write(json.dumps(wanted, indent=1) + "\n")
            return
        held = read_json(record, "record of a packing")
    held = held if isinstance(held, dict) else {}
    different = [key for key in wanted if held.get(key) != wanted[key]]
    if different:
        raise UserError(
            f"{folder} holds images packed with another {', '.join(different)} ({record}); name another folder"
        )


def _pack_split(
    content: Mapping[str, Any], paths: Sequence[str], *, folder: Path, split: str, settings: Settings
) -> Path:
    """Pack the images of one split with this annotation file; return the annotation file of the copies."""
    names = [f"{split}/{number // PER_FOLDER:05d}/{number % PER_FOLDER:03d}.jpg" for number in range(len(paths))]
    for name in dict.fromkeys(name.rsplit("/", 1)[0] for name in names):
        (folder / name).mkdir(parents=True, exist_ok=True)

    def one(number: int) -> tuple[int, int]:
        return pack_image(paths[number], folder / names[number], settings)

    sizes = list(_in_threads(one, len(paths), title=f"{split} images"))
    entries = [
        {**entry, "fpath": name, "im_height": height, "im_width": width}
        for entry, name, (height, width) in zip(content["annotations"], names, sizes, strict=True)
    ]
    file = folder / f"{split}.json"
    write_annotations(file, {**content, "annotations": entries})
    return file


def pack_image(source: str | Path, target: Path, settings: Settings) -> tuple[int, int]:
    """Write the copy of one image unless it is there, and return its height and width.

    Raises:
        UserError: The image cannot be read, or the copy cannot be written.
    """
    if target.exists():
        try:
            height, width, _ = read_pixels(target).shape  # the whole file: a power failure may have left a part of it
            return height, width
        except UserError:
            target.unlink()
    encoded, size = _encode(source, settings)
    if read_pixels(target, encoded).shape[:2] != size:
        raise UserError(f"the copy of {source} cannot be read back")
    with translating(target, "image"), atomic_write(target) as file:
        file.write(encoded)
    return size


def _encode(source: str | Path, settings: Settings) -> tuple[bytes, tuple[int, int]]:
    """Return the JPEG bytes of the copy and its height and width."""
    image = Image.fromarray(read_pixels(source))
    scale = settings.side / min(image.size)
    if scale < 1:
        width, height = (max(round(side * scale), settings.side) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=settings.quality)
    return buffer.getvalue(), (image.height, image.width)


def _in_threads(one: Callable[[int], tuple[int, int]], number: int, *, title: str) -> Iterator[tuple[int, int]]:
    """Yield the results for 0, 1, ... in order; Pillow computes in several threads."""
    with ThreadPoolExecutor(available_processors()) as pool:
        for start in range(0, number, BLOCK):
            block: Sequence[int] = range(start, min(start + BLOCK, number))
            try:
                yield from pool.map(one, block)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            logger.info("%d of %d %s", block[-1] + 1, number, title)


def describe(files: dict[str, Path]) -> list[Any]:
    """Return KEY VALUE of the config that trains on the copies."""
    pairs = [word for split, path in files.items() for word in (f"DATASET.{SPLITS[split]}", str(path))]
    return [*pairs, "DATASET.ROOT", '""']
