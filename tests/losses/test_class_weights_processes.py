"""Losses with class weights over one, two and three processes: divided by the weights of the whole batch."""

import pytest
import torch
from torch import Tensor

from tests.helpers.losses import C, build
from tests.helpers.processes import Results, run_processes

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)
SAMPLES = 12  # of the global batch
NAMES = ["CrossEntropy", "ClassBalanceCE", "CrossEntropyLabelSmooth", "CrossEntropyLabelAwareSmooth"]


def value_and_gradient(name: str, own: slice) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(SAMPLES, C, generator=random, dtype=torch.float64)
    targets = torch.randint(C, (SAMPLES,), generator=random)
    part = logits[own].requires_grad_()
    inverse = ["LOSS.CLASS_WEIGHTS.TYPE", "inverse"] if build(name).takes_class_weights else []
    value = build(name, *inverse)(part, targets[own])
    return value.detach(), torch.autograd.grad(value, part)[0]


def work(rank: int, world: int) -> dict[str, tuple[Tensor, Tensor]]:
    own = slice(rank * SAMPLES // world, (rank + 1) * SAMPLES // world)
    return {name: value_and_gradient(name, own) for name in NAMES}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("world", WORLDS)
def test_weighted_losses_of_processes_are_the_loss_of_the_whole_batch(results: Results, world: int, name: str) -> None:
    value, gradient = value_and_gradient(name, slice(None))
    parts = [process[name] for process in results[world]]
    torch.testing.assert_close(torch.stack([part[0] for part in parts]).mean(), value)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]) / world, gradient)
