"""Temperature scaling."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor

from longtail.evaluation import calibration_error, fit_temperature
from longtail.evaluation.temperature import HIGHEST, LOWEST


def overconfident(factor: float = 3.0, *, samples: int = 4000) -> tuple[Tensor, Tensor]:
    """Return logits whose right temperature is `factor`, and labels drawn from them."""
    random = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(samples, 6, generator=random, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=random)[:, 0]
    return logits * factor, labels


@pytest.mark.slow
@pytest.mark.parametrize("offset", [None, torch.tensor([1.0, 0.5, 0.0, 0.0, -0.5, -1.0])])
def test_fit_temperature_minimizes_the_log_loss_of_sklearn(offset: Tensor | None) -> None:
    logits, labels = overconfident()
    added = torch.zeros(6) if offset is None else offset

    def nll(temperature: float) -> float:
        return log_loss(labels.numpy(), (logits / temperature + added).softmax(dim=1).numpy(), labels=np.arange(6))

    found = fit_temperature(logits.float(), labels, offset=offset)
    grid = np.geomspace(0.5, 20, 400)
    assert found == pytest.approx(grid[np.argmin([nll(value) for value in grid])], rel=0.01)
    assert nll(found) <= min(nll(found * 0.999), nll(found * 1.001))


def test_fit_temperature_finds_the_factor_and_lowers_the_calibration_error() -> None:
    logits, labels = overconfident(factor=3.0)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(3.0, rel=0.05)
    before = calibration_error(logits.softmax(dim=1), labels)
    after = calibration_error((logits / found).softmax(dim=1), labels)
    assert before > 0.1 and after < 0.02
    assert torch.equal((logits / found).argmax(dim=1), logits.argmax(dim=1))


def test_fit_temperature_scales_with_the_logits() -> None:
    logits, labels = overconfident()
    assert fit_temperature(10 * logits, labels) == pytest.approx(10 * fit_temperature(logits, labels), rel=1e-9)
    order = torch.randperm(len(labels))
    assert fit_temperature(logits[order], labels[order]) == pytest.approx(fit_temperature(logits, labels), rel=1e-9)


def test_fit_temperature_stops_at_its_bounds() -> None:
    logits = 5 * torch.eye(4)
    assert fit_temperature(logits, torch.arange(4)) == LOWEST  # every sample is right
    assert fit_temperature(logits, (torch.arange(4) + 1) % 4) == HIGHEST  # every sample is wrong
