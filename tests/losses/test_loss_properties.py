"""What does not change the losses of one expert, and extreme inputs."""

import pytest
import torch
from loss_parts import FEATURES, LOGITS, NAMES, SEQL, TARGETS, TEACHER, C, build, value

from longtail.losses import LogitAdjustment

SIGMOID = {"FocalLoss", "ClassBalanceFocal"}


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_samples_changes_nothing(name):
    order = torch.tensor([5, 1, 4, 2, 0, 3])
    batch = {"logits": LOGITS, "targets": TARGETS, "features": FEATURES, "teacher": TEACHER}
    moved = value(name, *SEQL, **{key: rows[order] for key, rows in batch.items()})
    torch.testing.assert_close(moved, value(name, *SEQL))


@pytest.mark.parametrize("name", sorted({*NAMES} - SIGMOID - {"CDT"}))
def test_a_constant_on_the_logits_changes_a_softmax_nowhere(name):
    torch.testing.assert_close(
        value(name, *SEQL, logits=LOGITS + torch.arange(6.0)[:, None]), value(name, *SEQL), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", sorted({*NAMES} - {"LDAMLoss", "SEQL"}))
def test_classes_of_equal_size_make_it_plain(name):
    plain = {"FocalLoss": ["FocalLoss"], "ClassBalanceFocal": ["FocalLoss", "LOSS.FocalLoss.GAMMA", 0.5],
             "CrossEntropyLabelSmooth": ["CrossEntropyLabelSmooth"],
             "CrossEntropyLabelAwareSmooth": ["CrossEntropyLabelSmooth"]}.get(name, ["CrossEntropy"])  # fmt: skip
    equal = value(name, counts=[9] * C)
    assert equal.isfinite()
    if name not in ("InfluenceBalancedLoss", "DiVEKLD"):
        torch.testing.assert_close(equal, value(*plain, counts=[9] * C))


def test_equal_classes_have_equal_margins_and_no_tail():
    torch.testing.assert_close(build("LDAMLoss", counts=[9] * C).margin, torch.full((C,), 0.5))
    torch.testing.assert_close(value("SEQL", "LOSS.SEQL.GAMMA", 1.0, counts=[9] * C), value("CrossEntropy"))


def test_equalization_without_coins_is_cross_entropy():
    torch.testing.assert_close(value("SEQL", *SEQL, "LOSS.SEQL.GAMMA", 0.0), value("CrossEntropy"))


def test_equalization_draws_a_coin_for_each_sample_and_class_from_the_seed():
    overrides = ["LOSS.SEQL.GAMMA", 0.75, "LOSS.SEQL.LAMBDA", 0.1]
    loss, logits = build("SEQL", *overrides), torch.zeros(4000, C).requires_grad_()
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(loss(logits, torch.zeros(4000, dtype=torch.int64)))
    assert values[0] == values[1] != values[2]
    values[0].backward()
    left_out = logits.grad == 0
    assert left_out[:, :3].sum() == 0
    assert left_out.double().mean(0)[3:].tolist() == pytest.approx([0.75, 0.75], abs=0.03)
    assert (left_out[:, 3] & left_out[:, 4]).double().mean() == pytest.approx(0.75**2, abs=0.03)


@pytest.mark.parametrize(("tau", "other"), [(0.0, "CrossEntropy"), (1.0, "BalancedSoftmaxCE")])
def test_logit_adjustment_lies_between_plain_and_balanced_softmax(tau, other):
    torch.testing.assert_close(value("LogitAdjustment", "LOSS.LogitAdjustment.TAU", tau), value(other))
    assert isinstance(build("LogitAdjustment"), LogitAdjustment)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_extreme_logits_give_finite_values_and_gradients(name, kind, autocast):
    random = torch.Generator().manual_seed(0)
    signs, others = (torch.randint(-1, 2, (16, C), generator=random) for _ in range(2))
    logits, features = (signs * 1e4).to(kind).requires_grad_(), torch.ones(16, 7, dtype=kind).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = build(name)(logits, torch.arange(16) % C, features, (others * 1e4).to(kind))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite() and loss > 0
    assert logits.grad.dtype == kind and logits.grad.isfinite().all()
    assert features.grad is None or features.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_logits_are_computed_in_float32(name):
    half = [values.bfloat16() for values in (LOGITS, FEATURES, TEACHER)]
    results = []
    for kind in (torch.bfloat16, torch.float32):
        logits, features, teacher = (values.to(kind) for values in half)
        results.append(value(name, *SEQL, logits=logits, features=features, teacher=teacher))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_follow_the_module_and_are_not_saved(name):
    loss = build(name)
    assert loss.state_dict() == {}
    assert all(buffer.device.type == "meta" for buffer in loss.to("meta").buffers())
