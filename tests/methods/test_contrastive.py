"""Contrastive NCL."""

import copy
import math
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import Prediction
from longtail.losses.info_nce import info_nce
from longtail.methods import Contrastive, method_entry
from longtail.models import load_momentum_branch, momentum_branch
from tests.helpers.contrastive_training import MOCO, NCL, batch, build, train


def normalized(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def keys_by_hand(method: Contrastive, images: Tensor) -> Tensor:
    """Return the projections (E, B, P) of the momentum encoder."""
    experts: Any = method.key_encoder.experts
    return torch.stack([expert.projection(expert.backbone(images).mean((2, 3))) for expert in experts])


def test_contrastive_step_is_nested_loss_plus_info_nce() -> None:
    method, network = build()
    before = copy.deepcopy(method)
    own = batch(1)
    step = method.training_step(own)

    output = before.network(own.images[0], project=True)
    assert output.projections is not None
    keys = keys_by_hand(before, own.images[1])
    contrast = info_nce(normalized(output.projections), normalized(keys), queue=before.queue.keys, temperature=0.2)
    terms = before.loss.terms(Prediction(output.logits, own.labels))
    expected = torch.stack(list(terms.values())).sum() + 0.5 * contrast
    assert list(step.parts) == [*terms, "contrastive"]
    torch.testing.assert_close(step.parts["contrastive"], 0.5 * contrast.detach())
    torch.testing.assert_close(step.loss, expected)
    assert torch.equal(step.logits, output.logits.detach())
    assert torch.equal(step.targets, own.labels)

    step.loss.backward()
    wanted = torch.autograd.grad(expected, list(before.trainable()["network"].parameters()))
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert gradient.any()


def test_contrastive_key_encoder_gets_no_gradients() -> None:
    method, _ = build()
    method.training_step(batch(1)).loss.backward()
    assert not any(value.requires_grad or value.grad is not None for value in method.parameters())
    assert not method.queue.keys.requires_grad


def test_contrastive_enqueues_after_the_loss_and_follows_before_the_optimizer() -> None:
    method, network = build()
    start = {name: value.clone() for name, value in method.key_encoder.named_parameters()}
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1)
    first = copy.deepcopy(method.key_encoder)(batch(1).images[1])
    train(method, network, [batch(1)])
    assert torch.equal(method.queue.keys[:, :6], first)
    assert int(method.queue.pointer) == 6
    for name, value in method.key_encoder.named_parameters():
        torch.testing.assert_close(value, start[name] + 0.01)


def test_contrastive_trains_with_batches_of_any_size() -> None:
    method, network = build()
    sizes = (6, 5, 16, 40)
    losses = train(method, network, [batch(number, size) for number, size in zip(count(), sizes, strict=False)])
    assert all(loss > 0 for loss in losses)
    assert int(method.queue.pointer) == sum(sizes) % 16


@pytest.mark.slow
def test_contrastive_learns_to_find_the_other_view() -> None:
    method, network = build("LOSS.CON_RATIO", 1.0)
    pairs = [one._replace(images=torch.stack([one.images[0], one.images[0]])) for one in map(batch, range(6))]
    train(method, network, 10 * pairs)
    chance = 2 * math.log(17)  # two experts, sixteen keys and the right one
    contrast = [float(method.training_step(pair).parts["contrastive"]) for pair in pairs]
    assert sum(contrast) / len(contrast) < 0.7 * chance


def test_contrastive_keys_and_loss_are_float32_under_autocast() -> None:
    method, _ = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step = method.training_step(batch(1))
    step.loss.backward()
    assert step.loss.dtype == method.queue.keys.dtype == torch.float32
    torch.testing.assert_close(method.queue.keys.norm(dim=2), torch.ones(2, 16))


def test_contrastive_in_evaluation_mode_keeps_the_statistics_of_the_key_encoder() -> None:
    method, network = build()
    method.eval()  # as the trainer does under EVAL_MODE
    network.eval()
    before = {name: value.clone() for name, value in method.key_encoder.named_buffers()}
    train(method, network, [batch(1)])
    assert all(torch.equal(value, before[name]) for name, value in method.key_encoder.named_buffers())


def test_contrastive_released_key_encoder_starts_apart_and_its_projection_stays() -> None:
    method, network = build("NETWORK.MOCO_RELEASED", True)
    encoder = method.key_encoder
    start = {name: value.clone() for name, value in encoder.named_parameters()}
    query = dict(network.named_parameters())
    weights = [name for name in start if name.endswith("weight") and "body.1" not in name]  # batch norm starts at 1
    assert not any(torch.equal(start[name], query[name]) for name in weights)
    encoder.follow()
    for name, value in encoder.named_parameters():
        expected = start[name] if "projection" in name else 0.9 * start[name] + 0.1 * query[name]
        torch.testing.assert_close(value, expected)


def test_contrastive_state_dict_restores_everything() -> None:
    method, network = build()
    train(method, network, [batch(1), batch(2)])
    other, other_network = build("RAND_SEED", 7)
    other.load_state_dict(method.state_dict())
    other_network.load_state_dict(network.state_dict())
    rest = [batch(3), batch(4)]
    assert train(method, network, rest) == train(other, other_network, rest)
    other_state = other.state_dict()
    for name, value in method.state_dict().items():
        assert torch.equal(value, other_state[name]), name
    assert not any(name.startswith("network") for name in method.state_dict())


def test_contrastive_follows_a_wrapped_network() -> None:
    method, network = build(wrap=nn.DataParallel)  # without a GPU it passes everything on
    train(method, network, [batch(1)])
    experts: Any = method.key_encoder.experts
    before = experts[0].projection[0].weight.clone()
    train(method, network, [batch(2)])
    assert not torch.equal(experts[0].projection[0].weight, before)


# Weights of NCL's release


def released_names(method: Contrastive) -> dict[str, Tensor]:
    """Return the momentum branch of a method under the names of NCL."""
    file = {}
    for name, value in method.key_encoder.state_dict().items():
        _, number, part, rest = name.split(".", 3)
        file[f"module.{'backbone' if part == 'backbone' else 'classifier'}_MA.{number}.{rest}"] = value
    for index, keys in enumerate(method.queue.keys):
        file[f"module.MOCO.{index}.queue"] = keys.t().clone()
        file[f"module.MOCO.{index}.queue_ptr"] = method.queue.pointer[None].clone()
    return file


def test_contrastive_load_released_sets_the_momentum_branch() -> None:
    method, network = build()
    train(method, network, [batch(1), batch(2)])
    file = released_names(method) | {"module.backbone.0.body.0.weight": torch.zeros(1)}
    other, _ = build("NETWORK.MOCO_RELEASED", True)
    report = load_momentum_branch(other, file)
    assert (report.missing, report.unexpected) == ([], [])
    state = other.state_dict()
    for name, value in method.state_dict().items():
        assert torch.equal(state[name], value), name


@pytest.mark.slow
def test_contrastive_build_takes_the_momentum_branch_of_pretrained_weights(tmp_path: Path) -> None:
    method, network = build()
    train(method, network, [batch(1)])
    path = tmp_path / "released.pth"
    torch.save({"state_dict": released_names(method)}, path)
    other, _ = build("NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path))
    assert torch.equal(other.queue.keys, method.queue.keys)
    method.queue.keys[0, 0, 0] = torch.nan
    torch.save({"state_dict": released_names(method)}, path)
    with pytest.raises(UserError, match=f"^weights of {path} are not finite: queue.keys; use another checkpoint$"):
        build("NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path))
    torch.save({"state_dict": network.state_dict()}, path)
    build("RESUME_MODE", "state_dict", "RESUME_MODEL", str(path))  # has no momentum branch


def test_contrastive_load_released_refuses_what_does_not_fit() -> None:
    method, _ = build()
    file = released_names(method)
    other, _ = build("NETWORK.MOCO_K", 8)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(UserError, match=r"^weights do not fit: queue.keys is \[2, 16, 5\], .* \[2, 8, 5\]$"):
        load_momentum_branch(other, file)
    with pytest.raises(UserError, match=r"^the weights have no momentum branch"):
        load_momentum_branch(other, {"backbone.0.conv1.weight": torch.zeros(1)})
    file["module.MOCO.1.queue_ptr"] = torch.tensor([3])
    with pytest.raises(UserError, match=r"^weights do not fit: the MoCo queues"):
        load_momentum_branch(other, file)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    assert momentum_branch({}) == {}


# Checks


def test_contrastive_check_refuses_other_numbers_of_views() -> None:
    cfg = load_config(None, [*NCL, *MOCO, "DATASET.VIEWS", ["none"]])
    with pytest.raises(UserError, match=r"^DATASET.VIEWS has 1 views \(none\); .* contrastive needs two"):
        method_entry(cfg).check(cfg)
    cfg = load_config(None, [*NCL, *MOCO])
    method_entry(cfg).check(cfg)


def test_contrastive_check_refuses_adapters_in_the_query_encoder_only() -> None:
    cfg = load_config(None, [*NCL, *MOCO, "NETWORK.MOCO_RELEASED", True, "BACKBONE.ADAPTER", "adaptformer"])
    with pytest.raises(UserError, match=r"^NETWORK.MOCO_RELEASED builds key encoders without adapters"):
        method_entry(cfg).check(cfg)


def test_contrastive_build_refuses_losses_of_one_head() -> None:
    message = (
        r"^LOSS.LOSS_TYPE CrossEntropy is a loss of one expert; TRAIN.COMBINER.TYPE contrastive needs .* NIL_NBOD$"
    )
    with pytest.raises(UserError, match=message):
        build("LOSS.LOSS_TYPE", "CrossEntropy")
