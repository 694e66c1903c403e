"""CADEL's "post-compensation" by post-hoc logit adjustment reproduces the records of the release."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.evaluation import ConfusionMatrix, ensemble_heads, ensemble_logits, shot_accuracy
from longtail.models import build_adjusted_heads
from tests.helpers.golden import record, relative_error, tensor

NAME = "cadel_post_compensation"
CASES: list[dict[str, Any]] = record(NAME)["cases"]
ENSEMBLE = {"cnn": "last", "places": "last", "vit": "mean"}
FACTOR = {"cnn": 1 / 3, "places": 1, "vit": 3}  # released logits / mean of the used heads
pytestmark = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']}-{case['code']}")


def array(case: dict[str, Any], name: str) -> Tensor:
    found: Tensor = tensor(NAME, f"{case['id']}.{name}")
    return found


def adjusted(case: dict[str, Any], split: str, tau: float) -> Tensor:
    """Mean of the used heads, adjusted with a strength, (N, C)."""
    logits = array(case, f"{split}_logits")
    heads = [nn.Linear(logits.shape[-1], logits.shape[-1], bias=False) for _ in logits]
    for head in heads:
        nn.init.eye_(head.weight)  # the "features" are the recorded logits
    cfg = load_config(None, ["TEST.LOGIT_ADJUSTMENT", float(tau)])
    with torch.no_grad():
        result: Tensor = build_adjusted_heads(cfg, heads, class_counts=case["class_counts"])(logits)
    return ensemble_logits(result, ensemble_heads(ENSEMBLE[case["code"]], len(result)))


def measures(case: dict[str, Any], predictions: Tensor, labels: Tensor) -> dict[str, float]:
    """The measures of the release: accuracy, class averages of the groups > 100, 20..100 and < 20, macro F1."""
    counts = case["class_counts"]
    matrix = ConfusionMatrix(len(counts))
    matrix.update(predictions, labels)
    recall, precision = matrix.recall(), matrix.precision()
    groups: dict[str, list[float]] = {"many": [], "median": [], "low": []}
    for count, value in zip(counts, recall, strict=True):
        groups["many" if count > 100 else "low" if count < 20 else "median"].append(value)
    scores = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall, strict=True)]
    accuracy = shot_accuracy(matrix, counts)["all"]
    assert accuracy is not None
    averages = {name: sum(values) / len(values) for name, values in groups.items()}
    return {"all": accuracy, **averages, "fscore": sum(scores) / len(scores)}


def evaluated(case: dict[str, Any], split: str, tau: float) -> dict[str, float]:
    return measures(case, adjusted(case, split, tau).argmax(1), array(case, f"{split}_labels"))


def test_logit_adjustment_gives_the_recorded_sweep_and_strength(case: dict[str, Any]) -> None:
    sweep = [evaluated(case, "val", tau) for tau in case["taus"]]
    for own, released in zip(sweep, case["val_sweep"], strict=True):
        assert own == pytest.approx(released, rel=1e-9)
    accuracies = [own["all"] for own in sweep]
    assert case["taus"][accuracies.index(max(accuracies))] == case["best_tau"]  # of equals, the first


def test_logit_adjustment_gives_the_recorded_test_result(case: dict[str, Any]) -> None:
    logits = adjusted(case, "test", case["best_tau"])
    assert torch.equal(logits.argmax(1), array(case, "test_predictions"))
    assert evaluated(case, "test", case["best_tau"]) == pytest.approx(case["test"], rel=1e-9)
    assert evaluated(case, "test", 0.0) == pytest.approx(case["test_without"], rel=1e-9)
    released = array(case, "test_adjusted_logits")  # with log(1 / C) added, a constant
    centered = [values - values.mean(1, keepdim=True) for values in (FACTOR[case["code"]] * logits, released)]
    assert relative_error(*centered) < 1e-5


def test_logit_adjustment_gives_the_recorded_validation_during_training(case: dict[str, Any]) -> None:
    tau = 1.0 if case["code"] == "vit" else 0.0
    assert evaluated(case, "val", tau) == pytest.approx(case["val_during_training"], rel=1e-9)
