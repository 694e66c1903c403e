"""A small network in stages, batches, and the draws of a method, for the methods that mix."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.data import Batch
from longtail.losses import Loss, build_loss
from longtail.methods import Method, Step, build_method
from longtail.methods.mixing import Mixing
from longtail.models import BACKBONES, Backbone, BackboneOptions, Expert, Network, build_model
from longtail.models.wrapping import ParallelModule
from tests.helpers.methods import KnownData, check_gradients, check_step

COUNTS = [90, 25, 6, 2]
LABELS = [0, 3, 1, 2, 0, 1, 3]
CPU = torch.device("cpu")
Wrap = Callable[[nn.Module], nn.Module]
Run = Callable[[Expert, Tensor], Tensor]  # expert and images to logits


class Pair(nn.Module):
    """Returns two tensors."""

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows twice."""
        return rows, rows


class Staged(Backbone):
    """Two stages, and modules after which nothing can be mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.out_features = 6
        self.layer1 = nn.Conv2d(3, 4, 3, padding=1)
        self.layer2 = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.Tanh())
        self.shared = nn.Tanh()
        self.never = nn.Tanh()
        self.pair = Pair()
        self.folded = nn.Flatten(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return feature maps (B, 6, 3, 3) of images (B, 3, 8, 8)."""
        x = self.shared(self.layer1(images))
        self.folded(x)
        maps: Tensor = self.pair(self.shared(self.layer2(x)))[0]
        return maps


@BACKBONES.register("staged")
def staged(options: BackboneOptions) -> Staged:
    """Build it."""
    return Staged()


def build(
    method: str, *overrides: Any, experts: int = 2, wrap: Wrap | None = None, backbone: str = "staged"
) -> tuple[Any, Network, Loss]:
    """Return method, network and loss of four classes."""
    names = [backbone] * experts
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", method, "BACKBONE.MULTI_NETWORK_TYPE", names, *overrides])
    torch.manual_seed(0)
    network = build_model(cfg, len(COUNTS))
    assert isinstance(network, Network)
    loss = build_loss(cfg, COUNTS)
    built: Method = build_method(cfg, network, loss, KnownData(COUNTS))
    if wrap:
        built.wrap(wrap)
    return built, network, loss


def batch(views: int = 1, *, size: int = 7, seed: int = 1) -> Batch:
    """Return a batch of random images (V, B, 3, 8, 8)."""
    images = torch.randn(views, size, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Batch(images, torch.tensor(LABELS[:size]), torch.arange(size))


def logits_of(expert: Expert, images: Tensor) -> Tensor:
    """Return the logits of an expert."""
    logits: Tensor = expert(images)[0]
    return logits


def mixed_by_hand(
    network: Network,
    loss: Loss,
    *,
    images: Tensor,
    first: Tensor,
    second: Tensor,
    lam: float,
    run: Run = logits_of,
) -> tuple[Tensor, Tensor]:
    """Return the loss of mixtures, both labels weighted, summed over the experts, and the logits (E, N, C)."""
    logits = torch.stack([run(expert, images) for expert in experts_of(network)])
    total = torch.stack([lam * loss(rows, first) + (1 - lam) * loss(rows, second) for rows in logits]).sum()
    return total, logits


def experts_of(network: Network) -> list[Expert]:
    """Return the experts, typed."""
    return [expert for expert in network.experts if isinstance(expert, Expert)]


def check_mixed(
    step: Step, network: Network, by_hand: tuple[Tensor, Tensor], *, first: Tensor, second: Tensor, lam: float
) -> None:
    """Compare a step, and its gradients, with what was computed by hand."""
    expected, logits = by_hand
    check_step(step, expected, logits=logits, targets=first)
    assert step.mixed is not None
    assert torch.equal(step.mixed.targets, second)
    assert float(step.mixed.lam) == pytest.approx(lam, rel=1e-6)
    check_gradients(step.loss, expected, network)


def fix_lam(method: Mixing, monkeypatch: pytest.MonkeyPatch, lam: float) -> None:
    """Let a method draw this lam; float32, as it does."""
    monkeypatch.setattr(method, "draw_lam", lambda device: torch.tensor(lam))


class Devices(ParallelModule):
    """DataParallel as torch does it, on CPUs: chunks, copies that share their hooks, one thread for each."""

    def __init__(self, network: nn.Module, number: int) -> None:
        super().__init__(network)
        self.device_ids = list(range(number))
        self.src_device_obj, self.output_device = CPU, "cpu"  # type: ignore[assignment]

    def scatter(self, inputs: Any, kwargs: Any, device_ids: Any) -> Any:
        """Return positional and named arguments of each device."""
        chunks = [value.chunk(len(device_ids)) for value in (*inputs, *kwargs.values())]
        rows = list(zip(*chunks, strict=True))
        named = [dict(zip(kwargs, row[len(inputs) :], strict=True)) for row in rows]
        return [row[: len(inputs)] for row in rows], named

    def replicate(self, module: Any, device_ids: Any) -> Any:
        """Return a copy for each device."""
        copies = []
        for _ in device_ids:
            copy_of = {part: part._replicate_for_data_parallel() for part in module.modules()}
            for part, twin in copy_of.items():
                twin._parameters = part._parameters
                twin._modules = {name: copy_of[child] for name, child in part._modules.items() if child is not None}
            copies.append(copy_of[module])
        return copies

    def parallel_apply(self, replicas: Any, inputs: Any, kwargs: Any) -> Any:
        """Call all copies at once."""
        outputs, together = [None] * len(replicas), threading.Barrier(len(replicas))

        def work(number: int) -> None:
            together.wait()
            outputs[number] = replicas[number](*inputs[number], **kwargs[number])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(replicas))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outputs
