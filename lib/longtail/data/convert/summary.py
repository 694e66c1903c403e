"""What a converter tells when it is done: images, classes, the tail, and whether it is the published set."""

import logging
from collections.abc import Sequence
from pathlib import Path

from longtail.data.convert.published import compare
from longtail.data.convert.split import Split
from longtail.evaluation import shot_groups

logger = logging.getLogger(__name__)


def describe(counts: Sequence[int]) -> str:
    """Return class counts (C,) in one line: images, classes, largest and smallest class, imbalance factor, groups."""
    largest, smallest = max(counts), min(counts)
    size = f"{sum(counts):,} images, {len(counts):,} classes"
    if smallest == largest:
        return f"{size}, {largest:,} images per class (balanced)"
    factor = f"{largest / smallest:.4g}" if smallest else "infinite"
    groups = " / ".join(f"{len(members)} {name}" for name, members in shot_groups(counts).items())
    return f"{size}, {largest:,} to {smallest:,} images per class, imbalance factor {factor}, {groups}-shot classes"


def tell(path: str | Path, split: Split, *names: str) -> None:
    """Log what an annotation file holds, and warn where it is not the published set that it ought to be.

    Args:
        path: the file.
        split: its content.
        names: published sets that it may be; none: nothing to compare with.
    """
    counts = split.class_counts()
    logger.info("%s: %s", path, describe(counts))
    name, differences = compare(counts, names)
    if name:
        logger.info("  these are the published numbers of %s", name)
    elif differences:
        logger.warning("  WARNING: not the published numbers. %s", differences)
    empty = [label for label, count in enumerate(counts) if count == 0]
    if empty:
        shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        logger.warning("  WARNING: %d of %d classes have no images: %s", len(empty), len(counts), shown)
