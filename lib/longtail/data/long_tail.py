"""The rule that makes a balanced data set long-tailed: the class counts and the images that are kept."""

from collections.abc import Sequence

import numpy as np


def class_counts(per_class: int, num_classes: int, ratio: float, kind: str = "exp") -> list[int]:
    """Return the number of training images that each class keeps.

    exp: n_i = int(per_class * ratio^(i / (C - 1))), the rule of Cao et al. (arXiv 1906.07413) and Cui et al. (arXiv
    1901.05555). step: the first half of the classes keeps all images, the second half int(per_class * ratio).

    Args:
        per_class: Number of images of the largest class.
        num_classes: Number of classes C.
        ratio: Smallest class / largest class, that is 1 / imbalance factor, in (0, 1].
        kind: Shape of the tail, "exp" or "step".

    Raises:
        ValueError: The kind is unknown, or a number is out of range.
    """
    if per_class < 1 or num_classes < 1 or not 0 < ratio <= 1:
        raise ValueError(f"per_class {per_class}, num_classes {num_classes} must be positive, ratio {ratio} in (0, 1]")
    if kind == "exp":
        last = max(num_classes - 1, 1)
        return [int(per_class * ratio ** (label / last)) for label in range(num_classes)]
    if kind == "step":
        return [per_class if label < num_classes / 2 else int(per_class * ratio) for label in range(num_classes)]
    raise ValueError(f"kind is {kind!r}; allowed: 'exp', 'step'")


def select_indices(labels: Sequence[int] | np.ndarray, counts: Sequence[int], seed: int) -> list[int]:
    """Return the indices of the images that the published long-tailed CIFAR sets keep.

    NumPy's legacy generator is seeded once. Then, for each class in ascending order, the indices of the class are
    shuffled and the first n_i are kept.

    Args:
        labels: Labels of all images, (N,).
        counts: Number of images to keep per class, (C,).
        seed: Seed of the generator.

    Returns:
        The indices, class after class, (sum of counts,).

    Raises:
        ValueError: A class has fewer images than are to be kept.
    """
    legacy = np.random.RandomState(seed)
    labels = np.asarray(labels)
    kept: list[int] = []
    for label, count in enumerate(counts):
        indices = np.flatnonzero(labels == label)
        if len(indices) < count:
            raise ValueError(f"class {label} has {len(indices)} samples, fewer than the {count} to keep")
        legacy.shuffle(indices)
        kept.extend(indices[:count].tolist())
    return kept
