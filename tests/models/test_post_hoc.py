"""tau-normalization and post-hoc logit adjustment against loops."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import (
    HEADS,
    AdjustedHeads,
    Expert,
    Network,
    PostHocClassifier,
    build_adjusted_heads,
    uses_post_hoc,
)
from longtail.models.post_hoc import tau_normalized

B, D, C = 6, 8, 5
COUNTS = [100, 40, 20, 10, 5]
STRENGTH = "TEST.LOGIT_ADJUSTMENT"


def head(kind: str = "FC", *overrides: Any) -> Any:
    torch.manual_seed(0)
    return HEADS.get(kind)(load_config(None, overrides), D, C)


def adjusted(*overrides: Any, counts: list[int] = COUNTS) -> AdjustedHeads:
    return build_adjusted_heads(load_config(None, overrides), [head(), head()], class_counts=counts)


@pytest.fixture
def features() -> Tensor:
    return torch.randn(2, B, D, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["FC", "cRT"])
@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0, 2.0])
def test_tau_normalized_matches_loop(kind: str, tau: float) -> None:
    before = head(kind)
    normalized = tau_normalized(before, tau)
    for old, new in zip(before.weight.detach(), normalized.weight, strict=True):
        length = math.sqrt(sum(float(x) ** 2 for x in old))
        torch.testing.assert_close(new, old / length**tau)
    assert torch.equal(normalized.bias, before.bias)
    assert torch.equal(before.weight, head(kind).weight)  # the head itself stays


def test_tau_normalized_with_tau_0_and_tau_1() -> None:
    assert torch.equal(tau_normalized(head(), 0.0).weight, head().weight)
    torch.testing.assert_close(tau_normalized(head(), 1.0).weight.norm(dim=1), torch.ones(C))


def test_tau_normalized_drops_the_bias() -> None:
    assert torch.equal(tau_normalized(head(), 1.0, keep_bias=False).bias, torch.zeros(C))
    assert tau_normalized(head("FC", "CLASSIFIER.BIAS", False), 1.0, keep_bias=False).bias is None


def test_tau_normalized_weight_of_zero_stays_zero() -> None:
    before = head()
    with torch.no_grad():
        before.weight[2] = 0
    assert torch.equal(tau_normalized(before, 1.0).weight[2], torch.zeros(D))


def test_tau_normalized_with_tau_1_does_not_depend_on_lengths() -> None:
    longer = head()
    with torch.no_grad():
        longer.weight *= torch.arange(1, C + 1)[:, None]
    torch.testing.assert_close(tau_normalized(longer, 1.0).weight, tau_normalized(head(), 1.0).weight)


@pytest.mark.parametrize("kind", ["FCNorm", "cos", "LWS"])
def test_tau_normalized_refuses_heads_that_are_not_linear(kind: str) -> None:
    with pytest.raises(UserError, match=r"needs a head with a weight matrix: CLASSIFIER\.TYPE FC or cRT"):
        tau_normalized(head(kind), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_adjusted_heads_logit_adjustment_matches_loop(strength: float, features: Tensor) -> None:
    logits = adjusted(STRENGTH, strength)(features)
    prior = [count / sum(COUNTS) for count in COUNTS]
    for expert in range(2):
        for row in range(B):
            for c in range(C):
                raw = head()(features[expert])[row, c]
                torch.testing.assert_close(logits[expert, row, c], raw - strength * math.log(prior[c]))


def test_adjusted_heads_of_equal_classes_keep_the_order(features: Tensor) -> None:
    plain, other = (adjusted(STRENGTH, strength, counts=[7] * C)(features) for strength in (0.0, 3.0))
    assert torch.equal(plain.argsort(dim=2), other.argsort(dim=2))


def test_adjusted_heads_both_corrections(features: Tensor) -> None:
    options = ("TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.TAU_NORM.TAU", 0.7, "TEST.TAU_NORM.KEEP_BIAS", False)
    both = adjusted(*options, STRENGTH, 1.0)(features)
    offset = (torch.tensor(COUNTS) / sum(COUNTS)).log()
    torch.testing.assert_close(both, adjusted(*options)(features) - offset)


def test_adjusted_heads_of_different_widths(features: Tensor) -> None:
    heads = [nn.Linear(D, C), nn.Linear(3, C)]
    rows = (features[0], torch.randn(B, 3))
    adjusted = AdjustedHeads(list(heads), torch.zeros(C))
    expected = torch.stack([head(row) for head, row in zip(heads, rows, strict=True)])
    torch.testing.assert_close(adjusted(rows), expected, rtol=0, atol=0)


def test_post_hoc_classifier_without_corrections_gives_the_logits_of_the_network(features: Tensor) -> None:
    network = Network([Expert(nn.Linear(D, D), head()) for _ in range(2)])
    heads = build_adjusted_heads(load_config(), network.heads, class_counts=COUNTS)
    output, expected = PostHocClassifier(network, heads)(features[0]), network(features[0])
    torch.testing.assert_close(output.logits, expected.logits, rtol=0, atol=0)
    torch.testing.assert_close(output.features, expected.features, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], False),
        ([STRENGTH, 0.5], True),
        (["TEST.TAU_NORM.USE_TAU_NORM", True], True),
        (["TEST.TAU_NORM.TAU", 0.5], False),
    ],
)
def test_uses_post_hoc(overrides: list[Any], expected: bool) -> None:
    assert uses_post_hoc(load_config(None, overrides)) is expected


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ([STRENGTH, 1.0], STRENGTH),
        (["TEST.PRIOR", "train"], "TEST.PRIOR train"),
        (["TEST.PRIOR", "reversed"], "reversed"),
    ],
)
def test_corrections_by_class_frequency_refuse_classes_without_images(overrides: list[Any], key: str) -> None:
    with pytest.raises(UserError, match=f"{key} needs training images of every class; class 1 has none"):
        adjusted(*overrides, counts=[100, 0, 20, 10, 5])


def test_corrections_without_class_frequencies_allow_classes_without_images(features: Tensor) -> None:
    heads = adjusted("TEST.TEMPERATURE", 2.0, counts=[100, 0, 20, 10, 5])
    assert torch.isfinite(heads(features)).all()
