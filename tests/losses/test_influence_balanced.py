"""Influence-balanced loss."""

import pytest
import torch

from longtail.errors import UserError
from longtail.losses.influence_balanced import influence
from tests.helpers.losses import (
    COUNTS,
    FEATURES,
    LOGITS,
    TARGETS,
    C,
    D,
    build,
    grad,
    nll,
    probabilities,
    rows_of,
    value,
)
from tests.helpers.worked_example import example_value


def test_influence_balanced_matches_loop() -> None:
    inverse = [1 / n for n in COUNTS]
    losses, influences = [], []
    for row, y, h in zip(rows_of(LOGITS), TARGETS.tolist(), rows_of(FEATURES), strict=True):
        error = sum(abs(p - (c == y)) for c, p in enumerate(probabilities(row)))
        influences.append(error * sum(map(abs, h)))
        losses.append(C * inverse[y] / sum(inverse) * nll(row, y) * 1000 / (influences[-1] + 1e-3))
    assert influence(LOGITS, TARGETS, features=FEATURES).tolist() == pytest.approx(influences, rel=1e-9)
    assert value("InfluenceBalancedLoss").item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_influence_balanced_worked_example() -> None:
    assert example_value("InfluenceBalancedLoss") == pytest.approx(761.4004, rel=1e-6)


def test_influence_balanced_needs_features_from_the_first_epoch_on() -> None:
    loss = build("InfluenceBalancedLoss", "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 9)
    loss.set_epoch(1)
    assert loss.needs_features
    with pytest.raises(UserError, match=r"^LOSS.LOSS_TYPE InfluenceBalancedLoss needs the features .* use supervised$"):
        loss(LOGITS, TARGETS)


def test_influence_balanced_is_finite_for_fitted_samples_and_zero_features() -> None:
    logits = torch.tensor([[300.0, 0, 0, 0, 0], [12.0, 0, 0, 0, 0]]).requires_grad_()
    features = torch.zeros(2, D).requires_grad_()
    loss = build("InfluenceBalancedLoss")(logits, torch.tensor([0, 0]), features)
    loss.backward()
    assert loss.isfinite() and grad(logits).isfinite().all() and grad(features).isfinite().all()
