"""The summary that a converter logs: images, classes, imbalance, and whether the set matches the published one."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from longtail.data.convert.published import compare
from longtail.data.convert.split import Split
from longtail.evaluation import shot_groups

logger = logging.getLogger(__name__)


def describe(counts: Sequence[int], training: bool = True) -> str:
    """Return class counts (C,) as one line: images, classes, largest and smallest class, imbalance factor, groups.

    The shot groups are omitted for other images than training images, which define them.
    """
    largest, smallest = max(counts), min(counts)
    size = f"{sum(counts):,} images, {len(counts):,} classes"
    if smallest == largest:
        return f"{size}, {largest:,} images per class (balanced)"
    factor = f"{largest / smallest:.4g}" if smallest else "infinite"
    line = f"{size}, {largest:,} to {smallest:,} images per class, imbalance factor {factor}"
    if not training:
        return line
    groups = " / ".join(f"{len(members)} {name}" for name, members in shot_groups(counts).items())
    return f"{line}, {groups}-shot classes"


def log_summary(path: str | Path, split: Split, *names: str, training: bool = True) -> None:
    """Log the content of an annotation file; warn of images listed twice and of numbers other than the published ones.

    Args:
        path: Annotation file.
        split: Its content.
        names: Published data sets to compare with, if any.
        training: Whether these are training images.
    """
    counts = split.class_counts()
    logger.info("%s: %s", path, describe(counts, training))
    repeated = [path for path, count in Counter(map(os.path.normpath, split.paths)).items() if count > 1]
    if repeated:
        logger.warning("  WARNING: %d images are listed more than once, the first is %s", len(repeated), repeated[0])
    name, differences = compare(counts, names)
    if name:
        logger.info("  the numbers are those published for %s", name)
    elif differences:
        logger.warning("  WARNING: the numbers differ from those published. %s", differences)
    empty = [label for label, count in enumerate(counts) if count == 0]
    if empty:
        shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        logger.warning("  WARNING: %d of %d classes have no images: %s", len(empty), len(counts), shown)
