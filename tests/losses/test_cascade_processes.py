"""Cascade losses over one, two and three processes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.losses.cascade import cascade_loss, density_weights
from tests.helpers.processes import Results, run_processes

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)
SAMPLES = 12  # of the global batch
SETTINGS: dict[str, Any] = {"uniform": 0.2, "bins": 4, "gamma": 1.5, "base_weight": 2.0}
CASES = [(kind, weighting) for kind in ("softmax", "sigmoid") for weighting in ("sample", "batch")]


def draw() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, SAMPLES, 5, generator=random)
    return logits, torch.randint(5, (SAMPLES,), generator=random)


def value_and_gradient(kind: str, weighting: str, *, own: slice) -> tuple[Tensor, Tensor]:
    logits, targets = draw()
    part = logits[:, own].requires_grad_()
    values = cascade_loss(part, targets[own], kind=kind, weighting=weighting, **SETTINGS)
    return values.detach(), torch.autograd.grad(values.sum(), part)[0]


def work(rank: int, world: int) -> dict[Any, Any]:
    own = slice(rank * SAMPLES // world, (rank + 1) * SAMPLES // world)
    results: dict[Any, Any] = {case: value_and_gradient(*case, own=own) for case in CASES}
    scores = torch.arange(SAMPLES)[own] / SAMPLES
    results["weights"] = density_weights(scores, bins=3, gamma=1.0, base_weight=0.0)
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.parametrize("world", WORLDS)
def test_processes_compute_the_loss_of_the_whole_batch(results: Results, world: int, case: tuple[str, str]) -> None:
    value, gradient = value_and_gradient(*case, own=slice(None))
    parts = [process[case] for process in results[world]]
    torch.testing.assert_close(torch.stack([part[0] for part in parts]).mean(0), value)
    torch.testing.assert_close(torch.cat([part[1] for part in parts], dim=1) / world, gradient)


@pytest.mark.parametrize("world", WORLDS)
def test_density_weights_count_the_samples_of_all_processes(results: Results, world: int) -> None:
    weights = torch.cat([process["weights"] for process in results[world]])
    torch.testing.assert_close(weights, torch.full((SAMPLES,), 1 / 3))
