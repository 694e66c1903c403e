"""Class temperatures: worked examples, loops, and invariances."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from longtail.clustering import class_temperatures
from longtail.errors import UserError

COUNTS, NUMBERS = [30, 12, 5, 9, 1], [3, 2, 1, 2, 1]


def long_tailed(seed: Any = 0) -> Any:
    random = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    spread = torch.linspace(0.2, 2, len(COUNTS))[labels, None]
    return F.normalize(torch.eye(8)[labels] + spread * torch.randn(len(labels), 8, generator=random), dim=1), labels


def spreads(features: Any, labels: Any) -> Any:
    rows = [features[labels == label].double().numpy() for label in range(len(COUNTS))]
    return np.array([np.linalg.norm(x - x.mean(0), axis=1).sum() / (len(x) * math.log(len(x) + 10)) for x in rows])


@pytest.mark.parametrize("seed", range(3))
def test_released_rule_agrees_with_loops(seed: Any) -> None:
    features, labels = long_tailed(seed)
    clipped = spreads(features, labels).clip(*np.percentile(spreads(features, labels), [20, 80]))
    expected = [0.1 * d / clipped.mean() if m > 1 else 0.1 for d, m in zip(clipped, NUMBERS, strict=True)]
    assert class_temperatures(features, labels, NUMBERS, 0.1).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_paper_rule_agrees_with_loops(seed: Any) -> None:
    features, labels = long_tailed(seed)
    spread = spreads(features, labels)
    expected = 0.1 * np.exp(spread / spread.mean())
    values = class_temperatures(features, labels, NUMBERS, 0.1, "paper")
    assert values.tolist() == pytest.approx(expected, rel=1e-4)
    assert (values >= 0.1).all()


def test_class_temperatures_worked_example() -> None:
    angles = torch.tensor([0.0, 20.0, 50.0, 180.0, 170.0]).deg2rad()
    features, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 0, 1, 1])
    for rule, numbers, expected in (
        ("released", [2, 2], [0.1330274, 0.0669726]),
        ("released", [2, 1], [0.1330274, 0.1]),
        ("paper", [2, 2], [0.4713619, 0.1567597]),
        ("constant", [2, 1], [0.1, 0.1]),
    ):
        assert class_temperatures(features, labels, numbers, 0.1, rule).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rule", ["released", "paper", "constant"])
def test_the_order_of_the_samples_does_not_matter(rule: Any) -> None:
    features, labels = long_tailed()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    mixed, sorted_ = (
        class_temperatures(features[index], labels[index], NUMBERS, 0.1, rule) for index in (order, slice(None))
    )
    torch.testing.assert_close(mixed, sorted_)


@pytest.mark.parametrize("rule", ["released", "paper", "constant"])
def test_a_class_without_samples_has_the_given_temperature_and_changes_no_other(rule: Any) -> None:
    features, labels = long_tailed()
    plain = class_temperatures(features, labels, NUMBERS, 0.1, rule)
    more = class_temperatures(features, labels, [*NUMBERS, 2], 0.1, rule)
    torch.testing.assert_close(more, torch.cat([plain, torch.tensor([0.1])]))


@pytest.mark.parametrize("rule", ["released", "paper"])
def test_equal_samples_give_finite_temperatures(rule: Any) -> None:
    values = class_temperatures(F.normalize(torch.ones(20, 4)), torch.arange(20) % 2, [3, 3], 0.1, rule)
    assert values.isfinite().all()
    assert (values > 0).all()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UserError, match=r"unknown class temperature rule 'exp'.*constant, paper, released"):
        class_temperatures(torch.ones(2, 2), torch.tensor([0, 1]), [1, 1], 0.1, "exp")
