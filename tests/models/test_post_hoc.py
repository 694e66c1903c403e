"""tau-normalisation and post-hoc logit adjustment against loops."""

import math

import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import HEADS, Expert, Network, Reread, build_readout
from longtail.models.post_hoc import tau_normalized

B, D, C = 6, 8, 5
COUNTS = [100, 40, 20, 10, 5]


def head(kind="FC", *overrides):
    torch.manual_seed(0)
    return HEADS.get(kind)(load_config(None, overrides), D, C)


@pytest.fixture
def features():
    return torch.randn(2, B, D, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["FC", "cRT"])
@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0, 2.0])
def test_each_weight_is_divided_by_a_power_of_its_length(kind, tau):
    before = head(kind)
    made = tau_normalized(before, tau)
    for old, new in zip(before.weight.detach(), made.weight, strict=True):
        length = math.sqrt(sum(float(x) ** 2 for x in old))
        torch.testing.assert_close(new, old / length**tau)
    assert torch.equal(made.bias, before.bias)
    assert torch.equal(before.weight, head(kind).weight)  # the head itself stays


def test_tau_zero_changes_no_bit_and_tau_one_gives_unit_lengths():
    assert torch.equal(tau_normalized(head(), 0.0).weight, head().weight)
    torch.testing.assert_close(tau_normalized(head(), 1.0).weight.norm(dim=1), torch.ones(C))


def test_the_bias_can_be_dropped():
    assert torch.equal(tau_normalized(head(), 1.0, keep_bias=False).bias, torch.zeros(C))
    assert tau_normalized(head("FC", "CLASSIFIER.BIAS", False), 1.0, keep_bias=False).bias is None


def test_a_weight_of_length_zero_stays_zero():
    before = head()
    with torch.no_grad():
        before.weight[2] = 0
    assert torch.equal(tau_normalized(before, 1.0).weight[2], torch.zeros(D))


def test_lengths_of_the_weights_do_not_matter_at_tau_one():
    longer = head()
    with torch.no_grad():
        longer.weight *= torch.arange(1, C + 1)[:, None]
    torch.testing.assert_close(tau_normalized(longer, 1.0).weight, tau_normalized(head(), 1.0).weight)


@pytest.mark.parametrize("kind", ["FCNorm", "cos", "LWS"])
def test_heads_that_are_not_linear_are_refused(kind):
    with pytest.raises(UserError, match=r"needs a head with a weight matrix: CLASSIFIER\.TYPE FC or cRT"):
        tau_normalized(head(kind), 1.0)


def readout(counts, *overrides):
    experts = [Expert(torch.nn.Identity(), head()) for _ in range(2)]
    return build_readout(load_config(None, overrides), Network(experts), counts)


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_the_logarithm_of_the_prior_is_subtracted(strength, features):
    logits = readout(COUNTS, "TEST.LOGIT_ADJUSTMENT", strength)(features)
    prior = [count / sum(COUNTS) for count in COUNTS]
    for expert in range(2):
        for row in range(B):
            for c in range(C):
                raw = head()(features[expert])[row, c]
                torch.testing.assert_close(logits[expert, row, c], raw - strength * math.log(prior[c]))


def test_classes_of_one_size_are_not_reordered(features):
    plain, adjusted = (readout([7] * C, "TEST.LOGIT_ADJUSTMENT", strength)(features) for strength in (0.0, 3.0))
    assert torch.equal(plain.argsort(dim=2), adjusted.argsort(dim=2))


def test_nothing_asked_for_is_what_the_network_says(features):
    network = Network([Expert(torch.nn.Linear(D, D), head()) for _ in range(2)])
    output = Reread(network, build_readout(load_config(), network, COUNTS))(features[0])
    torch.testing.assert_close(output.logits, network(features[0]).logits, rtol=0, atol=0)


def test_both_corrections_act_together(features):
    options = ("TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.TAU_NORM.TAU", 0.7, "TEST.TAU_NORM.KEEP_BIAS", False)
    both = readout(COUNTS, *options, "TEST.LOGIT_ADJUSTMENT", 1.0)(features)
    offset = (torch.tensor(COUNTS) / sum(COUNTS)).log()
    torch.testing.assert_close(both, readout(COUNTS, *options)(features) - offset)
