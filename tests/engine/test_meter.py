"""Training loss and accuracy of an epoch."""

from pathlib import Path

import pytest
import torch

from longtail.engine.meter import Meter
from longtail.methods import Mixed, Step
from tests.helpers.processes import run_processes

CPU = torch.device("cpu")
LOGITS = torch.tensor([[[5.0, 0, 0], [0, 5, 0], [0, 0, 5], [0, 0, 5]]])  # predicts 0, 1, 2, 2
FIRST, SECOND = torch.tensor([0, 1, 0, 0]), torch.tensor([1, 0, 2, 0])


def test_accuracy_of_mixtures_is_the_mixture_of_accuracies() -> None:
    meter, plain = Meter(), Meter()
    step = Step(torch.tensor(1.0), LOGITS, FIRST, {}, Mixed(SECOND, torch.tensor(0.75)))
    for _ in range(3):
        meter.update(step)
    assert meter.means()["top1"] == pytest.approx(0.75 * 2 / 4 + 0.25 * 1 / 4)
    plain.update(step._replace(mixed=None))
    assert plain.means()["top1"] == 0.5


def test_means_weigh_every_sample_alike() -> None:
    meter = Meter()
    meter.update(Step(torch.tensor(2.0), LOGITS, FIRST, {"ce": torch.tensor(1.5)}), torch.tensor(4.0))
    meter.update(Step(torch.tensor(7.0), LOGITS[:, :1], FIRST[:1], {"ce": torch.tensor(0.5)}), torch.tensor(9.0))
    assert meter.means() == pytest.approx({"loss": 3.0, "loss/ce": 1.3, "top1": 0.6, "gradient_norm": 5.0})


def test_accuracy_is_that_of_the_mean_of_the_experts() -> None:
    meter = Meter()
    logits = torch.stack([LOGITS[0], torch.tensor([0, 9.0, 0]).expand(4, 3)])
    meter.update(Step(torch.tensor(0.0), logits, torch.ones(4, dtype=torch.int64), {}))
    assert meter.means()["top1"] == 1


def work(rank: int, world: int) -> list[dict[str, float]]:
    """Return the means of an epoch of 12 samples, in one go, and after a resume in the middle."""
    rows = slice(rank * 2, rank * 2 + 4 // world)
    steps = [
        Step(logits[0, rows].sum(), logits[:, rows], FIRST[rows], {"ce": logits[0, rows].mean()})
        for logits in (LOGITS, 2 * LOGITS, 3 * LOGITS)
    ]
    meter, resumed = Meter(), Meter()
    for number, step in enumerate(steps):
        meter.update(step)
        if number == 1:
            resumed.load_state_dict(meter.state_dict(), CPU, main=rank == 0)
    resumed.update(steps[2])
    return [meter.over_processes().means(), resumed.over_processes().means()]


@pytest.mark.slow
def test_means_are_those_of_all_processes(tmp_path: Path) -> None:
    results = run_processes(work, tmp_path, worlds=(1, 2))
    alone = results[1][0][0]
    assert alone["top1"] == 0.5 and alone["loss/ce"] == pytest.approx(10 / 3)
    for whole, resumed in results[2]:
        assert whole == resumed
        assert whole["top1"] == alone["top1"] and whole["loss/ce"] == pytest.approx(alone["loss/ce"])


def test_state_is_restored() -> None:
    meter, other = Meter(), Meter()
    step = Step(torch.tensor(2.0), LOGITS, FIRST, {"ce": torch.tensor(1.5)})
    meter.update(step)
    other.load_state_dict(meter.state_dict(), CPU)
    for one in (meter, other):
        one.update(step._replace(loss=torch.tensor(3.0)))
    assert meter.means() == other.means()
    assert meter.samples == other.samples == 8
