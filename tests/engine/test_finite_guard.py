"""A step that is not finite never changes the weights, and its cause is named."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.checkpoint_file import read_checkpoint
from longtail.config import load_config
from longtail.engine import trainer as trainer_module
from longtail.engine.finite_guard import FiniteGuard, NotFinite, Where, stop_on
from longtail.engine.optim import GradientClipping, build_optimizer
from longtail.engine.trainer import Trainer
from longtail.methods import Step
from longtail.runs.directory import parent_of_runs
from tests.helpers.training import CONTRASTIVE, TinyConfig, patch_step, train

NOTHING = torch.empty(0)
STATISTICS = ("running_mean", "running_var")
KINDS = [  # name, fp16
    *[(name, half) for name in ("SGD", "ADAM", "ADAMW") for half in (False, True)],
    *[(f"timm/{name}", False) for name in ("sgd", "adamw", "rmsprop", "lamb", "lion", "nadamw", "muon", "adan")],
]


def norm_of(optimizer: torch.optim.Optimizer) -> Tensor | None:
    return GradientClipping(optimizer, torch.amp.GradScaler("cpu", enabled=False)).clip()


def run_steps(*, immediate: bool, poison: int, steps: int = 4) -> tuple[nn.Linear, Tensor, FiniteGuard]:
    """Take steps of which number `poison` has an infinite gradient; return the weights before that one as well."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True)
    guard = FiniteGuard(optimizer, immediate=immediate)
    good = NOTHING
    for number in range(1, steps + 1):
        optimizer.zero_grad()
        loss = model(torch.ones(5, 3)).square().mean()
        if number == poison:
            good = model.weight.detach().clone()
            loss = loss * torch.inf
        loss.backward()
        step = Step(loss, NOTHING, NOTHING, {"ce": loss.detach()})
        guard.check(step, norm_of(optimizer), where=Where(2, number, torch.arange(10, 15)))
        optimizer.step()
    return model, good, guard


def test_check_on_a_cpu_raises_at_once() -> None:
    with pytest.raises(NotFinite, match=r"epoch 2, batch 3 \(ce inf\), samples 10 11 12 13 14; the weights were not"):
        run_steps(immediate=True, poison=3)


def test_check_on_a_gpu_stops_the_fused_optimizer_until_the_report() -> None:
    model, good, guard = run_steps(immediate=False, poison=2)
    assert torch.equal(model.weight, good)
    with pytest.raises(NotFinite, match="epoch 2, batch 2"):
        guard.report()


def test_report_of_finite_steps() -> None:
    model, _, guard = run_steps(immediate=False, poison=0)
    guard.report()
    guard.report()
    assert torch.isfinite(model.weight).all()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("bad", [0.0, 1.0])
def test_stop_on_is_read_by_fused_optimizers(kind: type[torch.optim.SGD], bad: float) -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = kind([weight], lr=0.1, fused=True)
    weight.grad = torch.ones(2)
    stop_on(optimizer, torch.tensor(bad))
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(2)) == bool(bad)


def step_as_on_a_gpu(name: str, *, half: bool, factor: float) -> tuple[FiniteGuard, bool]:
    """Take a step with a loss times a factor; return the guard, and whether the weights have changed."""
    model = nn.Linear(3, 2)
    cfg = load_config(None, ["TRAIN.OPTIMIZER.TYPE", name, "TRAIN.OPTIMIZER.BASE_LR", 0.1])
    optimizer = build_optimizer(cfg, {"network": model}, fused=not half)
    scaler = torch.amp.GradScaler("cpu", enabled=half)
    guard, before = FiniteGuard(optimizer, immediate=False), model.weight.detach().clone()
    loss = model(torch.ones(5, 3)).square().mean() * factor
    scaler.scale(loss).backward()
    norm = GradientClipping(optimizer, scaler).clip()
    try:
        guard.check(Step(loss, NOTHING, NOTHING, {"ce": loss.detach()}), norm, where=Where(1, 1, NOTHING))
        scaler.step(optimizer)
        guard.report()
    except NotFinite:
        assert factor == torch.inf
    else:
        assert factor == 1
    return guard, not torch.equal(model.weight, before)


@pytest.mark.parametrize(("name", "half"), KINDS)
def test_guard_of_a_gpu_works_with_every_kind_of_optimizer(name: str, half: bool) -> None:
    guard, changed = step_as_on_a_gpu(name, half=half, factor=1)
    assert changed
    assert guard.immediate == (half or name.startswith("timm/"))  # only fused optimizers read the result themselves
    assert not step_as_on_a_gpu(name, half=half, factor=torch.inf)[1]


@pytest.mark.slow
@pytest.mark.parametrize("keys", [["TRAIN.AMP", "fp16"], ["TRAIN.OPTIMIZER.TYPE", "timm/sgd"]], ids=["fp16", "timm"])
def test_training_with_the_guard_of_a_gpu(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch, keys: list[Any]
) -> None:
    def as_on_a_gpu(optimizer: torch.optim.Optimizer, *, immediate: bool) -> FiniteGuard:
        return FiniteGuard(optimizer, immediate=False)

    monkeypatch.setattr(trainer_module, "FiniteGuard", as_on_a_gpu)
    assert train(tiny_cfg("TRAIN.MAX_EPOCH", 1, *keys)).finished()


@pytest.mark.slow
def test_bad_step_that_was_not_read_yet_is_not_saved_as_done(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where the weights are finite after it."""

    def poison(trainer: Trainer) -> None:
        trainer.guard.immediate = False
        trainer.guard.note(Where(1, 1, torch.arange(3)), torch.tensor(False), parts={})
        with pytest.raises(NotFinite, match="epoch 1, batch 1"):
            trainer.save()
        raise KeyboardInterrupt

    cfg = tiny_cfg()
    patch_step(monkeypatch, poison)
    with pytest.raises(KeyboardInterrupt):
        train(cfg)
    assert not list(parent_of_runs(cfg).glob("*/models/*"))


def test_check_finds_a_gradient_that_is_not_finite_under_a_finite_loss() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1, fused=True)
    step, where = Step(torch.tensor(1.0), NOTHING, NOTHING, {}), Where(1, 1, NOTHING)
    weight.grad = torch.tensor([0.0, torch.nan])
    guard = FiniteGuard(optimizer, immediate=True)
    guard.check(step, None, where=where)  # of an fp16 scaler, which skips such steps itself
    with pytest.raises(NotFinite):
        guard.check(step, norm_of(optimizer), where=where)


@pytest.mark.slow
def test_training_stops_before_a_bad_step_and_keeps_the_last_state(tiny_cfg: TinyConfig) -> None:
    def poison(trainer: Trainer) -> None:
        if (trainer.epoch, trainer.batch) == (2, 1):
            with torch.no_grad():
                trainer.training.network.get_parameter("experts.0.head.bias").fill_(torch.nan)

    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:
        patch_step(patch, poison)
        with pytest.raises(NotFinite, match="epoch 2, batch 2"):
            train(cfg)
    (last,) = parent_of_runs(cfg).glob("*/models/last.pth")
    content = read_checkpoint(last)
    assert (content["epoch"], content["batch"]) == (2, 0)
    assert all(torch.isfinite(value).all() for value in content["model"].values())


@pytest.mark.slow
@pytest.mark.parametrize("buffer", STATISTICS)
def test_save_refuses_batch_norm_statistics_that_are_not_finite(tiny_cfg: TinyConfig, buffer: str) -> None:
    """In training mode they change neither loss nor gradients."""

    def poison(trainer: Trainer) -> None:
        if (trainer.epoch, trainer.batch) == (2, 2):
            trainer.training.network.get_buffer(f"experts.0.backbone.body.1.{buffer}").fill_(torch.inf)

    cfg = tiny_cfg("VALID_STEP", -1, "SAVE_STEP", 1)
    name = rf"experts\.0\.backbone\.body\.1\.{buffer} is not finite; the state is not saved, older checkpoints are"
    with pytest.MonkeyPatch.context() as patch:
        patch_step(patch, poison)
        with pytest.raises(NotFinite, match=name) as error:
            train(cfg)
    assert "\n" not in str(error.value)
    (models,) = parent_of_runs(cfg).glob("*/models")
    assert sorted(path.name for path in models.iterdir()) == ["epoch_1.pth", "last.pth"]
    content = read_checkpoint(models / "last.pth")
    assert (content["epoch"], content["batch"]) == (2, 0)
    run = train(cfg)  # the same command resumes before the bad step
    assert run.finished() and run.path == models.parent


@pytest.mark.slow
def test_evaluation_refuses_batch_norm_statistics_that_are_not_finite(tiny_cfg: TinyConfig) -> None:
    def poison(trainer: Trainer) -> None:
        trainer.training.network.get_buffer("experts.0.backbone.body.1.running_mean").fill_(torch.nan)

    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:
        patch_step(patch, poison)
        with pytest.raises(NotFinite, match=r"797 samples have logits that are not finite; .*running_mean is not"):
            train(cfg)
    assert not list(parent_of_runs(cfg).glob("*/models/*"))


@pytest.mark.slow
def test_save_refuses_a_state_of_the_method_that_is_not_finite(tiny_cfg: TinyConfig) -> None:
    """The statistics of a momentum encoder are not part of the loss of the step that changes them."""

    def poison(trainer: Trainer) -> None:
        if (trainer.epoch, trainer.batch) == (1, 3):
            trainer.training.method.get_buffer("key_encoder.experts.1.backbone.body.1.running_var").fill_(torch.inf)

    cfg = tiny_cfg("VALID_STEP", -1, method=CONTRASTIVE)
    with pytest.MonkeyPatch.context() as patch:
        patch_step(patch, poison)
        with pytest.raises(
            NotFinite, match=r"key_encoder\.experts\.1\.backbone\.body\.1\.running_var of the training method"
        ):
            train(cfg)
    assert not list(parent_of_runs(cfg).glob("*/models/*"))
