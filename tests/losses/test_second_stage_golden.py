"""SBCL's second stage on CIFAR: class weights, LDAM and its head are those of the release."""

import pytest
import torch
from golden_records import record, relative_error, tensor

from longtail.losses.class_balanced import class_balanced_weights
from longtail.losses.ldam import LDAM, margins
from longtail.models.heads import NormHead

CASES = record("sbcl_stage2")["cases"]


def cases(kind, number):
    chosen = [case for case in CASES if case["kind"] == kind]
    assert len(chosen) == number
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case["id"])


@cases("class_weights", 8)
def test_class_balanced_weights_are_the_released_ones(case):
    weights = class_balanced_weights(case["class_counts"], case["beta"])
    assert weights.tolist() == pytest.approx(case["weights"], rel=1e-5)


@cases("effective_number_sampler", 2)
def test_class_balanced_weights_are_those_of_the_released_sampler(case):
    counts = torch.tensor(case["class_counts"], dtype=torch.float64)
    weights = class_balanced_weights(case["class_counts"], 0.9999)
    probabilities = weights * counts / (weights * counts).sum()
    assert probabilities.tolist() == pytest.approx(case["class_probabilities"], rel=1e-9)
    of_samples = weights[tensor("sbcl_stage2", f"{case['id']}.labels")]
    recorded = tensor("sbcl_stage2", f"{case['id']}.sample_weights")
    torch.testing.assert_close(of_samples / of_samples.sum(), recorded / recorded.sum())


@cases("ldam", 5)
def test_ldam_is_the_released_one(case):
    logits, targets, gradient, margin = (
        tensor("sbcl_stage2", f"{case['id']}.{name}") for name in ("logits", "targets", "grad", "margins")
    )
    assert margins(case["class_counts"], case["max_m"]).tolist() == pytest.approx(margin.tolist(), rel=1e-5)
    weighted = case["class_weights"] != "none"
    loss = LDAM(case["class_counts"], case["scale"], case["max_m"], start_epoch=1 if weighted else None)
    loss.set_epoch(1)  # weighted from the first epoch on: the release defers nothing
    logits = logits.clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert value.item() == pytest.approx(case["loss"], rel=1e-5)
    assert relative_error(logits.grad, gradient) < 1e-5


@cases("normed_linear", 2)
def test_norm_head_is_the_released_one(case):
    names = ("features", "weight", "logits", "grad_of_logits", "grad_features", "grad_weight")
    features, weight, logits, above, *gradients = (tensor("sbcl_stage2", f"{case['id']}.{name}") for name in names)
    head = NormHead(*weight.shape)
    head.weight.data.copy_(weight.T)
    features = features.clone().requires_grad_()
    found = head(features)
    found.backward(above)
    for value, golden in zip((found, features.grad, head.weight.grad.T), (logits, *gradients), strict=True):
        assert relative_error(value.detach(), golden) < 1e-5
