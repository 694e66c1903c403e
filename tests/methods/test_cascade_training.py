"""Training steps of the small cascade: losses fall, and every parameter is trained, in one process and in two."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.config import load_config
from longtail.data import Batch
from longtail.distributed import Place
from longtail.distributed.processes import World
from longtail.engine.optim import build_optimizer, set_rate
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import build_model, unwrap, wrap
from tests.helpers.processes import run_processes

WORLDS = (1, 2)
BATCH = 8  # of the global batch
METHODS = ("supervised", "mixup", "cutmix")
LOSSES = ("CascadeSoftmax", "CascadeSigmoid")
VIT = ("BACKBONE.TYPE", "timm/test_vit", "INPUT_SIZE", (32, 32), "BACKBONE.DROP_PATH", 0.1)


class Nothing:
    """Training data for methods that use none."""

    class_counts: Sequence[int] = (4, 3, 1)
    labels = torch.zeros(8, dtype=torch.int64)

    def outputs(self, network: Any, view: str = "clean") -> Any:
        raise NotImplementedError


def config(*overrides: Any) -> Any:
    keys = ["NETWORK.TYPE", "cascade", "BACKBONE.TYPE", "res32_cifar", "CLASSIFIER.TYPE", "cosnorm"]
    training = ["LOSS.LOSS_TYPE", "CascadeSoftmax", "TRAIN.MAX_EPOCH", 4]
    return load_config(None, [*keys, *training, *overrides])


def method_of(cfg: Any) -> Any:
    torch.manual_seed(0)
    network = build_model(cfg, 3)
    method: Any = build_method(cfg, network, build_loss(cfg, [4, 3, 1]), Nothing())
    method.set_epoch(2)
    return method


def batch(own: slice = slice(None)) -> Batch:
    random = torch.Generator().manual_seed(1)
    images = torch.randn(1, BATCH, 3, 32, 32, generator=random)
    return Batch(images[:, own], torch.arange(BATCH)[own] % 3, torch.arange(BATCH)[own])


def gradients(method: Any, own: slice = slice(None)) -> dict[str, Any]:
    step = method.training_step(batch(own))
    assert step.logits.shape == (3, len(range(BATCH)[own]), 3)
    assert list(step.parts) == ["head0", "head1", "head2"]
    step.loss.backward()
    return {name: parameter.grad for name, parameter in unwrap(method.network).named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("network", [(), VIT], ids=["res32_cifar", "test_vit"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", METHODS)
def test_a_step_reaches_every_parameter(kind: str, loss: str, network: tuple[Any, ...]) -> None:
    method = method_of(config(*network, "TRAIN.COMBINER.TYPE", kind, "LOSS.LOSS_TYPE", loss))
    for name, gradient in gradients(method).items():
        assert gradient is not None and gradient.isfinite().all(), name
        assert gradient.any() or "cls_token" in name or name.endswith(".bias"), name


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_falls(loss: str) -> None:
    cfg = config("LOSS.LOSS_TYPE", loss, "CLASSIFIER.COS_SCALE", 10.0)
    method = method_of(cfg)
    optimizer = build_optimizer(cfg, method.trainable(), fused=False)
    set_rate(optimizer, 0.01)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        step = method.training_step(batch())
        step.loss.backward()
        optimizer.step()
        values.append(float(step.loss.detach()))
    assert values[-1] < 0.7 * values[0]


def work(rank: int, size: int) -> dict[str, Any]:
    method = method_of(config())
    method.wrap(lambda module: wrap(module, Place(World(rank, rank, size))))
    torch.manual_seed(rank)  # dropout
    return gradients(method, slice(rank * BATCH // size, (rank + 1) * BATCH // size))


@pytest.mark.slow
def test_processes_agree_on_the_gradient_of_every_parameter(tmp_path: Path) -> None:
    for found in run_processes(work, tmp_path, worlds=WORLDS).values():
        for name, gradient in found[0].items():
            assert gradient is not None and gradient.isfinite().all(), name
            assert all(torch.equal(gradient, other[name]) for other in found[1:]), name
