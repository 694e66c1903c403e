"""Samples of head, middle and tail classes, before and after augmentation, exactly as they are used in training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.images.files import ImageFiles
from longtail.data.loaders import FileLoader, Loader, build_loaders
from longtail.data.sources import Splits, build_splits

PARTS = ("head", "middle", "tail")


@dataclass(frozen=True)
class Sample:
    """One training image.

    Attributes:
        part: Third of the classes, ordered by size, that its class belongs to: head, middle or tail.
        label: Class id.
        name: Name of the class, from the annotation file or else its folder; empty if neither names classes.
        class_count: Number of training images of the class.
        index: Index in the training set.
        original: Image before augmentation, (3, H, W) uint8.
        views: Views of the image before normalization, (V, 3, S, S) uint8.
    """

    part: str
    label: int
    name: str
    class_count: int
    index: int
    original: Tensor
    views: Tensor


class Sheet(NamedTuple):
    """The content of a sheet of samples.

    Attributes:
        name: Name of the training set.
        samples: Samples of each part, head first.
        views: Name of the augmentation policy of each view.
        counts: Training images per class, (C,).
        class_names: Names of the classes, (C,); None if some have none.
    """

    name: str
    samples: list[Sample]
    views: list[str]
    counts: list[int]
    class_names: list[str] | None = None


def browse(cfg: CfgNode, per_part: int = 4) -> Sheet:
    """Take samples from the batches of the first epoch.

    Args:
        cfg: Config.
        per_part: Number of samples of each of head, middle and tail, from as many classes as possible.

    Raises:
        UserError: As in training.
    """
    train = build_splits(cfg).train
    pixels = train.load()
    train = replace(train, load=lambda: pixels, weights=None)
    loader = build_loaders(cfg, Splits(train, train)).train  # the validation images are not needed, nor decoded
    if isinstance(loader, FileLoader):
        loader.pool.workers = 0  # workers would decode ahead, although only some batches are needed
    counts = train.class_counts()
    batches = loader.batch_indices(1)
    steps = {int(index): step for step, batch in reversed(list(enumerate(batches))) for index in batch.tolist()}
    by_class: dict[int, list[int]] = {}
    for index in dict.fromkeys(index for batch in batches for index in batch.tolist()):
        by_class.setdefault(int(train.labels[index]), []).append(index)
    names = dict(enumerate(train.class_names)) or class_names(train.paths, train.labels)
    chosen = [
        (part, index)
        for part, labels in _thirds(counts).items()
        for index in _choose(by_class, labels, number=per_part)
    ]
    views = _read_views(loader, {index: steps[index] for _, index in chosen})
    samples = []
    for part, index in chosen:
        label = int(train.labels[index])
        original = pixels.read(index)[0] if isinstance(pixels, ImageFiles) else pixels[index]
        samples.append(Sample(part, label, names.get(label, ""), counts[label], index, original, views[index]))
    all_names = [names[label] for label in range(len(counts))] if len(names) == len(counts) else None
    return Sheet(train.name, samples, list(cfg.DATASET.VIEWS), counts, all_names)


def class_names(paths: Sequence[str], labels: Tensor) -> dict[int, str]:
    """Return the folder names of classes as their names; {} if classes share folders.

    Args:
        paths: Image files, (N,), or empty.
        labels: Labels of all images, (N,).
    """
    folders: dict[int, set[str]] = {}
    for path, label in zip(paths, labels.tolist(), strict=False):
        folders.setdefault(label, set()).add(Path(path).parent.name)
    names = {label: next(iter(folder)) for label, folder in folders.items() if len(folder) == 1}
    return names if len(set(names.values())) == len(folders) else {}


def _thirds(counts: Sequence[int]) -> dict[str, list[int]]:
    """Return the classes of head, middle and tail, the largest first; with fewer than three, parts are empty."""
    order = sorted(range(len(counts)), key=lambda label: -counts[label])
    ends = [round(len(order) * third / 3) for third in range(4)]
    return {part: order[ends[third] : ends[third + 1]] for third, part in enumerate(PARTS)}


def _choose(by_class: dict[int, list[int]], labels: Sequence[int], *, number: int) -> list[int]:
    """Choose samples from as many classes as possible, spread evenly; of each class the first of the epoch.

    Args:
        by_class: Indices of each class in the order of the epoch.
        labels: Classes to choose from.
        number: Number of samples.

    Returns:
        Indices of the samples, class by class.
    """
    available = [label for label in labels if label in by_class]
    if not available:
        return []
    spread = sorted({round(k * (len(available) - 1) / max(number - 1, 1)) for k in range(number)})
    classes = [available[k] for k in spread]
    chosen: list[int] = []
    for k in range(number):
        for label in classes:
            if k < len(by_class[label]) and len(chosen) < number:
                chosen.append(by_class[label][k])
    return sorted(chosen, key=lambda index: next(k for k, label in enumerate(classes) if index in by_class[label]))


def _read_views(loader: Loader, steps: dict[int, int]) -> dict[int, Tensor]:
    """Return the views of samples by index.

    Args:
        loader: Loader of the training images.
        steps: For each index, the step of the first epoch (from 0) whose batch contains it.
    """
    views: dict[int, Tensor] = {}
    for step in sorted(set(steps.values())):
        batch = next(iter(loader.epoch(1, step)))
        for k, index in enumerate(batch.indices.tolist()):
            if steps.get(index) == step:
                views.setdefault(index, batch.images[:, k])
    return views
