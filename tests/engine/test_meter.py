"""Training loss and accuracy of an epoch."""

import pytest
import torch

from longtail.engine.meter import Meter
from longtail.methods import Mixed, Step

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


def test_state_is_restored() -> None:
    meter, other = Meter(), Meter()
    step = Step(torch.tensor(2.0), LOGITS, FIRST, {"ce": torch.tensor(1.5)})
    meter.update(step)
    other.load_state_dict(meter.state_dict(), CPU)
    for one in (meter, other):
        one.update(step._replace(loss=torch.tensor(3.0)))
    assert meter.means() == other.means()
    assert meter.samples == other.samples == 8
