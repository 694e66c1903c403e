"""Label smoothing, uniform and by class size."""

import math

import pytest
import torch

from longtail.errors import UserError
from longtail.losses import LabelAwareSmoothing
from longtail.losses.label_smoothing import class_smoothing
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, C, build, probabilities, rows_of, value
from tests.helpers.worked_example import example_loss, example_value

SHAPE = "LOSS.CrossEntropyLabelAwareSmooth.SHAPE"


def curve(shape: str, y: int) -> float:
    """Return the smoothing of class y as the paper writes it, from 0.1 to 0.4."""
    u = (COUNTS[y] - min(COUNTS)) / (max(COUNTS) - min(COUNTS))
    if shape == "concave":
        return 0.1 + 0.3 * math.sin(math.pi * u / 2)
    return 0.1 + 0.3 * u if shape == "linear" else 0.4 + 0.3 * math.sin(1.5 * math.pi + math.pi * u / 2)


def smoothed(row: list[float], y: int, epsilon: float) -> float:
    """Return the cross-entropy of one sample to its smoothed label."""
    target = [(1 - epsilon) * (c == y) + epsilon / C for c in range(C)]
    return -sum(t * math.log(p) for t, p in zip(target, probabilities(row), strict=True))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_label_smoothing_matches_loop(epsilon: float) -> None:
    losses = [smoothed(row, y, epsilon) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    found = value("CrossEntropyLabelSmooth", "LOSS.CrossEntropyLabelSmooth.EPSILON", epsilon)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("shape", ["concave", "linear", "convex"])
def test_label_aware_smoothing_matches_loop(shape: str) -> None:
    losses = [smoothed(row, y, curve(shape, y)) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    found = value("CrossEntropyLabelAwareSmooth", SHAPE, shape)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("shape", ["concave", "linear", "convex"])
def test_class_smoothing_ends(shape: str) -> None:
    epsilon = class_smoothing(COUNTS, head=0.4, tail=0.1, shape=shape)
    assert [float(epsilon[0]), float(epsilon[-1])] == pytest.approx([0.4, 0.1])
    assert class_smoothing([9, 9], head=0.4, tail=0.1, shape=shape).tolist() == pytest.approx([0.1, 0.1])


def test_class_smoothing_unknown_shape() -> None:
    with pytest.raises(UserError, match=r"SHAPE is 'cubic'; allowed: concave, linear, convex$"):
        class_smoothing(COUNTS, head=0.4, tail=0.1, shape="cubic")


def test_label_smoothing_worked_example() -> None:
    assert example_value("CrossEntropyLabelSmooth") == pytest.approx(2.188168, abs=3e-6)


@pytest.mark.parametrize(("shape", "expected"), [("concave", 2.238160), ("linear", 2.257473), ("convex", 2.281185)])
def test_label_aware_smoothing_worked_example(shape: str, expected: float) -> None:
    assert example_value("CrossEntropyLabelAwareSmooth", SHAPE, shape) == pytest.approx(expected, abs=3e-6)


def test_label_aware_smoothing_epsilon_worked_example() -> None:
    loss = example_loss("CrossEntropyLabelAwareSmooth")
    assert isinstance(loss, LabelAwareSmoothing)
    torch.testing.assert_close(loss.epsilon, torch.tensor([0.4, 0.264084, 0.173646, 0.124774, 0.1]), rtol=0, atol=1e-6)


def test_label_aware_smoothing_with_equal_strengths_is_label_smoothing() -> None:
    keys = ["LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_HEAD", 0.2, "LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_TAIL", 0.2]
    uniform = build("CrossEntropyLabelSmooth", "LOSS.CrossEntropyLabelSmooth.EPSILON", 0.2)
    torch.testing.assert_close(
        value("CrossEntropyLabelAwareSmooth", *keys), uniform(LOGITS, TARGETS), rtol=1e-6, atol=1e-6
    )
