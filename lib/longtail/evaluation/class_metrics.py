"""Metrics that weight all classes equally, independent of their number of test images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.evaluation.tallies import PerClass

LOWEST = 0.1  # fraction of the classes in `lowest_tenth`

# Names in results.json, in the order in which they are reported.
CLASS_METRICS = (
    "balanced_accuracy",
    "macro_f1",
    "macro_precision",
    "worst_class",
    "lowest_tenth",
    "harmonic_mean",
    "geometric_mean",
)


def recall_by_class(cm: PerClass, names: Sequence[str] | None) -> dict[str, float]:
    """Return {"<id> <name>": accuracy within the class} for the classes that have test images.

    Args:
        cm: Counts of the predictions.
        names: Names of the classes, (C,); None: they have none.
    """
    support = cm.support()
    found = zip(names or [""] * len(support), cm.recall(), support, strict=True)
    return {f"{label} {name}".strip(): recall for label, (name, recall, images) in enumerate(found) if images}


def class_metrics(correct: Sequence[int], support: Sequence[int], predicted: Sequence[int]) -> dict[str, float]:
    """Return the metrics that weight all classes equally.

    With r_c = correct_c / support_c over the classes that have test images (K of them):

        balanced_accuracy  mean of r_c
        worst_class        smallest r_c
        lowest_tenth       mean of the ceil(K / 10) smallest r_c
        harmonic_mean      K / sum of 1 / r_c; 0 if a class has r_c = 0
        geometric_mean     (product of r_c)^(1 / K); 0 if a class has r_c = 0

    and, over the classes that have test images or were predicted:

        macro_precision    mean of correct_c / predicted_c; 0 for a class that was never predicted
        macro_f1           mean of 2 correct_c / (support_c + predicted_c)

    balanced_accuracy, macro_precision and macro_f1 are those of scikit-learn with zero_division=0.

    Args:
        correct: Correct predictions of each class, (C,).
        support: Test images of each class, (C,).
        predicted: Predictions of each class, (C,).

    Returns:
        {name: value in [0, 1]} for every name in `CLASS_METRICS`; {} without test images.
    """
    hits, images, guesses = (torch.tensor(values, dtype=torch.float64) for values in (correct, support, predicted))
    tested, occurring = images > 0, images + guesses > 0
    if not bool(tested.any()):
        return {}
    recall = (hits[tested] / images[tested]).sort().values
    lowest = -int(-len(recall) * LOWEST // 1)
    values = (
        recall.mean(),
        (2 * hits / (images + guesses))[occurring].mean(),
        (hits / guesses.clamp_min(1))[occurring].mean(),
        recall[0],
        recall[:lowest].mean(),
        _harmonic(recall),
        recall.log().mean().exp(),
    )
    return {name: float(value) for name, value in zip(CLASS_METRICS, values, strict=True)}


def _harmonic(recall: Tensor) -> Tensor:
    return 1 / (1 / recall).mean()  # 1 / 0 is infinite, and 1 over that is 0
