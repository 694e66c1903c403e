"""Class-balanced losses: weights from the effective number of samples."""

import pytest
import torch

from longtail.losses import ClassBalanced, ClassBalancedFocal
from longtail.losses.class_weights import class_balanced_weights
from tests.helpers.golden import Case, record, tensor
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, C, build, nll, rows_of, value
from tests.helpers.worked_example import example_loss, example_value
from tests.losses.test_focal import focal_loop

BETA, FOCAL = "LOSS.ClassBalanceCE.BETA", "LOSS.ClassBalanceFocal"
STAGE_2 = record("sbcl_stage2")["cases"]
WEIGHTS, SAMPLERS = (
    [case for case in STAGE_2 if case["kind"] == kind] for kind in ("class_weights", "effective_number_sampler")
)


def weights_loop(beta: float) -> list[float]:
    """Return the weights of all classes."""
    raw = [1 / n if beta == 1 else (1 - beta) / (1 - beta**n) for n in COUNTS]
    return [C * w / sum(raw) for w in raw]


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1.0])
def test_class_balanced_weights_match_loop(beta: float) -> None:
    weights = class_balanced_weights(COUNTS, beta)
    assert weights.tolist() == pytest.approx(weights_loop(beta), rel=1e-9)
    assert float(weights.sum()) == pytest.approx(C)


@pytest.mark.parametrize("beta", [0.9, 0.999, 1.0])
def test_class_balanced_matches_loop(beta: float) -> None:
    weights = weights_loop(beta)
    losses = [weights[y] * nll(row, y) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    expected = sum(losses) / sum(weights[y] for y in TARGETS.tolist())
    assert value("ClassBalanceCE", BETA, beta).item() == pytest.approx(expected, rel=1e-5)
    assert isinstance(build("ClassBalanceCE"), ClassBalanced)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_class_balanced_focal_matches_loop(gamma: float) -> None:
    weights = weights_loop(0.999)
    losses = [weights[y] * focal_loop(row, y, gamma) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    expected = sum(losses) / len(losses)  # unlike cross-entropy, not divided by the weights
    assert value("ClassBalanceFocal", f"{FOCAL}.GAMMA", gamma).item() == pytest.approx(expected, rel=1e-5)
    assert isinstance(build("ClassBalanceFocal"), ClassBalancedFocal)


@pytest.mark.parametrize(("beta", "expected"), [(0.9, 1.861532), (0.9999, 1.601377)])
def test_class_balanced_worked_example(beta: float, expected: float) -> None:
    assert example_value("ClassBalanceCE", BETA, beta) == pytest.approx(expected, abs=2e-6)


def test_class_balanced_focal_worked_example() -> None:
    value = example_value("ClassBalanceFocal", f"{FOCAL}.BETA", 0.9999, f"{FOCAL}.GAMMA", 1.0)
    assert value == pytest.approx(2.024225, abs=2e-6)


def test_class_balanced_weights_worked_example() -> None:
    loss = example_loss("ClassBalanceCE", BETA, 0.9999)
    assert isinstance(loss, ClassBalanced) and loss.class_weights is not None
    expected = [0.130436, 0.325114, 0.649578, 1.298507, 2.596365]
    assert loss.class_weights is not None
    assert loss.class_weights.tolist() == pytest.approx(expected, abs=1e-6)


def test_class_balanced_golden_cases_are_complete() -> None:
    assert (len(WEIGHTS), len(SAMPLERS)) == (8, 2)


@pytest.mark.parametrize("case", WEIGHTS, ids=lambda case: case["id"])
def test_class_balanced_weights_match_golden(case: Case) -> None:
    weights = class_balanced_weights(case["class_counts"], case["beta"])
    assert weights.tolist() == pytest.approx(case["weights"], rel=1e-5)


@pytest.mark.parametrize("case", SAMPLERS, ids=lambda case: case["id"])
def test_class_balanced_weights_match_golden_sampler(case: Case) -> None:
    counts = torch.tensor(case["class_counts"], dtype=torch.float64)
    weights = class_balanced_weights(case["class_counts"], 0.9999)
    probabilities = weights * counts / (weights * counts).sum()
    assert probabilities.tolist() == pytest.approx(case["class_probabilities"], rel=1e-9)
    of_samples = weights[tensor("sbcl_stage2", f"{case['id']}.labels")]
    recorded = tensor("sbcl_stage2", f"{case['id']}.sample_weights")
    torch.testing.assert_close(of_samples / of_samples.sum(), recorded / recorded.sum())
