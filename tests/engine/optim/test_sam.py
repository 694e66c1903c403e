"""Sharpness-aware minimization: the formula, batch norm, whole runs, resumed and in two processes; errors."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.distributed import Place
from longtail.engine.finite_guard import NotFinite
from longtail.engine.interrupts import Interrupted
from longtail.engine.optim import SharpnessAware, check_repeatable, check_sharpness
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.methods import Step, Supervised
from longtail.models import read_weights
from longtail.stages.checks import check_training
from tests.helpers.training import (
    BATCHES,
    CONTRASTIVE,
    CPU,
    MIXUP,
    NCL,
    FinishedRun,
    TinyConfig,
    assert_same,
    read_records,
    stop_after,
    tiny_config,
    train,
    values,
)
from tests.helpers.worlds import train_in_worlds

RHO = "TRAIN.OPTIMIZER.SAM_RHO"
SAM: list[Any] = [RHO, 0.2, "DROPOUT", False]
# Batch norm, which would see half of the batch, normalizes by its stored statistics; augmentation differs between
# processes.
ALIKE: list[Any] = ["EVAL_MODE", True, "DATASET.VIEWS", ["none"]]
ONE_EPOCH: list[Any] = ["TRAIN.MAX_EPOCH", 1, "TRAIN.OPTIMIZER.CLIP_NORM", 0.5]


def backward(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    module.zero_grad()
    loss = F.cross_entropy(module(x), y)
    loss.backward()
    return loss.detach()


def small(*, norm: bool = False) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm1d(5)] if norm else []
    module = nn.Sequential(nn.Linear(4, 5), *middle, nn.Tanh(), nn.Linear(5, 3)).double()
    return module, torch.randn(7, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_step_follows_the_formula(kind: str) -> None:
    """By hand: one vector w, its gradient g by autograd, the gradient at w + rho g / |g|, one optimizer step."""
    module, x, y = small()
    by_hand = copy.deepcopy(module)
    makers: dict[str, Any] = {"SGD": partial(torch.optim.SGD, lr=0.1, momentum=0.9), "AdamW": torch.optim.AdamW}
    make = makers[kind]
    optimizer, expected = make(module.parameters()), make(by_hand.parameters())
    sharpness = SharpnessAware(optimizer, [module], rho=0.3)

    def gradient(weights: list[Tensor]) -> list[Tensor]:
        weights = [weight.detach().requires_grad_() for weight in weights]
        a, b, c, d = weights
        logits = torch.tanh(x @ a.T + b) @ c.T + d
        loss = torch.stack([-row.log_softmax(0)[label] for row, label in zip(logits, y, strict=True)]).mean()
        return list(torch.autograd.grad(loss, weights))

    for _ in range(3):
        backward(module, x, y)
        with sharpness.ascended():
            backward(module, x, y)
        optimizer.step()
        w = [parameter.detach().clone() for parameter in by_hand.parameters()]
        g = gradient(w)
        length = sum(float(entry) ** 2 for part in g for entry in part.flatten()) ** 0.5
        for parameter, part in zip(
            by_hand.parameters(), gradient([a + 0.3 * b / length for a, b in zip(w, g, strict=True)]), strict=True
        ):
            parameter.grad = part
        expected.step()
    for found, wanted in zip(module.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_ascent_has_length_rho_and_ends_at_the_same_bits() -> None:
    module, x, y = small()
    module.float()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    loss = backward(module, x.float(), y)
    with SharpnessAware(torch.optim.SGD(module.parameters(), lr=0.1), [module], rho=0.3).ascended():
        moved = [parameter.detach() - old for parameter, old in zip(module.parameters(), before, strict=True)]
        assert float(torch.cat([part.flatten() for part in moved]).norm()) == pytest.approx(0.3, rel=1e-5)
        assert backward(module, x.float(), y) > loss
    assert_same([parameter.detach() for parameter in module.parameters()], before)


def test_weights_come_back_after_an_error_and_from_a_gradient_that_is_not_finite() -> None:
    module, x, y = small(norm=True)
    sharpness = SharpnessAware(torch.optim.SGD(module.parameters(), lr=0.1), [module], rho=0.3)
    before = copy.deepcopy([parameter.detach() for parameter in module.parameters()])
    backward(module, x * torch.nan, y)
    with pytest.raises(KeyError), sharpness.ascended():
        raise KeyError
    assert_same([parameter.detach() for parameter in module.parameters()], before)
    assert all(part.track_running_stats for part in module.modules() if isinstance(part, nn.BatchNorm1d))


def test_zero_gradient_and_unused_parameters_stay() -> None:
    used, unused = nn.Linear(2, 2), nn.Linear(2, 2)
    used.weight.grad, used.bias.grad = torch.zeros(2, 2), torch.zeros(2)
    before = copy.deepcopy(used.state_dict())
    optimizer = torch.optim.SGD([*used.parameters(), *unused.parameters()], lr=0.1)
    with SharpnessAware(optimizer, [used, unused], rho=0.3).ascended():
        assert_same(dict(used.state_dict()), dict(before))


def test_batch_norm_statistics_are_those_of_the_first_pass() -> None:
    module, x, y = small(norm=True)
    plain = copy.deepcopy(module)
    backward(module, x, y)
    with SharpnessAware(torch.optim.SGD(module.parameters(), lr=0.1), [module], rho=0.3).ascended():
        backward(module, x, y)
    backward(plain, x, y)
    buffers = dict(module.named_buffers())
    assert buffers and int(buffers["1.num_batches_tracked"]) == 1
    assert_same(buffers, dict(plain.named_buffers()))


def test_batch_norm_of_the_second_pass_normalizes_by_the_batch() -> None:
    module, x, _ = small(norm=True)
    norm = module[1]  # type: ignore[index]
    backward(module, x, torch.zeros(7, dtype=torch.long))
    with SharpnessAware(torch.optim.SGD(module.parameters(), lr=0.1), [module], rho=0.3).ascended():
        out = (norm(x @ torch.ones(4, 5, dtype=torch.float64)) - norm.bias) / norm.weight
    torch.testing.assert_close(out.mean(0), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-9)


def test_frozen_batch_norm_of_the_second_pass_normalizes_by_its_statistics() -> None:
    module, x, y = small(norm=True)
    module.eval()
    out = module(x)
    backward(module, x, y)
    sharpness = SharpnessAware(torch.optim.SGD(module.parameters(), lr=0.1), [module], rho=0.0)
    with sharpness.ascended():
        torch.testing.assert_close(module(x), out)


@pytest.mark.slow
def test_trainer_computes_each_step_twice_and_logs_the_first_loss(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    original = Supervised.training_step

    def training_step(method: Supervised, batch: Any) -> Step:
        step = original(method, batch)
        losses.append(float(step.loss.detach()))
        return step

    monkeypatch.setattr(Supervised, "training_step", training_step)
    run = train(tiny_cfg(*SAM, "TRAIN.MAX_EPOCH", 1))
    steps = losses[-2 * BATCHES :]
    assert all(second > first for first, second in zip(steps[::2], steps[1::2], strict=True))
    assert read_records(run, "train")[0]["loss"] == pytest.approx(sum(steps[::2]) / BATCHES)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW", "timm/lamb"])
def test_every_optimizer_lowers_the_loss(tiny_cfg: TinyConfig, optimizer: str) -> None:
    run = train(tiny_cfg(*SAM, "TRAIN.OPTIMIZER.TYPE", optimizer, "TRAIN.OPTIMIZER.BASE_LR", 0.02))
    losses = [record["loss"] for record in read_records(run, "train")]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_bf16_stays_near_full_precision_and_keeps_float32_weights(tiny_cfg: TinyConfig) -> None:
    full = train(tiny_cfg(*SAM))
    half = train(tiny_cfg(*SAM, "TRAIN.AMP", "bf16"))
    first, second = read_weights(full.last), read_weights(half.last)
    name = "experts.0.head.weight"
    assert second[name].dtype == torch.float32
    assert 0 < float((first[name] - second[name]).norm() / first[name].norm()) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, BATCHES + 2])
def test_run_resumes_bit_by_bit(finished_run: FinishedRun, tiny_cfg: TinyConfig, steps: int) -> None:
    settings = [*SAM, "TRAIN.EMA.DECAY", 0.5, "TRAIN.OPTIMIZER.CLIP_NORM", 0.5]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(*settings, method=NCL))
    assert_same(values(finished_run(*settings, method=NCL)), values(train(tiny_cfg(*settings, method=NCL))))


@pytest.mark.slow
def test_another_rho_trains_other_weights(finished_run: FinishedRun) -> None:
    plain, sharp = finished_run("DROPOUT", False), finished_run(*SAM)
    first, second = read_weights(plain.last), read_weights(sharp.last)
    assert any(not torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.slow
def test_loss_that_is_not_finite_changes_no_weights(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Supervised.training_step
    seen: list[nn.Module] = []

    def training_step(method: Supervised, batch: Any) -> Step:
        step = original(method, batch)
        seen.append(method.evaluated())
        return step._replace(loss=step.loss * torch.nan) if len(seen) == 2 * BATCHES + 2 else step

    before: list[Any] = []
    original_check = Trainer.train_step

    def train_step(trainer: Trainer, batch: Any, where: Any) -> Any:
        before[:] = [copy.deepcopy(dict(trainer.training.network.named_parameters()))]
        return original_check(trainer, batch, where)

    monkeypatch.setattr(Supervised, "training_step", training_step)
    monkeypatch.setattr(Trainer, "train_step", train_step)
    with pytest.raises(NotFinite, match="gradient is not finite"):
        train(tiny_cfg(*SAM))
    for name, parameter in seen[-1].named_parameters():
        assert torch.equal(parameter, before[0][name]), name


def look(trainer: Trainer) -> Any:
    return {name: value.detach() for name, value in trainer.training.network.named_parameters()}


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_global_batch(tmp_path: Path) -> None:
    results = train_in_worlds(
        lambda world: tiny_config(
            tmp_path / f"world{world}", *SAM, *ALIKE, *ONE_EPOCH, "TRAIN.BATCH_SIZE", 64 // world, method=NCL
        ),
        tmp_path,
        worlds=[1, 2],
        look=look,
    )
    (alone,), (first, second) = results[1], results[2]
    assert_same(first, second)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("overrides", "method", "message"),
    [
        (["TRAIN.AMP", "fp16"], NCL, "gradient scaler of fp16; TRAIN.AMP must be bf16 or off"),
        ([], MIXUP, "COMBINER.TYPE mixup draws random numbers"),
        ([], CONTRASTIVE, "COMBINER.TYPE contrastive draws random numbers"),
    ],
)
def test_check_training_refuses_in_one_line(
    tiny_cfg: TinyConfig, overrides: list[Any], method: list[Any], message: str
) -> None:
    cfg = tiny_cfg(RHO, 0.1, *overrides, method=method)
    place = Place(precision="fp16") if overrides else CPU
    with pytest.raises(UserError, match=r"TRAIN\.OPTIMIZER\.SAM_RHO is 0\.1: .*" + message) as error:
        check_training(cfg, place)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("loss", ["SEQL", "DiVEKLD"])
def test_losses_that_draw_random_numbers_are_refused(tiny_cfg: TinyConfig, loss: str) -> None:
    settings = ("LOSS.LOSS_TYPE", loss, "LOSS.DiVEKLD.BASELOSS", "SEQL")
    drawing, plain = (build_loss(tiny_cfg(*each), [4, 2]) for each in (settings, ("LOSS.LOSS_TYPE", "CrossEntropy")))
    with pytest.raises(UserError, match=rf"SAM_RHO is 0\.1: LOSS.LOSS_TYPE {loss} draws random numbers"):
        check_repeatable(tiny_cfg(*settings, RHO, 0.1), drawing)
    check_repeatable(tiny_cfg(*settings), drawing)
    check_repeatable(tiny_cfg(RHO, 0.1), plain)


def test_check_sharpness_refuses_compiled_steps(tiny_cfg: TinyConfig) -> None:
    with pytest.raises(UserError, match=r"TRAIN\.COMPILE must be False"):
        check_sharpness(tiny_cfg(RHO, 0.1, "TRAIN.COMPILE", True), CPU)
    check_sharpness(tiny_cfg("TRAIN.COMPILE", True), CPU)
