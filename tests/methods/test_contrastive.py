import copy
import math
from itertools import count

import pytest
import torch
from contrastive_parts import MOCO, NCL, batch, build, train
from torch import nn

from longtail.config import load_config
from longtail.engine.preflight import check_names
from longtail.errors import UserError
from longtail.losses.info_nce import info_nce
from longtail.models import load_momentum_branch, momentum_branch


def l2_normalize(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def test_a_step_is_the_nested_loss_of_the_first_view_and_info_nce_between_both():
    method, network = build()
    before = copy.deepcopy(method)
    one = batch(1)
    step = method.training_step(one)

    output = before.network(one.images[0], project=True)
    keys = [expert.projection(expert.backbone(one.images[1]).mean((2, 3))) for expert in before.key_encoder.experts]
    contrast = info_nce(l2_normalize(output.projections), l2_normalize(torch.stack(keys)), before.queue.keys, 0.2)
    terms = before.loss.terms(output.logits, one.labels)
    assert list(step.parts) == [*terms, "contrastive"]
    torch.testing.assert_close(step.parts["contrastive"], 0.5 * contrast.detach())
    torch.testing.assert_close(step.loss, sum(terms.values()) + 0.5 * contrast)
    assert torch.equal(step.logits, output.logits.detach())
    assert torch.equal(step.targets, one.labels)

    step.loss.backward()
    wanted = torch.autograd.grad(sum(terms.values()) + 0.5 * contrast, list(before.network.parameters()))
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert gradient.any()


def test_the_key_side_gets_no_gradients():
    method, _ = build()
    method.training_step(batch(1)).loss.backward()
    assert not any(value.requires_grad or value.grad is not None for value in method.parameters())
    assert not method.queue.keys.requires_grad


def test_keys_enter_the_queue_after_the_loss_and_the_encoder_follows_before_the_step():
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


def test_steps_of_any_batch_size_train():
    method, network = build()
    losses = train(
        method, network, [batch(number, size) for number, size in zip(count(), (6, 5, 16, 40), strict=False)]
    )
    assert all(loss > 0 for loss in losses)
    assert int(method.queue.pointer) == (6 + 5 + 16 + 40) % 16


def test_it_learns_to_find_the_other_view():
    method, network = build("LOSS.CON_RATIO", 1.0)
    pairs = [one._replace(images=torch.stack([one.images[0], one.images[0]])) for one in map(batch, range(6))]
    train(method, network, 10 * pairs)
    chance = 2 * math.log(17)  # two experts, sixteen keys and the right one
    contrast = sum(method.training_step(one).parts["contrastive"] for one in pairs) / len(pairs)
    assert contrast < 0.7 * chance


def test_under_autocast_keys_and_loss_stay_in_float32():
    method, _ = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step = method.training_step(batch(1))
    step.loss.backward()
    assert step.loss.dtype == method.queue.keys.dtype == torch.float32
    torch.testing.assert_close(method.queue.keys.norm(dim=2), torch.ones(2, 16))


def test_frozen_statistics_hold_for_the_key_encoder_too():
    method, network = build()
    method.eval()  # as the trainer does under EVAL_MODE
    network.eval()
    before = {name: value.clone() for name, value in method.key_encoder.named_buffers()}
    train(method, network, [batch(1)])
    assert all(torch.equal(value, before[name]) for name, value in method.key_encoder.named_buffers())


def test_as_released_the_encoder_starts_by_itself_and_its_projection_head_stays():
    method, network = build("NETWORK.MOCO_RELEASED", True)
    encoder = method.key_encoder
    start = {name: value.clone() for name, value in encoder.named_parameters()}
    query = dict(network.named_parameters())
    weights = [name for name in start if name.endswith("weight") and "body.1" not in name]  # batch norm starts at one
    assert not any(torch.equal(start[name], query[name]) for name in weights)
    encoder.follow()
    for name, value in encoder.named_parameters():
        expected = start[name] if "projection" in name else 0.9 * start[name] + 0.1 * query[name]
        torch.testing.assert_close(value, expected)


def test_the_state_restores_everything():
    method, network = build()
    train(method, network, [batch(1), batch(2)])
    other, other_network = build("RAND_SEED", 7)
    other.load_state_dict(method.state_dict())
    other_network.load_state_dict(network.state_dict())
    rest = [batch(3), batch(4)]
    assert train(method, network, rest) == train(other, other_network, rest)
    for name, value in method.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert not any(name.startswith("network") for name in method.state_dict())


def test_a_wrapped_network_is_followed_too():
    method, network = build(wrap=nn.DataParallel)  # without a GPU it hands everything on
    train(method, network, [batch(1)])
    before = method.key_encoder.experts[0].projection[0].weight.clone()
    train(method, network, [batch(2)])
    assert not torch.equal(method.key_encoder.experts[0].projection[0].weight, before)


def released_names(method):
    """The momentum branch of a method under the names of NCL."""
    file = {}
    for name, value in method.key_encoder.state_dict().items():
        _, number, part, rest = name.split(".", 3)
        file[f"module.{'backbone' if part == 'backbone' else 'classifier'}_MA.{number}.{rest}"] = value
    for number, keys in enumerate(method.queue.keys):
        file[f"module.MOCO.{number}.queue"] = keys.t().clone()
        file[f"module.MOCO.{number}.queue_ptr"] = method.queue.pointer[None].clone()
    return file


def test_a_released_momentum_branch_is_taken_over():
    method, network = build()
    train(method, network, [batch(1), batch(2)])
    file = released_names(method) | {"module.backbone.0.body.0.weight": torch.zeros(1)}
    other, _ = build("NETWORK.MOCO_RELEASED", True)
    report = other.load_released(file)
    assert (report.missing, report.unexpected) == ([], [])
    for name, value in method.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_weights_that_a_run_starts_from_bring_their_momentum_branch(tmp_path):
    method, network = build()
    train(method, network, [batch(1)])
    path = tmp_path / "released.pth"
    torch.save({"state_dict": released_names(method)}, path)
    other, _ = build("NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path))
    assert torch.equal(other.queue.keys, method.queue.keys)
    torch.save({"state_dict": network.state_dict()}, path)
    build("RESUME_MODE", "state_dict", "RESUME_MODEL", str(path))  # has none: nothing to take over


def test_a_branch_that_does_not_fit_is_refused_and_nothing_is_loaded():
    method, _ = build()
    file = released_names(method)
    other, _ = build("NETWORK.MOCO_K", 8)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(UserError, match=r"^weights do not fit: queue.keys is \[2, 16, 5\], .* \[2, 8, 5\]$"):
        other.load_released(file)
    with pytest.raises(UserError, match=r"^the weights have no momentum branch"):
        other.load_released({"backbone.0.conv1.weight": torch.zeros(1)})
    file["module.MOCO.1.queue_ptr"] = torch.tensor([3])
    with pytest.raises(UserError, match=r"^weights do not fit: the MoCo queues"):
        load_momentum_branch(other, file)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    assert momentum_branch({}) == {}


MISFITS = [
    (["NETWORK.MOCO", False], r"^NETWORK.MOCO is False; TRAIN.COMBINER.TYPE contrastive needs NETWORK.MOCO True$"),
    (["DATASET.VIEWS", ["none"]], r"^DATASET.VIEWS gives 1 views \(none\); .* takes two"),
    (["TRAIN.COMBINER.TYPE", "nested"], r"^NETWORK.MOCO is True; TRAIN.COMBINER.TYPE nested needs NETWORK.MOCO False"),
]


@pytest.mark.parametrize(("overrides", "message"), MISFITS)
def test_what_does_not_go_together_is_refused_before_any_data_are_read(overrides, message):
    cfg = load_config(None, [*NCL, *MOCO, "DATASET.DATASET", "digits_lt", "BACKBONE.TYPE", "small", *overrides])
    with pytest.raises(UserError, match=message):
        check_names(cfg)


@pytest.mark.parametrize(("overrides", "message"), MISFITS[:2])
def test_the_builder_refuses_it_too(overrides, message):
    with pytest.raises(UserError, match=message):
        build(*overrides)


def test_a_loss_of_one_expert_is_refused():
    with pytest.raises(UserError, match=r"^LOSS.LOSS_TYPE CrossEntropy looks at one expert; .* not contrastive$"):
        build("LOSS.LOSS_TYPE", "CrossEntropy")
