"""Sizes of the published data sets, to detect converted files that differ from them."""

from collections.abc import Sequence
from typing import NamedTuple


class Published(NamedTuple):
    """The size of one published split.

    Attributes:
        images: Number of images.
        classes: Number of classes.
        largest: Images of the largest class; None if not published.
        smallest: Images of the smallest class; None if not published.
    """

    images: int
    classes: int
    largest: int | None = None
    smallest: int | None = None

    def difference(self, counts: Sequence[int]) -> str:
        """Return how class counts (C,) differ from the published ones; empty if they are equal."""
        actual = (sum(counts), len(counts), max(counts), min(counts))
        parts = ("images", "classes", "images in the largest class", "images in the smallest class")
        return ", ".join(
            f"{value:,} {part} instead of {expected:,}"
            for part, value, expected in zip(parts, actual, self, strict=True)
            if expected is not None and value != expected
        )


# Cui et al. (arXiv 1901.05555) and Cao et al. (arXiv 1906.07413), Liu et al. (arXiv 1904.05160), and the tables of the
# iNaturalist competitions.
PUBLISHED = {
    "CIFAR-10-LT 100 train": Published(12_406, 10, 5000, 50),
    "CIFAR-10-LT 50 train": Published(13_996, 10, 5000, 100),
    "CIFAR-10-LT 10 train": Published(20_431, 10, 5000, 500),
    "CIFAR-10 test": Published(10_000, 10, 1000, 1000),
    "CIFAR-100-LT 100 train": Published(10_847, 100, 500, 5),
    "CIFAR-100-LT 50 train": Published(12_608, 100, 500, 10),
    "CIFAR-100-LT 10 train": Published(19_573, 100, 500, 50),
    "CIFAR-100 test": Published(10_000, 100, 100, 100),
    "ImageNet-LT train": Published(115_846, 1000, 1280, 5),
    "ImageNet-LT val": Published(20_000, 1000, 20, 20),
    "ImageNet-LT test": Published(50_000, 1000, 50, 50),
    "Places-LT train": Published(62_500, 365, 4980, 5),
    "Places-LT val": Published(7_300, 365, 20, 20),
    "Places-LT test": Published(36_500, 365, 100, 100),
    "iNaturalist 2017 train": Published(579_184, 5089),
    "iNaturalist 2017 val": Published(95_986, 5089),
    "iNaturalist 2018 train": Published(437_513, 8142, 1000, 2),
    "iNaturalist 2018 val": Published(24_426, 8142, 3, 3),
    "iNaturalist 2021 train": Published(2_686_843, 10_000),
    "iNaturalist 2021 mini train": Published(500_000, 10_000, 50, 50),
    "iNaturalist 2021 val": Published(100_000, 10_000, 10, 10),
}


def compare(counts: Sequence[int], names: Sequence[str]) -> tuple[str | None, str]:
    """Compare class counts with published ones.

    Args:
        counts: Images per class, (C,).
        names: Names in PUBLISHED to compare with; unknown names are ignored.

    Returns:
        The name of the data set with these counts, None if there is none; and the differences from each data set.
    """
    differences = {name: PUBLISHED[name].difference(counts) for name in names if name in PUBLISHED}
    for name, difference in differences.items():
        if not difference:
            return name, ""
    return None, "; ".join(f"{name}: {difference}" for name, difference in differences.items())
