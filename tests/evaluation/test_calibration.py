"""Calibration error, and the sums from which the evaluator computes it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from longtail.evaluation import Evaluator, calibration_error

COUNTS = [200, 150, 60, 40, 15, 8, 2]
C = len(COUNTS)
SHOTS = {"many": [0, 1], "medium": [2, 3], "few": [4, 5, 6]}


def samples(number: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return logits (3, N, C) and labels (N,): uncertain predictions are right too often, certain ones too seldom.

    If all gaps had the same sign, the error would not depend on the bins.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(C, (number,), generator=generator)
    logits = torch.randn(3, number, C, generator=generator, dtype=torch.float64)
    logits[:, torch.arange(number), labels] += 1.5
    logits[:, ::2] *= 4
    logits[:, 1::2] /= 2
    return logits, labels


def error_loop(probabilities: Tensor, labels: Tensor, bins: int) -> float:
    """Go through the bins one by one."""
    confidence, predicted = probabilities.max(1)
    total = 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if inside.any():
            accuracy = (predicted == labels)[inside].double().mean()
            total += float(inside.sum() * (accuracy - confidence[inside].mean()).abs())
    return total / len(labels)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_matches_loop(bins: int) -> None:
    logits, labels = samples()
    probabilities = logits[0].softmax(1)
    wanted = error_loop(probabilities, labels, bins)
    assert calibration_error(probabilities, labels, bins) == pytest.approx(wanted, abs=1e-12)
    assert calibration_error(probabilities.numpy(), labels.tolist(), bins) == pytest.approx(wanted, abs=1e-12)


def test_calibration_error_has_15_bins() -> None:
    logits, labels = samples()
    probabilities = logits[0].softmax(1)
    errors = [calibration_error(probabilities, labels, bins) for bins in (1, 14, 15, 16)]
    assert len(set(errors)) == 4
    assert calibration_error(probabilities, labels) == errors[2]


def test_calibration_error_of_one_bin_is_the_gap_of_accuracy_and_confidence() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    assert calibration_error(probabilities, torch.tensor([0, 1, 1]), bins=1) == pytest.approx(2.2 / 3 - 2 / 3)


def test_calibration_error_is_zero_for_certain_and_right_predictions() -> None:
    assert calibration_error(torch.eye(4), torch.arange(4)) == 0
    assert calibration_error(torch.eye(4), torch.tensor([1, 2, 3, 0])) == 1


def test_calibration_error_puts_a_boundary_into_the_lower_bin() -> None:
    # 0.5 and 0.4 share the bin (0, 0.5], whose gaps cancel.
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]])
    assert calibration_error(probabilities, torch.tensor([0, 1]), bins=2) == pytest.approx(abs(1 - 0.9) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_calibration_error_rounds_boundaries_like_its_input(dtype: torch.dtype) -> None:
    # 0.6, which float32 rounds up, is in the bin (0.4, 0.6] with 0.58.
    probabilities = torch.tensor([[0.6, 0.4], [0.58, 0.42]], dtype=dtype)
    assert calibration_error(probabilities, torch.tensor([0, 1]), bins=5) == pytest.approx(0.09, abs=1e-6)


@pytest.mark.parametrize(("shape", "labels", "bins"), [((0, 3), 0, 15), ((2, 3), 3, 15), ((6,), 6, 15), ((2, 3), 2, 0)])
def test_calibration_error_refuses_what_it_cannot_use(shape: tuple[int, ...], labels: int, bins: int) -> None:
    with pytest.raises(ValueError, match=r"must be|at least one bin"):
        calibration_error(np.zeros(shape), np.zeros(labels, dtype=int), bins)


@pytest.mark.parametrize("batch_size", [7, 300])
def test_evaluator_reports_likelihood_and_calibration_by_group(batch_size: int) -> None:
    logits, labels = samples()
    evaluator = Evaluator(C, 3, class_counts=COUNTS)
    for index in torch.arange(300).split(batch_size):
        evaluator.update(logits[:, index], labels[index])
    results = evaluator.results()
    for found, scores in zip([*results["experts"], results["ensemble"]], [*logits, logits.mean(0)], strict=True):
        for suffix, classes in {"": list(range(C)), **{f"_{name}": group for name, group in SHOTS.items()}}.items():
            inside = torch.isin(labels, torch.tensor(classes))
            probabilities, own = scores[inside].softmax(1), labels[inside]
            likelihood = -probabilities[torch.arange(len(own)), own].log().mean()
            assert found[f"nll{suffix}"] == pytest.approx(float(likelihood), rel=1e-9)
            assert found[f"ece{suffix}"] == pytest.approx(calibration_error(probabilities, own), abs=1e-9)
            for k in (2, 5):
                hits = (scores[inside].topk(k).indices == own[:, None]).any(1).double().mean()
                assert found[f"top{k}{suffix}"] == pytest.approx(float(hits))
    assert results["loss"] == results["ensemble"]["nll"]


def test_evaluator_calibration_does_not_depend_on_the_order() -> None:
    logits, labels = samples()
    first, second = (Evaluator(C, 3, class_counts=COUNTS) for _ in range(2))
    first.update(logits, labels)
    for index in torch.randperm(300, generator=torch.Generator().manual_seed(1)).split(11):
        second.update(logits[:, index], labels[index])
    assert first.results()["ensemble"]["ece_few"] == second.results()["ensemble"]["ece_few"]


def test_evaluator_leaves_out_likelihoods_of_groups_without_samples() -> None:
    logits, labels = samples()
    evaluator = Evaluator(C, 3, class_counts=COUNTS)
    evaluator.update(logits, labels.clamp(max=3))
    assert not {"ece_few", "nll_few", "top5_few", "few"} & set(evaluator.results()["ensemble"])
