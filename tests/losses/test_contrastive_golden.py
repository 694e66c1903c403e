"""The contrastive losses of SBCL's release: values, gradients, and steps with momentum encoder and queue."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.losses.contrastive import (
    k_positive_contrastive,
    subclass_contrastive,
    subclass_contrastive_queue,
    supervised_contrastive,
)
from tests.helpers.golden import Case, has_tensor, record, relative_error, tensor
from tests.helpers.losses import grad

CASES = record("sbcl_losses")["cases"]
TRAININGS = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "queue_training"]
NAMES = ("features", "query", "key", "queue", "labels", "subclass", "queue_labels", "queue_subclass", "draws")


def test_contrastive_golden_cases_are_complete() -> None:
    assert (len(CASES), len(TRAININGS)) == (40, 2)


def value_of(case: Case, arrays: dict[str, Any]) -> Tensor:
    """Return the loss of a recorded case."""
    options = dict(case["options"])
    if case["kind"] == "scl":
        return supervised_contrastive(arrays["features"], arrays["labels"], **options)
    if case["kind"] in ("sbcl", "sbcl_same_denominator"):
        if "class_temperatures" in options:
            options["class_temperatures"] = torch.tensor(options["class_temperatures"])
        return subclass_contrastive(arrays["features"], arrays["labels"], arrays["subclass"], **options)
    rows = (arrays["query"], arrays["key"], arrays["queue"])
    if case["kind"] == "kcl":
        return k_positive_contrastive(*rows, arrays["labels"], arrays["queue_labels"], draws=arrays["draws"], **options)
    ids = (arrays[name] for name in ("labels", "subclass", "queue_labels", "queue_subclass"))
    return subclass_contrastive_queue(*rows, *ids, **options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']}-{case['kind']}")
def test_contrastive_losses_match_golden_value_and_gradient(case: Case) -> None:
    keys = {name: f"{case['id']}.{name}" for name in NAMES}
    arrays = {name: tensor("sbcl_losses", key) for name, key in keys.items() if has_tensor("sbcl_losses", key)}
    leaf = "features" if "features" in arrays else "query"
    arrays[leaf] = arrays[leaf].clone().requires_grad_()
    value = value_of(case, {**dict.fromkeys(NAMES), **arrays})
    value.backward()
    assert value.item() == pytest.approx(case["loss"], rel=1e-5, abs=1e-6)
    gradient = grad(arrays[leaf])
    if case["loss"] == 0:  # one image: its gradient is of rounding size
        assert gradient.abs().max() < 1e-6
    else:
        assert relative_error(gradient, tensor("sbcl_losses", f"{case['id']}.grad")) < 1e-4


def linear(array: Callable[[str], Tensor], name: str) -> nn.Linear:
    """Return a linear layer with recorded weights."""
    weight, bias = array(f"{name}.weight"), array(f"{name}.bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


@pytest.mark.parametrize("case", TRAININGS, ids=lambda case: case["id"])
def test_subclass_contrastive_queue_training_matches_golden(case: Case) -> None:
    def array(name: str) -> Tensor:
        return tensor("sbcl_stage2", f"{case['id']}.{name}")

    query_encoder, key_encoder = linear(array, "query_encoder0"), linear(array, "key_encoder0")
    queue, batch = array("queue0").T.clone(), case["batch"]
    queue_ids = [torch.full((case["queue"],), -1) for _ in range(2)]
    optimizer = torch.optim.SGD(
        query_encoder.parameters(), case["lr"], momentum=case["sgd_momentum"], weight_decay=case["weight_decay"]
    )
    settings = {name: case[name] for name in ("temperature", "class_temperature", "beta")}
    for step, golden in enumerate(case["losses"]):
        ids = array(f"labels{step}"), array(f"subclass{step}")
        assert torch.equal(queue_ids[0], array(f"queue_labels_seen{step}"))
        assert torch.equal(queue_ids[1], array(f"queue_subclass_seen{step}"))
        query = F.normalize(query_encoder(array(f"x_query{step}")), dim=1)
        with torch.no_grad():
            torch._foreach_lerp_(list(key_encoder.parameters()), list(query_encoder.parameters()), 1 - case["momentum"])
            key = F.normalize(key_encoder(array(f"x_key{step}")), dim=1)
        cosines = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], dim=1)
        assert relative_error(cosines.detach(), array(f"logits{step}")) < 1e-5
        loss = subclass_contrastive_queue(query, key, queue.clone(), *ids, *queue_ids, **settings)
        assert loss.item() == pytest.approx(golden, rel=1e-5)
        slots = torch.arange(step * batch, (step + 1) * batch) % case["queue"]
        for kept, new in zip((queue, *queue_ids), (key, *ids), strict=True):
            kept[slots] = new
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (len(case["losses"]) * batch) % case["queue"] == case["pointer_end"]
    for name, encoder in {"query_encoder_end": query_encoder, "key_encoder_end": key_encoder}.items():
        assert relative_error(encoder.weight.detach(), array(f"{name}.weight")) < 1e-5
        assert relative_error(encoder.bias.detach(), array(f"{name}.bias")) < 1e-5
    assert relative_error(queue.T, array("queue_end")) < 1e-5
    assert torch.equal(queue_ids[0], array("queue_labels_end"))
    assert torch.equal(queue_ids[1], array("queue_subclass_end"))
