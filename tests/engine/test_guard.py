"""A step that is not finite never reaches the weights, and says which it was."""

import pytest
import torch
from longtail.engine.gradients import Gradients
from longtail.engine.guard import FiniteGuard, NotFinite
from torch import nn

from longtail.engine.trainer import Trainer
from longtail.engine.training import train
from longtail.methods import Step
from longtail.models import read_checkpoint


def unbounded(optimizer: torch.optim.Optimizer) -> Gradients:
    return Gradients(optimizer, torch.amp.GradScaler("cpu", enabled=False))


def run_steps(immediate: bool, poison: int, steps: int = 4) -> tuple[nn.Linear, torch.Tensor, FiniteGuard]:
    """Take steps of which number `poison` has an infinite gradient; return the weights before that one as well."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True)
    guard = FiniteGuard(optimizer, immediate)
    good = torch.empty(0)
    for number in range(1, steps + 1):
        optimizer.zero_grad()
        loss = model(torch.ones(5, 3)).square().mean()
        if number == poison:
            good = model.weight.detach().clone()
            loss = loss * torch.inf
        loss.backward()
        step = Step(loss, torch.empty(0), torch.empty(0), {"ce": loss.detach()})
        guard.check(2, number, step, torch.arange(10, 15), unbounded(optimizer).bound())
        optimizer.step()
    return model, good, guard


def test_a_cpu_reads_every_verdict_at_once():
    with pytest.raises(NotFinite, match=r"epoch 2, batch 3 \(ce inf\), samples 10 11 12 13 14; "):
        run_steps(immediate=True, poison=3)


def test_a_deferred_verdict_stops_the_weights_on_the_device():
    model, good, guard = run_steps(immediate=False, poison=2)
    assert torch.equal(model.weight, good)
    with pytest.raises(NotFinite, match="epoch 2, batch 2"):
        guard.report()


def test_good_steps_pass():
    model, _, guard = run_steps(immediate=False, poison=0)
    guard.report()
    assert torch.isfinite(model.weight).all()


def test_a_gradient_that_overflows_under_a_finite_loss_is_found():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1, fused=True)
    step = Step(torch.tensor(1.0), torch.empty(0), torch.empty(0), {})
    weight.grad = torch.tensor([0.0, torch.nan])
    guard = FiniteGuard(optimizer, immediate=True)
    guard.check(1, 1, step, torch.empty(0), None)  # under a scaler, whose business it is
    with pytest.raises(NotFinite):
        guard.check(1, 1, step, torch.empty(0), unbounded(optimizer).bound())


def test_training_stops_before_the_bad_step_and_keeps_the_last_state(tiny_cfg, monkeypatch, capsys):
    original = Trainer._step

    def step(self, batch):
        if self.epoch == 2 and self.batch == 1:
            with torch.no_grad():
                self.network.experts[0].head.bias.fill_(torch.nan)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)
    cfg = tiny_cfg()
    with pytest.raises(NotFinite, match="epoch 2, batch 2"):
        train(cfg, "x.yaml", "cpu")
    monkeypatch.undo()
    (last,) = cfg_runs(cfg)
    content = read_checkpoint(last)
    assert (content["epoch"], content["batch"]) == (2, 0)
    assert all(torch.isfinite(value).all() for value in content["model"].values())


def cfg_runs(cfg):
    from pathlib import Path

    return list(Path(cfg.OUTPUT_DIR).glob("*/*/models/last.pth"))
