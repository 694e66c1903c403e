import numpy as np
import pytest
import torch

from longtail.evaluation import ConfusionMatrix


def random_pairs(classes, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(classes, (2, size), generator=generator)


def test_equals_the_released_code(golden):
    cm = ConfusionMatrix(len(golden["class_counts"]))
    cm.update(golden["predictions"], golden["labels"])
    assert cm.accuracy() == golden["accuracy"]
    assert cm.recall() == pytest.approx(golden["recall"], rel=1e-12)
    assert cm.precision() == pytest.approx(golden["precision"], rel=1e-12)


def test_equals_a_loop():
    predictions, labels = random_pairs(7, 300)
    naive = np.zeros((7, 7), dtype=int)
    for prediction, label in zip(predictions.tolist(), labels.tolist(), strict=True):
        naive[label, prediction] += 1
    cm = ConfusionMatrix(7)
    cm.update(predictions, labels)
    assert cm.matrix.dtype == torch.int64
    assert (cm.matrix.numpy() == naive).all()
    assert cm.support() == naive.sum(1).tolist()
    assert cm.predicted() == naive.sum(0).tolist()
    assert cm.correct() == naive.diagonal().tolist()


@pytest.mark.parametrize(
    "kind", [torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.int, lambda t: t.numpy().astype(np.uint8)]
)
def test_takes_lists_arrays_and_any_integer_type(kind):
    predictions, labels = random_pairs(5, 50)
    wanted, cm = ConfusionMatrix(5), ConfusionMatrix(5)
    wanted.update(predictions, labels)
    cm.update(kind(predictions), kind(labels))
    assert torch.equal(cm.matrix, wanted.matrix)


def test_order_batches_and_merging_do_not_matter():
    predictions, labels = random_pairs(6, 200)
    whole, parts, other = ConfusionMatrix(6), ConfusionMatrix(6), ConfusionMatrix(6)
    whole.update(predictions, labels)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    for index in order[:150].split(64):
        parts.update(predictions[index], labels[index])
    other.update(predictions[order[150:]], labels[order[150:]])
    parts.merge(other)
    assert torch.equal(parts.matrix, whole.matrix)
    assert other.support() == torch.bincount(labels[order[150:]], minlength=6).tolist()


def test_empty_classes_are_zero_and_visible():
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
def test_bad_input_is_refused_and_not_counted(predictions, labels, message):
    cm = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=message):
        cm.update(predictions, labels)
    assert cm.accuracy() is None


def test_other_mistakes():
    with pytest.raises(ValueError):
        ConfusionMatrix(0)
    with pytest.raises(ValueError):
        ConfusionMatrix(3).merge(ConfusionMatrix(4))
    with pytest.raises(ValueError, match="square"):
        ConfusionMatrix.from_matrix(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="negative"):
        ConfusionMatrix.from_matrix(torch.tensor([[-1]]))


def test_from_matrix_copies():
    counts = torch.tensor([[1, 2], [3, 4]])
    cm = ConfusionMatrix.from_matrix(counts)
    cm.update([0], [0])
    assert counts.tolist() == [[1, 2], [3, 4]] and cm.matrix.tolist() == [[2, 2], [3, 4]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_counts_where_the_tensors_are():
    predictions, labels = random_pairs(5, 50)
    cm, wanted = ConfusionMatrix(5), ConfusionMatrix(5)
    cm.update(predictions.cuda(), labels)
    wanted.update(predictions, labels)
    assert cm.matrix.is_cuda
    assert torch.equal(cm.matrix.cpu(), wanted.matrix)
