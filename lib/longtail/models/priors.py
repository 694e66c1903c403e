"""Class priors of the images to be predicted, TEST.PRIOR."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtail.errors import UserError
from longtail.user_files import is_file, translating

PRIORS = ("uniform", "train", "reversed")


def prior_offset(prior: str, class_counts: Sequence[int]) -> Tensor:
    """Return the offset that a prior adds to the logits, (C,) float32: log(pi_c) - log(1 / C).

    It turns logits that assume equally frequent classes into logits for classes of frequency pi_c (Bayes' rule; the
    post compensation of LADE, Hong et al., CVPR 2021, arXiv 2012.00321, eq. 6, with a uniform source). Networks trained
    with balanced softmax or logit adjustment have such logits; those trained with plain cross-entropy need
    TEST.LOGIT_ADJUSTMENT 1.0, which removes the training prior.

    Args:
        prior: "uniform": pi_c = 1 / C; "train": n_c / N; "reversed": n_c / N with the largest and the smallest class
            exchanged, the second largest and the second smallest, and so on; or a file, see `read_prior`.
        class_counts: Training images per class n_c, (C,).

    Raises:
        UserError: There is no such prior, or the file is invalid.
    """
    counts = [float(count) for count in class_counts]
    if prior == "uniform":
        return torch.zeros(len(counts))
    if prior in PRIORS:
        check_populated(class_counts, f"TEST.PRIOR {prior}")
    if prior == "reversed":
        order = sorted(range(len(counts)), key=lambda label: -counts[label])
        opposite = dict(zip(order, reversed(order), strict=True))
        counts = [counts[opposite[label]] for label in range(len(counts))]
    elif prior != "train":
        counts = read_prior(prior, len(counts))
    frequencies = torch.tensor(counts, dtype=torch.float64)
    return (frequencies / frequencies.sum() * len(counts)).log().float()


def check_populated(class_counts: Sequence[int], key: str) -> None:
    """Refuse classes without training images, whose log frequency is infinite.

    Args:
        class_counts: Training images per class, (C,).
        key: Key that needs the frequencies, for the message.

    Raises:
        UserError: A class has no images.
    """
    if 0 in class_counts:
        empty = list(class_counts).index(0)
        raise UserError(f"{key} needs training images of every class; class {empty} has none in DATASET.TRAIN_JSON")


def check_prior(prior: str) -> None:
    """Refuse a value of TEST.PRIOR that is neither a name nor a file.

    Raises:
        UserError: It is not; the message lists the names.
    """
    if prior not in PRIORS and not is_file(prior):
        raise UserError(f"TEST.PRIOR is {prior!r}; allowed: {', '.join(PRIORS)}, or a file with one number per class")


def read_prior(path: str, num_classes: int) -> list[float]:
    """Read the frequencies of C classes, in any unit: a JSON list, or a text file with one number per line.

    Raises:
        UserError: There is no such file, or it does not hold C positive numbers.
    """
    check_prior(path)
    with translating(path, "prior", verb="read"):
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    try:
        numbers: Any = json.loads(text) if text.lstrip().startswith("[") else text.split()
        frequencies = [float(number) for number in numbers]
    except (ValueError, TypeError, RecursionError):
        frequencies = []
    if len(frequencies) != num_classes or not all(math.isfinite(value) and value > 0 for value in frequencies):
        raise UserError(
            f"TEST.PRIOR {path} must hold {num_classes} positive numbers, one per class: a JSON list or lines"
        )
    return frequencies
