"""Metrics that count every class once."""

import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score

from longtail.evaluation import CLASS_METRICS, ConfusionMatrix, class_metrics, recall_by_class

C = 13


def predictions(seed: int, absent: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions of 200 images of 13 classes, half of them right; some classes have no images."""
    random = np.random.default_rng(seed)
    present = [label for label in range(C) if label not in absent]
    labels = random.choice(present, 200)
    return labels, np.where(random.random(200) < 0.5, labels, random.integers(0, C, 200))


def metrics_of(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    cm = ConfusionMatrix(C)
    cm.update(predicted, labels)
    return class_metrics(cm.correct(), cm.support(), cm.predicted())


@pytest.mark.parametrize("absent", [(), (3, 9), (0, 1, 2, 12)])
@pytest.mark.parametrize("seed", range(3))
def test_class_metrics_equal_those_of_scikit_learn(seed: int, absent: tuple[int, ...]) -> None:
    labels, predicted = predictions(seed, absent)
    found = metrics_of(labels, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes without images
        balanced = balanced_accuracy_score(labels, predicted)
    assert found["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0), abs=1e-12)
    precision = precision_score(labels, predicted, average="macro", zero_division=0)
    assert found["macro_precision"] == pytest.approx(precision, abs=1e-12)


@pytest.mark.parametrize("absent", [(), (3, 9)])
def test_class_metrics_equal_their_formulas(absent: tuple[int, ...]) -> None:
    labels, predicted = predictions(4, absent)
    recall = sorted(float((predicted[labels == c] == c).mean()) for c in range(C) if c not in absent)
    found = metrics_of(labels, predicted)
    assert list(found) == list(CLASS_METRICS)
    assert found["worst_class"] == recall[0]
    lowest = math.ceil(len(recall) / 10)
    assert lowest == 2
    assert found["lowest_tenth"] == pytest.approx(sum(recall[:lowest]) / lowest)
    assert found["harmonic_mean"] == pytest.approx(len(recall) / sum(1 / r for r in recall))
    assert found["geometric_mean"] == pytest.approx(math.prod(recall) ** (1 / len(recall)))


def test_class_metrics_count_classes_with_one_image_or_one_prediction() -> None:
    found = metrics_of(np.array([0, 0, 1]), np.array([0, 2, 0]))  # class 1 is never right, class 2 has no images
    assert found["balanced_accuracy"] == 0.25
    assert found["macro_precision"] == pytest.approx(0.5 / 3)
    assert found["macro_f1"] == pytest.approx(0.5 / 3)


def test_class_metrics_of_a_class_that_is_never_right() -> None:
    found = class_metrics([5, 0], support=[5, 5], predicted=[10, 0])
    assert found["harmonic_mean"] == found["geometric_mean"] == found["worst_class"] == 0
    assert found["balanced_accuracy"] == 0.5
    assert found["macro_precision"] == 0.25


def test_class_metrics_of_perfect_predictions() -> None:
    assert set(class_metrics([5, 1, 0], support=[5, 1, 0], predicted=[5, 1, 0]).values()) == {1.0}


def test_class_metrics_lowest_tenth_has_a_tenth_of_the_classes() -> None:
    correct = list(range(20))
    assert class_metrics(correct, support=[20] * 20, predicted=[20] * 20)["lowest_tenth"] == pytest.approx(0.5 / 20)


def test_class_metrics_without_images() -> None:
    assert class_metrics([0, 0], support=[0, 0], predicted=[0, 0]) == {}


def test_recall_by_class_names_the_classes_that_have_images() -> None:
    cm = ConfusionMatrix(3)
    cm.update([0, 1, 2], [0, 0, 2])
    assert recall_by_class(cm, ["cat", "dog", "eel"]) == {"0 cat": 0.5, "2 eel": 1.0}
    assert recall_by_class(cm, None) == {"0": 0.5, "2": 1.0}
