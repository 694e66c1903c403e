"""Manifold mixup: hidden states are mixed."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from longtail.data import Batch
from longtail.errors import UserError
from longtail.methods import ManifoldMixup, stacked_views
from longtail.models import Expert, Network
from tests.helpers.mixing import (
    Devices,
    Run,
    Wrap,
    batch,
    build,
    check_mixed,
    experts_of,
    fix_lam,
    mixed_by_hand,
)
from tests.helpers.processes import run_processes

KEY = "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION"
LOCATIONS = ["layer1", "layer2.0", "layer2", "pool", "fc"]
LAM = 0.25


def run_mixed(location: str, *, partners: Tensor, lam: float) -> Run:
    """Return an expert's forward, written out, that mixes row by row behind one module."""

    def mixed(name: str, rows: Tensor) -> Tensor:
        if name != location:
            return rows
        return torch.stack([lam * rows[i] + (1 - lam) * rows[j] for i, j in enumerate(partners.tolist())])

    def run(expert: Expert, images: Tensor) -> Tensor:
        backbone: Any = expert.backbone
        x = mixed("layer1", backbone.layer1(images)).tanh()
        x = mixed("layer2.0", backbone.layer2[0](x)).tanh()
        x = mixed("layer2", x).tanh()
        return mixed("fc", expert.head(mixed("pool", x.mean((2, 3)))))

    return run


def hooks(network: nn.Module) -> list[Any]:
    """Return all forward hooks inside a network."""
    return [
        hook
        for module in network.modules()
        for hook in (*module._forward_hooks, *module._forward_pre_hooks, *module._forward_pre_hooks_with_kwargs)
    ]


def devices(number: int) -> Wrap:
    return lambda network: Devices(network, number)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("location", LOCATIONS)
def test_manifold_mixup_matches_loop(location: str, views: int, monkeypatch: pytest.MonkeyPatch) -> None:
    method, network, loss = build("manifold_mix_up", KEY, location)
    assert isinstance(method, ManifoldMixup)
    fix_lam(method, monkeypatch, LAM)
    images, first = stacked_views(batch(views))
    torch.manual_seed(2)
    step = method.training_step(batch(views))
    torch.manual_seed(2)
    partners = torch.randperm(len(first))
    second, run = first[partners], run_mixed(location, partners=partners, lam=LAM)
    by_hand = mixed_by_hand(network, loss, images=images, first=first, second=second, lam=LAM, run=run)
    check_mixed(step, network, by_hand, first=first, second=second, lam=LAM)
    assert not hooks(network)


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("location", ["layer1", "pool"])
def test_manifold_mixup_under_data_parallel_mixes_inside_each_chunk(
    location: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, network, loss = build("manifold_mixup", KEY, location, wrap=devices(number))
    fix_lam(method, monkeypatch, LAM)
    images, first = stacked_views(batch())
    torch.manual_seed(4)
    step = method.training_step(batch())
    torch.manual_seed(4)
    chunks = torch.arange(len(first)).chunk(number)
    assert [len(chunk) for chunk in chunks] == {2: [4, 3], 3: [3, 3, 1]}[number]
    partners = torch.cat([chunk[torch.randperm(len(chunk))] for chunk in chunks])
    assert not torch.equal(partners, torch.arange(len(first)))
    second, run = first[partners], run_mixed(location, partners=partners, lam=LAM)
    by_hand = mixed_by_hand(network, loss, images=images, first=first, second=second, lam=LAM, run=run)
    check_mixed(step, network, by_hand, first=first, second=second, lam=LAM)
    assert not hooks(network)


def shard(rank: int) -> Batch:
    whole = batch(size=6)
    own = slice(3 * rank, 3 * rank + 3)
    return Batch(whole.images[:, own], whole.labels[own], whole.indices[own])


def work(rank: int, world: int) -> tuple[Tensor, dict[str, Any], int]:
    method, network, _ = build("manifold_mixup", KEY, "layer2", wrap=DistributedDataParallel)
    torch.manual_seed(rank)
    step = method.training_step(shard(rank))
    step.loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return step.loss.detach(), gradients, len(hooks(network))


@pytest.mark.slow
def test_manifold_mixup_over_processes_mixes_inside_each_shard(tmp_path_factory: pytest.TempPathFactory) -> None:
    results = run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=[2])[2]
    _, network, loss = build("manifold_mixup", KEY, "layer2")
    method = build("mixup")[0]
    losses = []
    for rank in range(2):
        images, first = shard(rank).images[0], shard(rank).labels
        torch.manual_seed(rank)
        lam = float(method.draw_lam(torch.zeros(3)))
        partners = torch.randperm(3)
        run = run_mixed("layer2", partners=partners, lam=lam)
        second = first[partners]
        losses.append(mixed_by_hand(network, loss, images=images, first=first, second=second, lam=lam, run=run)[0])
    torch.stack(losses).mean().backward()
    for own, (found, gradients, left) in zip(losses, results, strict=True):
        torch.testing.assert_close(found, own.detach())
        assert left == 0
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad)


def test_manifold_mixup_with_nested_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    method, network, loss = build("manifold_mixup", KEY, "pool", "LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2)
    fix_lam(method, monkeypatch, LAM)
    images, first = stacked_views(batch())
    torch.manual_seed(2)
    step = method.training_step(batch())
    torch.manual_seed(2)
    partners = torch.randperm(len(first))
    run = run_mixed("pool", partners=partners, lam=LAM)
    logits = torch.stack([run(expert, images) for expert in experts_of(network)])
    torch.testing.assert_close(step.loss, LAM * loss(logits, first) + (1 - LAM) * loss(logits, first[partners]))


def test_manifold_mixup_with_lam_1_is_supervised_training_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, network, _ = build("supervised")
    method, other, _ = build("manifold_mixup", KEY, "layer1")
    fix_lam(method, monkeypatch, 1.0)
    steps = [plain.training_step(batch()), method.training_step(batch())]
    for step in steps:
        step.loss.backward()
    assert torch.equal(steps[0].loss, steps[1].loss) and torch.equal(steps[0].logits, steps[1].logits)
    for own, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert (own.grad is None) == (theirs.grad is None)
        assert own.grad is None or theirs.grad is None or torch.equal(own.grad, theirs.grad)


def seeded_loss(name: str, *overrides: Any) -> Tensor:
    """Return the loss of a step with seed 1."""
    method, _, _ = build(name, *overrides)
    torch.manual_seed(1)
    loss: Tensor = method.training_step(batch()).loss
    return loss


def test_manifold_mixup_before_and_behind_a_linear_head_is_equal() -> None:
    torch.testing.assert_close(seeded_loss("manifold_mixup", KEY, "pool"), seeded_loss("manifold_mixup", KEY, "fc"))


def test_manifold_mixup_behind_a_linear_first_layer_is_mixup() -> None:
    torch.testing.assert_close(seeded_loss("mixup"), seeded_loss("manifold_mixup", KEY, "layer1"))


def test_manifold_mixup_keeps_half_precision() -> None:
    method, network, _ = build("manifold_mixup", KEY, "layer2.0")
    seen: list[torch.dtype] = []
    for expert in experts_of(network):
        behind: nn.Module = expert.backbone.get_submodule("layer2.1")
        behind.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        method.training_step(batch())
    assert seen == [torch.bfloat16] * 2


def test_manifold_mixup_leaves_the_network_as_it_was() -> None:
    method, network, _ = build("manifold_mixup", KEY, "layer1")
    before = network(batch().images[0])
    method.training_step(batch())
    assert torch.equal(network(batch().images[0]).logits, before.logits)
    assert method.state_dict() == {} and list(method.parameters()) == []
    with pytest.raises(TypeError, match="lam"):
        network(batch().images[0], lam=torch.ones(7))


AVAILABLE = "pool, fc, layer1, layer2, shared, never, pair, folded"
MISSING = [
    (
        "layer3",
        f"is 'layer3', which the backbone does not have; available: {AVAILABLE}, and the modules inside these by their "
        "dotted names; did you mean layer2?",
    ),
    ("layer2.7", "is 'layer2.7', which the backbone does not have"),
    ("", "is '', which the backbone does not have"),
]


@pytest.mark.parametrize(("location", "message"), MISSING)
def test_manifold_mixup_refuses_unknown_modules(location: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(f'{KEY} {message}')}"):
        build("manifold_mixup", KEY, location)


@pytest.mark.parametrize("location", ["pool", "fc", "layer3", "layer2.4"])
def test_manifold_mixup_takes_the_released_locations(location: str) -> None:
    build("manifold_mixup", KEY, location, backbone="res32_cifar")


UNMIXABLE = [
    ("shared", "the network calls more than once"),
    ("never", "the network never calls"),
    ("pair", "does not return one tensor with a row per image"),
    ("folded", "does not return one tensor with a row per image"),
]


@pytest.mark.parametrize(("location", "message"), UNMIXABLE)
@pytest.mark.parametrize("wrap", [None, devices(2)], ids=["one device", "two devices"])
def test_manifold_mixup_refuses_unmixable_modules_in_the_first_step(
    location: str, message: str, wrap: Wrap | None
) -> None:
    method, network, _ = build("manifold_mixup", KEY, location, wrap=wrap)
    for _ in range(2):
        with pytest.raises(UserError) as error:
            method.training_step(batch())
        assert str(error.value) == f"{KEY} is '{location}', which {message}; name another module"
        assert not hooks(network)
    assert network(batch().images[0]).logits.shape == (2, 7, 4)


def fail(features: Tensor) -> Tensor:
    raise ZeroDivisionError


def test_manifold_mixup_removes_its_hooks_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    method, network, _ = build("manifold_mixup", KEY, "layer2")
    assert isinstance(network, Network)
    monkeypatch.setattr(experts_of(network)[1].head, "forward", fail)
    with pytest.raises(ZeroDivisionError):
        method.training_step(batch())
    assert not hooks(network)
