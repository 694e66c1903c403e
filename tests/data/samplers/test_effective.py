"""Re-sampling by the effective number of samples."""

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.data import ImageSet, build_sampler
from longtail.data.samplers import EffectiveNumber
from tests.helpers.golden import Case, record, tensor

CASES = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "effective_number_sampler"]
EFFECTIVE = ["TRAIN.SAMPLER.TYPE", "weighted sampler", "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE", "effective"]


def images_of(labels: Tensor) -> ImageSet:
    """Return a set of images that are never loaded."""
    return ImageSet("set", labels, num_classes=int(labels.max()) + 1, load=lambda: torch.empty(0))


def test_effective_number_golden_cases_are_complete() -> None:
    assert len(CASES) == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_effective_number_probabilities_match_golden(case: Case) -> None:
    sampler = build_sampler(load_config(None, EFFECTIVE), images_of(tensor("sbcl_stage2", f"{case['id']}.labels")))
    assert isinstance(sampler, EffectiveNumber)
    assert sampler.length == case["length"]
    assert sampler.probabilities(1).tolist() == pytest.approx(case["class_probabilities"], rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1.0])
def test_effective_number_probabilities_match_a_loop(beta: float) -> None:
    counts = [40, 7, 1]
    sampler = EffectiveNumber(images_of(torch.arange(3).repeat_interleave(torch.tensor(counts))), 0, beta=beta)
    weights = [count / sum(beta**power for power in range(count)) for count in counts]  # the geometric series
    expected = [weight / sum(weights) for weight in weights]
    assert sampler.probabilities(1).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("beta", [0.5, 0.99])
def test_effective_number_takes_beta_from_the_config(beta: float) -> None:
    images = images_of(torch.arange(3).repeat_interleave(torch.tensor([40, 7, 1])))
    sampler = build_sampler(load_config(None, [*EFFECTIVE, "TRAIN.SAMPLER.WEIGHTED_SAMPLER.BETA", beta]), images)
    assert isinstance(sampler, EffectiveNumber)
    assert torch.equal(sampler.probabilities(1), EffectiveNumber(images, 0, beta=beta).probabilities(1))


def test_effective_number_draws_in_proportion_and_by_epoch() -> None:
    labels = torch.arange(3).repeat_interleave(torch.tensor([4000, 300, 20]))
    sampler = EffectiveNumber(images_of(labels), 0, beta=0.999)
    drawn = torch.bincount(labels[sampler.indices(1)], minlength=3) / sampler.length
    torch.testing.assert_close(drawn.double(), sampler.probabilities(1), atol=0.03, rtol=0)
    assert torch.equal(sampler.indices(2), sampler.indices(2))
    assert not torch.equal(sampler.indices(1), sampler.indices(2))
    assert str(sampler) == "p_c ~ n_c / effective number, beta 0.999"
