"""CADEL's cascade losses and cosine head against the records of its release."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.losses import build_loss
from longtail.losses.cascade import cascade_loss, density_weights
from longtail.models.heads import CosNormHead
from tests.helpers.golden import has_tensor, record, relative_error, tensor

NAME = "cadel_losses"
CASES: list[dict[str, Any]] = record(NAME)["cases"]
LOSSES = [case for case in CASES if case["kind"] in ("ce", "bce")]
HEADS = [case for case in CASES if case["kind"] == "cosine_head"]
KINDS = {"ce": "softmax", "bce": "sigmoid"}
LOSS_TYPES = {"ce": "CascadeSoftmax", "bce": "CascadeSigmoid"}
RELEASED = {"ce": "batch", "bce": "sample"}  # the weighting that each release executes


def array(case: dict[str, Any], name: str) -> Tensor:
    found: Tensor = tensor(NAME, f"{case['id']}.{name}")
    return found


def second_targets(case: dict[str, Any]) -> Tensor | None:
    return array(case, "targets2") if has_tensor(NAME, f"{case['id']}.targets2") else None


def losses(case: dict[str, Any], logits: Tensor, weighting: str) -> Tensor:
    return cascade_loss(
        logits,
        array(case, "targets"),
        kind=KINDS[case["kind"]],
        uniform=1 - case["epoch"] / case["epochs"],
        weighting=weighting,
        targets2=second_targets(case),
        lam=case["lam"],
        **case["options"],
    )


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case["id"])
def test_cascade_loss_equals_the_release(case: dict[str, Any]) -> None:
    logits = array(case, "logits").requires_grad_()
    per_head = losses(case, logits, RELEASED[case["kind"]])
    (gradient,) = torch.autograd.grad(per_head.sum(), logits)
    assert relative_error(per_head.detach(), torch.tensor(case["loss_per_head"])) < 1e-5
    assert float(per_head.detach().sum()) == pytest.approx(case["loss"], rel=1e-5)
    assert relative_error(gradient, array(case, "grad")) < 1e-5


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case["id"])
def test_cascade_loss_per_sample_equals_the_intended_formula(case: dict[str, Any]) -> None:
    expected = torch.tensor(case["own_per_sample_loss_per_head"])
    assert relative_error(losses(case, array(case, "logits"), "sample"), expected) < 1e-5


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case["id"])
def test_density_weights_equal_the_release(case: dict[str, Any]) -> None:
    logits = array(case, "logits")
    probabilities = logits.softmax(-1) if case["kind"] == "ce" else logits.sigmoid()
    for column, targets in enumerate([array(case, "targets"), second_targets(case)][: 1 + case["mixup"]]):
        assert targets is not None
        own = probabilities.gather(-1, targets.expand(logits.shape[:2])[..., None])[..., 0]
        scores = own.cumsum(0) / torch.arange(1, len(own) + 1)[:, None]
        weights = torch.stack([density_weights(head, **case["options"]) for head in scores])
        torch.testing.assert_close(weights, array(case, "weights")[:, column], rtol=1e-5, atol=0)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case["id"])
def test_loss_of_the_config_equals_the_release(case: dict[str, Any]) -> None:
    keys = {name.upper(): value for name, value in case["options"].items()}
    keys |= {"WEIGHTING": RELEASED[case["kind"]], "GAMMA": float(keys["GAMMA"])}
    keys["BASE_WEIGHT"] = float(keys["BASE_WEIGHT"])
    overrides = [item for name, value in keys.items() for item in (f"LOSS.Cascade.{name}", value)]
    overrides += ["LOSS.LOSS_TYPE", LOSS_TYPES[case["kind"]], "TRAIN.MAX_EPOCH", case["epochs"]]
    logits, targets2 = array(case, "logits"), second_targets(case)
    loss = build_loss(load_config(None, overrides), [1] * logits.shape[-1])
    loss.set_epoch(case["epoch"])
    value = loss(logits, array(case, "targets"))
    if targets2 is not None:
        value = case["lam"] * value + (1 - case["lam"]) * loss(logits, targets2)
    assert float(value) == pytest.approx(case["loss"], rel=1e-5)


@pytest.mark.parametrize("case", HEADS, ids=lambda case: case["id"])
def test_cosnorm_head_equals_the_release(case: dict[str, Any]) -> None:
    weight, features = array(case, "weight"), array(case, "features").requires_grad_()
    head = CosNormHead(weight.shape[1], weight.shape[0], scale=case["scale"])
    head.load_state_dict({"weight": weight})
    logits = head(features)
    parts = torch.autograd.grad(logits, [features, head.weight], array(case, "grad_of_logits"))
    assert relative_error(logits.detach(), array(case, "logits")) < 1e-5
    for gradient, name in zip(parts, ("grad_features", "grad_weight"), strict=True):
        assert relative_error(gradient, array(case, name)) < 1e-5
