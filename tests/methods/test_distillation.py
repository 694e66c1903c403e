import pytest
import torch
from mixing_parts import Devices, batch, build

from longtail.config import load_config
from longtail.engine.preflight import check_names
from longtail.errors import UserError
from longtail.methods import Distillation, stacked_views
from longtail.models import build_model

DIVE = ["LOSS.LOSS_TYPE", "DiVEKLD", "LOSS.DiVEKLD.TEMPERATURE", 2.0, "DROPOUT", True]
KEY = "TRAIN.COMBINER.DIVE.TEACHER_MODEL"


def network_like(experts=2, classes=4, seed=7):
    cfg = load_config(None, ["BACKBONE.MULTI_NETWORK_TYPE", ["staged"] * experts])
    torch.manual_seed(seed)
    return build_model(cfg, classes)


@pytest.fixture
def teacher(tmp_path):
    """Another network, and its weights in a file."""
    network = network_like()
    torch.save({"model": network.state_dict(), "epoch": 3}, tmp_path / "teacher.pth")
    return network.eval(), str(tmp_path / "teacher.pth")


@pytest.mark.parametrize("name", ["distillation", "dive"])
@pytest.mark.parametrize("views", [1, 2])
def test_each_expert_learns_from_the_teachers_of_its_number(teacher, name, views):
    network, path = teacher
    method, student, loss = build(name, *DIVE, KEY, path)
    assert isinstance(method, Distillation)
    student.eval()  # no dropout, so that the oracle sees the same
    step = method.training_step(batch(views))
    images, targets = stacked_views(batch(views))
    expected = 0
    for learner, master in zip(student.experts, network.experts, strict=True):
        expected = expected + loss(learner(images)[0], targets, teacher_logits=master(images)[0].detach())
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(sum(step.parts.values()), step.loss.detach())
    assert list(step.parts) == ["distillation", "ce"] and torch.equal(step.targets, targets) and step.mixed is None
    parameters = [parameter for parameter in student.parameters() if parameter.requires_grad]
    for one, other in zip(*(torch.autograd.grad(value, parameters) for value in (step.loss, expected)), strict=True):
        torch.testing.assert_close(one, other)


def test_the_teacher_keeps_still(teacher):
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
    assert all(parameter.grad is not None for parameter in student.experts[0].backbone.layer1.parameters())


def test_the_teachers_weights_are_not_in_the_state(teacher):
    method, _, _ = build("dive", *DIVE, KEY, teacher[1])
    assert method.state_dict() == {} and list(method.parameters()) == []


def test_the_student_starts_from_its_own_weights_and_random_numbers(teacher):
    _, plain, _ = build("plain", "DROPOUT", True)
    after = torch.rand(3)
    _, student, _ = build("dive", *DIVE, KEY, teacher[1])
    assert torch.equal(torch.rand(3), after)
    for one, other in zip(plain.parameters(), student.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_distillation_it_is_plain_training(teacher):
    method, student, _ = build("dive", *DIVE, "LOSS.DiVEKLD.ALPHA", 0.0, KEY, teacher[1])
    plain, other, _ = build("plain", "LOSS.LOSS_TYPE", "BalancedSoftmaxCE", "DROPOUT", True)
    student.eval()
    other.eval()
    torch.testing.assert_close(method.training_step(batch()).loss, plain.training_step(batch()).loss)


def test_the_features_reach_a_base_loss_that_needs_them(teacher):
    method, _, _ = build("dive", *DIVE, "LOSS.DiVEKLD.BASELOSS", "InfluenceBalancedLoss", KEY, teacher[1])
    assert method.training_step(batch()).loss.isfinite()


def test_over_several_devices_the_teacher_is_shared_out_too(teacher):
    _, path = teacher
    alone, student, _ = build("dive", *DIVE, KEY, path)
    shared, others, _ = build("dive", *DIVE, KEY, path, wrap=lambda network: Devices(network, 2))
    student.eval()
    others.eval()
    assert isinstance(shared.teacher, Devices) and shared.teacher.module is not others
    torch.testing.assert_close(shared.training_step(batch()).loss, alone.training_step(batch()).loss)


def test_a_released_teacher_will_do(tmp_path):
    network = network_like(experts=1)
    names = {"experts.0.backbone.": "module.backbone.", "experts.0.head.": "module.classifier."}
    released = {}
    for name, value in network.state_dict().items():
        for own, theirs in names.items():
            name = name.replace(own, theirs)
        released[name] = value
    torch.save({"state_dict": released}, tmp_path / "epoch_200.pth")
    method, _, _ = build("dive", *DIVE, KEY, str(tmp_path / "epoch_200.pth"), experts=1)
    images = batch().images[0]
    assert torch.equal(method.teacher(images).logits, network.eval()(images).logits)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", f"{KEY} is empty; TRAIN.COMBINER.TYPE dive needs the checkpoint of a teacher"),
        ("no.pth", f"{KEY} is 'no.pth', which is no file; TRAIN.COMBINER.TYPE dive needs the checkpoint of a teacher"),
    ],
)
def test_a_teacher_that_is_not_there_is_refused_before_data_are_read(path, message):
    overrides = ["TRAIN.COMBINER.TYPE", "dive", *DIVE, KEY, path]
    for refusing in (
        lambda: build("dive", *DIVE, KEY, path),
        lambda: check_names(load_config(None, [*overrides, "DATASET.DATASET", "digits_lt"])),
    ):
        with pytest.raises(UserError) as error:
            refusing()
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: network_like(experts=1).state_dict(), rf"^{KEY} .* lacks 6 of .* such as experts\.1"),
        (lambda: network_like(classes=5).state_dict(), rf"^{KEY} .*: weights do not fit: experts.0.head"),
        (lambda: {"other": torch.zeros(1)}, rf"^{KEY} .*teacher.pth: none of the 1 names in the weights is known"),
        (lambda: {"epoch": 3}, r"teacher.pth holds no weights$"),
    ],
)  # fmt: skip
def test_a_teacher_that_does_not_fit_is_refused(tmp_path, content, message):
    torch.save(content(), tmp_path / "teacher.pth")
    with pytest.raises(UserError, match=message) as error:
        build("dive", *DIVE, KEY, str(tmp_path / "teacher.pth"))
    assert "\n" not in str(error.value)


def test_losses_without_a_teacher_and_methods_without_one_are_refused(teacher):
    with pytest.raises(UserError, match=r"^LOSS.LOSS_TYPE FocalLoss takes no teacher; .* dive it must be DiVEKLD$"):
        build("dive", "LOSS.LOSS_TYPE", "FocalLoss", KEY, teacher[1])
    with pytest.raises(UserError, match=r"^LOSS.LOSS_TYPE DiVEKLD needs a teacher; .* must be distillation \(dive\)"):
        build("plain", *DIVE)
