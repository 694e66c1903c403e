"""Optimizers by name: their arguments, and what a step computes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.engine.optim import build_optimizer, check_optimizer, load_state, set_rate
from longtail.errors import UserError

DECAY, TYPE = "TRAIN.OPTIMIZER.WEIGHT_DECAY", "TRAIN.OPTIMIZER.TYPE"


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def build(model: nn.Module, *overrides: Any) -> torch.optim.Optimizer:
    return build_optimizer(load_config(None, list(overrides)), {"network": model}, fused=False)


@pytest.mark.parametrize(
    ("name", "kind"), [("SGD", torch.optim.SGD), ("ADAM", torch.optim.Adam), ("ADAMW", torch.optim.AdamW)]
)
def test_build_optimizer_has_one_group_with_weight_decay(name: str, kind: type) -> None:
    model = network()
    optimizer = build(model, TYPE, name, DECAY, 3e-4)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in model.parameters()]
    assert (group["weight_decay"], group["lr"]) == (3e-4, 1e-3)


def test_sgd_uses_nesterov_momentum() -> None:
    (group,) = build(network(), "TRAIN.OPTIMIZER.MOMENTUM", 0.8).param_groups
    assert (group["nesterov"], group["momentum"], group["dampening"]) == (True, 0.8, 0)
    (group,) = build(network(), "TRAIN.OPTIMIZER.NESTEROV", False).param_groups
    assert group["nesterov"] is False


def test_sgd_without_momentum_is_plain() -> None:
    (group,) = build(network(), "TRAIN.OPTIMIZER.MOMENTUM", 0).param_groups
    assert (group["nesterov"], group["momentum"]) == (False, 0)


@pytest.mark.parametrize("name", ["ADAM", "ADAMW", "timm/adamw"])
def test_betas_reach_the_optimizer(name: str) -> None:
    (group,) = build(network(), TYPE, name, "TRAIN.OPTIMIZER.BETAS", (0.8, 0.95)).param_groups
    assert tuple(group["betas"]) == (0.8, 0.95)


def test_build_optimizer_leaves_out_frozen_parameters() -> None:
    model = network()
    model[0].requires_grad_(False)
    (group,) = build(model).param_groups
    assert len(group["params"]) == 4
    assert all(parameter.requires_grad for parameter in group["params"])


def test_build_optimizer_refuses_a_network_without_trainable_parameters() -> None:
    with pytest.raises(UserError, match=r"nothing is trainable: all parameters are frozen; BACKBONE\.FREEZE"):
        build(network().requires_grad_(False))


def test_build_optimizer_merges_the_groups_of_several_modules() -> None:
    modules = {"network": network(), "head": nn.Linear(4, 3)}
    cfg = load_config(None, ["TRAIN.OPTIMIZER.DECAY_1D", False, DECAY, 0.1])
    groups = build_optimizer(cfg, modules, fused=False).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 3), (0.0, 5)]
    for group in groups:
        assert all((parameter.dim() > 1) == (group["weight_decay"] > 0) for parameter in group["params"])


def test_two_steps_of_sgd_follow_the_formula() -> None:
    rate, momentum, decay = 0.1, 0.9, 0.01
    model = nn.Linear(2, 1, bias=False)
    w = model.weight.detach().clone()
    settings = ["TRAIN.OPTIMIZER.BASE_LR", rate, "TRAIN.OPTIMIZER.MOMENTUM", momentum, DECAY, decay]
    optimizer = build(model, *settings)
    velocity = torch.zeros_like(w)
    for gradient in (torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])):
        model.weight.grad = gradient.clone()
        optimizer.step()
        decayed = gradient + decay * w
        velocity = momentum * velocity + decayed
        w = w - rate * (decayed + momentum * velocity)
    torch.testing.assert_close(model.weight.detach(), w)


def test_set_rate_multiplies_by_the_scale_of_the_group() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr_scale": scale} for scale in (1.0, 0.25)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_rate(optimizer, 0.4)
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.1]


def step(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Take a training step; return by how much the parameters have changed."""
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer.zero_grad()
    model(torch.randn(6, 3, generator=torch.Generator().manual_seed(1))).square().mean().backward()
    optimizer.step()
    return [parameter.detach() - old for parameter, old in zip(model.parameters(), before, strict=True)]


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "lion", "nadamw", "rmsproptf", "adopt", "muon"])
def test_optimizer_of_timm_trains_with_scaled_rates(name: str) -> None:
    model = network()
    optimizer = build(model, TYPE, f"timm/{name}", "TRAIN.OPTIMIZER.DECAY_1D", False, DECAY, 0.1)
    for group in optimizer.param_groups:
        group["lr_scale"] = 0.0 if group["weight_decay"] else 1.0
    set_rate(optimizer, 0.01)
    step(model, optimizer)  # ADOPT only looks at the first gradient
    changes = step(model, optimizer)
    assert {change.dim() for change in changes if bool(change.any())} == {1}


def test_sgd_of_timm_is_sgd_of_torch() -> None:
    changes = []
    for name in ("SGD", "timm/sgd"):
        model = network()
        momentum = ["TRAIN.OPTIMIZER.MOMENTUM", 0.8]
        optimizer = build(model, TYPE, name, DECAY, 0.1, "TRAIN.OPTIMIZER.BASE_LR", 0.1, *momentum)
        changes.append([step(model, optimizer) for _ in range(3)])
    torch.testing.assert_close(changes[0], changes[1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ADAMV", r"unknown optimizer 'ADAMV'; available: ADAM, ADAMW, SGD; did you mean ADAM"),
        ("timm/adahessian", r"TRAIN\.OPTIMIZER\.TYPE timm/adahessian needs second derivatives"),
        ("timm/adamv", r"TRAIN\.OPTIMIZER\.TYPE is 'timm/adamv'; timm has: .*adamw"),
    ],
)
def test_check_optimizer_refuses_an_unknown_name(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        check_optimizer(load_config(None, [TYPE, name]))
    assert "\n" not in str(error.value)


def test_betas_of_timm_are_its_own_unless_they_are_set() -> None:
    (group,) = build(network(), TYPE, "timm/lion").param_groups
    assert tuple(group["betas"]) == (0.9, 0.99)
    with pytest.raises(
        UserError, match=r"TRAIN\.OPTIMIZER\.BETAS is \(0\.8, 0\.9\); .* timm/sgd does not have two betas"
    ):
        check_optimizer(load_config(None, [TYPE, "timm/sgd", "TRAIN.OPTIMIZER.BETAS", (0.8, 0.9)]))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_loaded_momentum_takes_the_layout_of_its_weights(kind: Any) -> None:
    options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    weights = torch.randn(4, 3, 3, 3)
    gradients = torch.randn(2, 4, 3, 3, 3)

    def trained(first: torch.memory_format, then: torch.memory_format) -> torch.Tensor:
        layers = [torch.nn.Conv2d(3, 4, 3, bias=False).to(memory_format=layout) for layout in (first, then)]
        optimizers = [kind(layer.parameters(), lr=0.1, fused=True, **options) for layer in layers]
        layers[0].weight.data.copy_(weights)
        for layer, optimizer, gradient in zip(layers, optimizers, gradients, strict=True):
            if layer is layers[1]:
                layer.load_state_dict(layers[0].state_dict())
                load_state(optimizer, optimizers[0].state_dict())
            layer.weight.grad = torch.empty_like(layer.weight).copy_(gradient)
            optimizer.step()
        return layers[1].weight.detach().contiguous()

    plain, nhwc = torch.contiguous_format, torch.channels_last
    expected = trained(plain, plain)
    for layouts in ((nhwc, plain), (plain, nhwc), (nhwc, nhwc)):
        torch.testing.assert_close(trained(*layouts), expected)


def trained_state(kind: str, *overrides: Any) -> dict[str, Any]:
    """Return the state of an optimizer after a step."""
    model = network()
    optimizer = build(model, TYPE, kind, *overrides)
    step(model, optimizer)
    return optimizer.state_dict()


def test_loaded_state_leaves_the_options_of_the_optimizer() -> None:
    saved = trained_state("SGD", DECAY, 0.1, "TRAIN.OPTIMIZER.MOMENTUM", 0.9)
    optimizer = build(network(), DECAY, 0.5, "TRAIN.OPTIMIZER.MOMENTUM", 0.0)
    options = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    load_state(optimizer, saved)
    assert [
        {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ] == options
    assert all("momentum_buffer" in state for state in optimizer.state.values())


def test_loaded_adam_may_be_fused() -> None:
    """Fused implementations keep the number of steps on the device of the weights."""
    saved = trained_state("ADAM")
    saved["param_groups"][0]["fused"] = None
    model = network()
    optimizer = build_optimizer(load_config(None, [TYPE, "ADAM"]), {"network": model}, fused=True)
    load_state(optimizer, saved)
    assert optimizer.param_groups[0]["fused"] is True
    step(model, optimizer)


@pytest.mark.parametrize("kind", ["timm/lamb", "timm/adan"])
def test_loaded_state_includes_the_steps_that_a_group_counts(kind: str) -> None:
    optimizer = build(network(), TYPE, kind, DECAY, 0.5)
    load_state(optimizer, trained_state(kind))
    assert [
        (float(group["step"]), group["weight_decay"]) for group in optimizer.param_groups if group["weight_decay"]
    ] == [(1.0, 0.5)]


def test_loaded_state_of_other_groups_is_refused() -> None:
    optimizer = build(network(), DECAY, 0.5, "TRAIN.OPTIMIZER.DECAY_1D", False)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        load_state(optimizer, trained_state("SGD"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="it can be used on a GPU")
def test_build_optimizer_refuses_an_optimizer_of_timm_without_its_device() -> None:
    with pytest.raises(UserError, match=r"TRAIN\.OPTIMIZER\.TYPE timm/bnbadam cannot be used: "):
        build(network(), TYPE, "timm/bnbadam")
