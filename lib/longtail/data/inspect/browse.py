"""What the trainer really feeds: samples of head, middle and tail classes, before and after augmentation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from yacs.config import CfgNode

from longtail.config import dataset_parts
from longtail.data.images.files import ImageFiles
from longtail.data.loaders import FileLoader, Loader, build_loaders
from longtail.data.sources import Splits, build_splits

PARTS = ("head", "middle", "tail")


class Sample(NamedTuple):
    """One training image.

    Attributes:
        part: head, middle or tail: the third of the classes, ordered by size, that its class is in.
        label: class id.
        name: of the class; empty where the files do not tell.
        class_count: training images of the class.
        position: in the training set.
        original: (3, H, W) uint8.
        views: as the method gets them before normalisation, (V, 3, S, S) uint8.
    """

    part: str
    label: int
    name: str
    class_count: int
    position: int
    original: Tensor
    views: Tensor


class Sheet(NamedTuple):
    """What a sheet shows.

    Attributes:
        name: of the training set.
        samples: `per_part` of each part, head first.
        views: name of the policy of each view.
        counts: training images of each class, (C,).
    """

    name: str
    samples: list[Sample]
    views: list[str]
    counts: list[int]


def browse(cfg: CfgNode, per_part: int = 4) -> Sheet:
    """Take samples out of the batches of the first epoch, exactly as training gets them.

    Args:
        cfg: the tree.
        per_part: samples of each of head, middle and tail; of as many classes as there are.

    Raises:
        UserError: as in training.
    """
    train = build_splits(cfg).train
    pixels = train.load()
    train = replace(train, load=lambda: pixels)
    # The validation images are not looked at, and need not be decoded.
    loader = build_loaders(cfg, Splits(train, train)).train
    if isinstance(loader, FileLoader):
        loader.workers = 0  # a batch here and there; workers would read on
    counts = train.class_counts()
    batches = loader.positions(1)
    where = {int(index): step for step, batch in reversed(list(enumerate(batches))) for index in batch.tolist()}
    order = [index for batch in batches for index in batch.tolist()]
    by_class: dict[int, list[int]] = {}
    for index in dict.fromkeys(order):
        by_class.setdefault(int(train.labels[index]), []).append(index)
    names = class_names(train.paths, train.labels)
    chosen = [
        (part, index) for part, labels in _thirds(counts).items() for index in _choose(by_class, labels, per_part)
    ]
    views = _views(loader, {index: where[index] for _, index in chosen})
    samples = []
    for part, index in chosen:
        label = int(train.labels[index])
        original = pixels.read(index)[0] if isinstance(pixels, ImageFiles) else pixels[index]
        samples.append(Sample(part, label, names.get(label, ""), counts[label], index, original, views[index]))
    return Sheet(train.name, samples, list(dataset_parts(cfg).views), counts)


def class_names(paths: Sequence[str], labels: Tensor) -> dict[int, str]:
    """Return the names of classes whose images lie in a folder of their own; {} where classes share folders."""
    folders: dict[int, set[str]] = {}
    for path, label in zip(paths, labels.tolist(), strict=False):
        folders.setdefault(label, set()).add(Path(path).parent.name)
    names = {label: next(iter(found)) for label, found in folders.items() if len(found) == 1}
    return names if len(set(names.values())) == len(folders) else {}


def _thirds(counts: Sequence[int]) -> dict[str, list[int]]:
    """Return the classes of head, middle and tail, the largest class first; fewer than three leave parts empty."""
    order = sorted(range(len(counts)), key=lambda label: -counts[label])
    ends = [round(len(order) * third / 3) for third in range(4)]
    return {part: order[ends[number] : ends[number + 1]] for number, part in enumerate(PARTS)}


def _choose(by_class: dict[int, list[int]], labels: Sequence[int], number: int) -> list[int]:
    """Choose samples of as many of the classes as possible, spread evenly; class by class the earliest of the epoch."""
    shown = [label for label in labels if label in by_class]
    if not shown:
        return []
    spread = sorted({round(place * (len(shown) - 1) / max(number - 1, 1)) for place in range(number)})
    classes = [shown[place] for place in spread]
    chosen: list[int] = []
    for turn in range(number):
        for label in classes:
            if turn < len(by_class[label]) and len(chosen) < number:
                chosen.append(by_class[label][turn])
    return sorted(chosen, key=lambda index: next(k for k, label in enumerate(classes) if index in by_class[label]))


def _views(loader: Loader, where: dict[int, int]) -> dict[int, Tensor]:
    """Return the views of samples, by index, from the batches (from 0) of the first epoch that hold them."""
    views: dict[int, Tensor] = {}
    for step in sorted(set(where.values())):
        batch = next(iter(loader.epoch(1, step)))
        for place, index in enumerate(batch.indices.tolist()):
            if where.get(index) == step:
                views.setdefault(index, batch.images[:, place])
    return views
