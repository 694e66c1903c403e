"""Distillation: a trained network is the teacher."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.methods import Distillation, method_entry, stacked_views
from longtail.models import Network, build_model
from tests.helpers.methods import check_gradients
from tests.helpers.mixing import Devices, batch, build, experts_of

DIVE = ["LOSS.LOSS_TYPE", "DiVEKLD", "LOSS.DiVEKLD.TEMPERATURE", 2.0, "DROPOUT", True]
KEY = "TRAIN.COMBINER.DIVE.TEACHER_MODEL"
Teacher = tuple[Network, str]


def network_of(experts: int = 2, classes: int = 4, seed: int = 7) -> Network:
    cfg = load_config(None, ["BACKBONE.MULTI_NETWORK_TYPE", ["staged"] * experts])
    torch.manual_seed(seed)
    network = build_model(cfg, classes)
    assert isinstance(network, Network)
    return network


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    """Return another network, and the path of a file with its weights."""
    network = network_of()
    torch.save({"model": network.state_dict(), "epoch": 3}, tmp_path / "teacher.pth")
    network.eval()
    return network, str(tmp_path / "teacher.pth")


@pytest.mark.parametrize("name", ["distillation", "dive"])
@pytest.mark.parametrize("views", [1, 2])
def test_distillation_each_expert_has_the_teacher_of_its_index(teacher: Teacher, name: str, views: int) -> None:
    network, path = teacher
    method, student, loss = build(name, *DIVE, KEY, path)
    assert isinstance(method, Distillation)
    student.eval()  # no dropout, so that the oracle sees the same
    step = method.training_step(batch(views))
    images, targets = stacked_views(batch(views))
    pairs = zip(experts_of(student), experts_of(network), strict=True)
    expected = torch.stack(
        [loss(own(images)[0], targets, teacher_logits=other(images)[0].detach()) for own, other in pairs]
    ).sum()
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(torch.stack(list(step.parts.values())).sum(), step.loss.detach())
    assert list(step.parts) == ["distillation", "ce"] and torch.equal(step.targets, targets) and step.mixed is None
    check_gradients(step.loss, expected, student)


def test_distillation_teacher_stays_in_evaluation_mode_without_gradients(teacher: Teacher) -> None:
    network, path = teacher
    method, student, _ = build("dive", *DIVE, KEY, path)
    method.train()
    student.train()
    assert not any(module.training for module in method.teacher.modules())
    before = method.teacher(batch().images[0]).logits
    assert torch.equal(before, network(batch().images[0]).logits)
    method.training_step(batch()).loss.backward()
    assert torch.equal(method.teacher(batch().images[0]).logits, before)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in method.teacher.parameters())
    layer = experts_of(student)[0].backbone.get_submodule("layer1")
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_distillation_teacher_is_not_in_the_state(teacher: Teacher) -> None:
    method, _, _ = build("dive", *DIVE, KEY, teacher[1])
    assert method.state_dict() == {} and list(method.parameters()) == []


def test_distillation_changes_neither_the_student_nor_the_random_state(teacher: Teacher) -> None:
    _, plain, _ = build("supervised", "DROPOUT", True)
    after = torch.rand(3)
    _, student, _ = build("dive", *DIVE, KEY, teacher[1])
    assert torch.equal(torch.rand(3), after)
    for own, other in zip(plain.parameters(), student.parameters(), strict=True):
        assert torch.equal(own, other)


def test_distillation_with_alpha_0_is_supervised_training(teacher: Teacher) -> None:
    method, student, _ = build("dive", *DIVE, "LOSS.DiVEKLD.ALPHA", 0.0, KEY, teacher[1])
    plain, other, _ = build("supervised", "LOSS.LOSS_TYPE", "BalancedSoftmaxCE", "DROPOUT", True)
    student.eval()
    other.eval()
    torch.testing.assert_close(method.training_step(batch()).loss, plain.training_step(batch()).loss)


def test_distillation_passes_features_to_the_base_loss(teacher: Teacher) -> None:
    method, _, _ = build("dive", *DIVE, "LOSS.DiVEKLD.BASELOSS", "InfluenceBalancedLoss", KEY, teacher[1])
    assert method.training_step(batch()).loss.isfinite()


def test_distillation_wrap_wraps_the_teacher_for_data_parallel(teacher: Teacher) -> None:
    _, path = teacher
    alone, student, _ = build("dive", *DIVE, KEY, path)
    wrapped, others, _ = build("dive", *DIVE, KEY, path, wrap=lambda network: Devices(network, 2))
    student.eval()
    others.eval()
    assert isinstance(wrapped.teacher, Devices) and wrapped.teacher.module is not others
    torch.testing.assert_close(wrapped.training_step(batch()).loss, alone.training_step(batch()).loss)


def test_distillation_takes_released_weights(tmp_path: Path) -> None:
    network = network_of(experts=1)
    names = {"experts.0.backbone.": "module.backbone.", "experts.0.head.": "module.classifier."}
    released: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        for own, theirs in names.items():
            name = name.replace(own, theirs)
        released[name] = value
    torch.save({"state_dict": released}, tmp_path / "epoch_200.pth")
    method, _, _ = build("dive", *DIVE, KEY, str(tmp_path / "epoch_200.pth"), experts=1)
    images = batch().images[0]
    assert torch.equal(method.teacher(images).logits, network.eval()(images).logits)


@pytest.mark.parametrize(("path", "what"), [("", "is empty"), ("no.pth", "is 'no.pth', which is not a file")])
def test_distillation_check_refuses_a_missing_teacher(path: str, what: str) -> None:
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", "dive", *DIVE, KEY, path])
    with pytest.raises(UserError) as error:
        method_entry(cfg).check(cfg)
    assert str(error.value) == f"{KEY} {what}; TRAIN.COMBINER.TYPE distillation needs the checkpoint of a teacher"


def with_nan() -> dict[str, Any]:
    weights = network_of().state_dict()
    weights["experts.1.head.weight"][0, 0] = torch.nan
    return weights


UNFIT: list[tuple[Callable[[], dict[str, Any]], str]] = [
    (lambda: network_of(experts=1).state_dict(), rf"^{KEY} .* lacks 6 of .* such as experts\.1"),
    (lambda: network_of(classes=5).state_dict(), rf"^{KEY} .*: weights do not fit: experts.0.head"),
    (lambda: {"other": torch.zeros(1)}, rf"^{KEY} .*teacher.pth: none of the 1 names in the weights is known"),
    (lambda: {"epoch": 3}, r"teacher.pth holds no weights; its entries are: epoch;"),
    (with_nan, r"^weights of .*teacher\.pth are not finite: experts\.1\.head\.weight; use another checkpoint$"),
]


@pytest.mark.parametrize(("content", "message"), UNFIT)
def test_distillation_refuses_a_teacher_that_does_not_fit(
    tmp_path: Path, content: Callable[[], dict[str, Any]], message: str
) -> None:
    torch.save(content(), tmp_path / "teacher.pth")
    with pytest.raises(UserError, match=message) as error:
        build("dive", *DIVE, KEY, str(tmp_path / "teacher.pth"))
    assert "\n" not in str(error.value)


def test_distillation_refuses_losses_without_a_teacher(teacher: Teacher) -> None:
    message = r"^LOSS.LOSS_TYPE FocalLoss does not use a teacher; TRAIN.COMBINER.TYPE distillation needs DiVEKLD$"
    with pytest.raises(UserError, match=message):
        build("dive", "LOSS.LOSS_TYPE", "FocalLoss", KEY, teacher[1])
