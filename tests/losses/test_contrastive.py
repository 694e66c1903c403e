"""The contrastive losses of SBCL against loops, and a worked example."""

import pytest
import torch
from torch import Tensor

from longtail.losses.contrastive import (
    k_positive_contrastive,
    subclass_contrastive,
    subclass_contrastive_queue,
    supervised_contrastive,
)
from tests.helpers.contrastive_loops import (
    k_positive_loop,
    random_batch,
    random_queue,
    subclass_loop,
    subclass_queue_loop,
    supervised_loop,
)

CLASS_TEMPERATURES = torch.tensor([0.2, 0.35, 0.5])


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("with_labels", [True, False])
def test_supervised_contrastive_matches_loop(views: int, with_labels: bool) -> None:
    features, all_labels, _ = random_batch(views=views)
    labels = all_labels if with_labels else None
    value = supervised_contrastive(features, labels, temperature=0.3, base_temperature=0.2)
    assert float(value) == pytest.approx(supervised_loop(features, labels, temperature=0.3, base=0.2), rel=1e-5)


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("class_temperatures", [None, CLASS_TEMPERATURES])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_subclass_contrastive_matches_loop(views: int, class_temperatures: Tensor | None, seed: int) -> None:
    batch = random_batch(images=8, views=views, seed=seed)
    value = subclass_contrastive(
        *batch, temperature=0.3, base_temperature=0.2, beta=0.7, class_temperatures=class_temperatures
    )
    expected = subclass_loop(batch, temperature=0.3, base=0.2, beta=0.7, class_temperatures=class_temperatures)
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("second", [None, 0.4])
@pytest.mark.parametrize("empty", [0, 5, 12])
def test_subclass_contrastive_queue_matches_loop(second: float | None, empty: int) -> None:
    inputs = random_queue()
    for queue_ids in inputs[5:]:
        queue_ids[:empty] = -1
    inputs.queue_subclasses[-1] = -1  # a class is known, its subclass is not
    value = subclass_contrastive_queue(*inputs, temperature=0.3, beta=0.7, class_temperature=second)
    expected = subclass_queue_loop(inputs, temperature=0.3, beta=0.7, second=second)
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("k", [0, 1, 3, 20])
@pytest.mark.parametrize("empty", [0, 5, 12])
def test_k_positive_contrastive_matches_loop(k: int, empty: int) -> None:
    inputs = random_queue()
    inputs.queue_labels[:empty] = -1
    draws = torch.rand(k, 5, generator=torch.Generator().manual_seed(1))
    rows, labels = inputs[:3], (inputs.labels, inputs.queue_labels)
    value = k_positive_contrastive(*rows, *labels, k=k, temperature=0.3, draws=draws)
    expected = k_positive_loop(inputs, k=k, temperature=0.3, draws=draws.tolist())
    assert float(value) == pytest.approx(expected, rel=1e-5)


def rows_at(*degrees: float) -> Tensor:
    """Return unit vectors of the plane at angles."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


FIRST, SECOND = rows_at(0.0, 20.0, 50.0, 180.0), rows_at(10.0, 25.0, 40.0, 170.0)
LABELS, SUBCLASSES = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 2])


def test_in_batch_losses_worked_example() -> None:
    features, scales = torch.stack([FIRST, SECOND], dim=1), torch.tensor([0.12, 0.1])
    rank, variant = (
        subclass_contrastive(
            features,
            LABELS,
            SUBCLASSES,
            temperature=0.1,
            base_temperature=0.07,
            beta=0.25,
            class_temperatures=temperatures,
        )
        for temperatures in (scales, None)
    )
    assert float(rank) == pytest.approx(0.896692 / 0.7 + 0.25 * 1.157654, abs=1e-5)
    assert float(variant) == pytest.approx(1.639187, abs=1e-5)
    assert float(supervised_contrastive(features, LABELS, temperature=0.1)) == pytest.approx(1.432793, abs=1e-5)


def test_subclass_contrastive_queue_worked_example() -> None:
    queue = rows_at(5.0, 30.0, 60.0, 90.0, 175.0, 200.0)
    ids = torch.tensor([0, 0, 0, 1, 1, -1]), torch.tensor([0, 0, 1, 2, 2, -1])
    value = subclass_contrastive_queue(
        FIRST, SECOND, queue, LABELS, SUBCLASSES, *ids, temperature=0.07, beta=0.2, class_temperature=0.12
    )
    assert float(value) == pytest.approx(2.531027, abs=1e-5)
