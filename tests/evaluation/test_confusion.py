"""The confusion matrix."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtail.evaluation import ConfusionMatrix
from tests.helpers.golden import record


def random_pairs(classes: int, size: int) -> Tensor:
    """Return predictions and labels, (2, size)."""
    return torch.randint(classes, (2, size), generator=torch.Generator().manual_seed(0))


def counted(predictions: Any, labels: Any, classes: int) -> ConfusionMatrix:
    cm = ConfusionMatrix(classes)
    cm.update(predictions, labels)
    return cm


def test_confusion_matrix_matches_golden() -> None:
    golden = record("metrics")
    cm = counted(golden["predictions"], golden["labels"], len(golden["class_counts"]))
    assert cm.accuracy() == golden["accuracy"]
    assert cm.recall() == pytest.approx(golden["recall"], rel=1e-12)
    assert cm.precision() == pytest.approx(golden["precision"], rel=1e-12)


def test_confusion_matrix_matches_loop() -> None:
    predictions, labels = random_pairs(7, 300)
    naive = np.zeros((7, 7), dtype=int)
    for prediction, label in zip(predictions.tolist(), labels.tolist(), strict=True):
        naive[label, prediction] += 1
    cm = counted(predictions, labels, 7)
    assert cm.matrix.dtype == torch.int64
    assert (cm.matrix.numpy() == naive).all()
    assert cm.support() == naive.sum(1).tolist()
    assert cm.predicted() == naive.sum(0).tolist()
    assert cm.correct() == naive.diagonal().tolist()


KINDS: dict[str, Callable[[Tensor], Any]] = {
    "list": lambda tensor: tensor.tolist(),
    "array": lambda tensor: tensor.numpy(),
    "int32": lambda tensor: tensor.int(),
    "uint8": lambda tensor: tensor.numpy().astype(np.uint8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_confusion_matrix_update_takes_any_integers(kind: str) -> None:
    predictions, labels = random_pairs(5, 50)
    cm = counted(KINDS[kind](predictions), KINDS[kind](labels), 5)
    assert torch.equal(cm.matrix, counted(predictions, labels, 5).matrix)


def test_confusion_matrix_order_batches_and_merge_do_not_matter() -> None:
    predictions, labels = random_pairs(6, 200)
    whole, parts = counted(predictions, labels, 6), ConfusionMatrix(6)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    for index in order[:150].split(64):
        parts.update(predictions[index], labels[index])
    other = counted(predictions[order[150:]], labels[order[150:]], 6)
    parts.merge(other)
    assert torch.equal(parts.matrix, whole.matrix)
    assert other.support() == torch.bincount(labels[order[150:]], minlength=6).tolist()


def test_confusion_matrix_of_empty_classes() -> None:
    cm = ConfusionMatrix(3)
    assert cm.accuracy() is None
    cm.update([], [])
    assert cm.accuracy() is None
    cm.update([0, 2], [0, 0])
    assert cm.recall() == [0.5, 0, 0] and cm.support() == [2, 0, 0]
    assert cm.precision() == [1, 0, 0] and cm.predicted() == [1, 0, 1]


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([0, 3], [0, 1], "predictions hold class 3"),
        ([0, 1], [-1, 1], "labels hold class -1"),
        ([0, 1], [0], "shape"),
        ([0.0, 1.0], [0, 1], "integers"),
        ([True, False], [0, 1], "integers"),
    ],
)
def test_confusion_matrix_update_refuses_bad_input(predictions: Any, labels: Any, message: str) -> None:
    cm = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=message):
        cm.update(predictions, labels)
    assert cm.accuracy() is None  # nothing was counted


def test_confusion_matrix_refuses_bad_sizes() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match="cannot merge 4 classes into 3"):
        ConfusionMatrix(3).merge(ConfusionMatrix(4))


@pytest.mark.parametrize(
    ("matrix", "message"), [(torch.zeros(2, 3, dtype=torch.int64), "square"), (torch.tensor([[-1]]), "negative")]
)
def test_confusion_matrix_from_matrix_refuses_bad_input(matrix: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix.from_matrix(matrix)


def test_confusion_matrix_from_matrix_copies() -> None:
    counts = torch.tensor([[1, 2], [3, 4]])
    cm = ConfusionMatrix.from_matrix(counts)
    cm.update([0], [0])
    assert counts.tolist() == [[1, 2], [3, 4]] and cm.matrix.tolist() == [[2, 2], [3, 4]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_confusion_matrix_lives_on_the_device_of_the_tensors() -> None:
    predictions, labels = random_pairs(5, 50)
    cm = counted(predictions.cuda(), labels, 5)
    assert cm.matrix.is_cuda
    assert torch.equal(cm.matrix.cpu(), counted(predictions, labels, 5).matrix)
