import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import BACKBONES, build_model


def build(*overrides, experts=1, num_classes=10):
    torch.manual_seed(0)
    names = ["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"] * experts]
    return build_model(load_config(None, [*names, *overrides]), num_classes)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("experts", [1, 3])
def test_outputs_have_one_row_of_experts(experts, images):
    output = build(experts=experts, num_classes=7)(images)
    assert output.logits.shape == (experts, 2, 7)
    assert output.features.shape == (experts, 2, 64)


def test_logits_are_the_head_of_the_features(images):
    model = build(experts=2).eval()
    output = model(images)
    for expert, logits, features in zip(model.experts, output.logits, output.features, strict=True):
        torch.testing.assert_close(expert.head(features), logits)
        torch.testing.assert_close(expert.backbone(images).mean((2, 3)), features)


def test_experts_begin_differently(images):
    logits = build(experts=2).eval()(images).logits
    assert not torch.allclose(logits[0], logits[1])


def test_resnet32_has_the_documented_size():
    model = build(num_classes=100)
    assert count(model.experts[0].backbone) == 463_504
    assert count(model) == 470_004
    assert len(build(experts=3).state_dict()) == 564


def test_convolutions_begin_with_kaimings_deviation():
    weight = build().experts[0].backbone.layer3[4].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)


def test_the_feature_map_is_a_quarter_as_large(images):
    assert BACKBONES.get("res32_cifar")()(images).shape == (2, 64, 8, 8)


def test_channels_last_gives_the_same_outputs(images):
    model = build(experts=2).eval()
    with torch.no_grad():
        plain = model(images)
        model.to(memory_format=torch.channels_last)
        other = model(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other.logits, plain.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(other.features, plain.features, rtol=1e-5, atol=1e-5)


def test_a_frozen_backbone_is_not_trained_but_its_statistics_move(images):
    model = build("BACKBONE.FREEZE", True, experts=2)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {f"experts.{k}.head.{part}" for k in (0, 1) for part in ("weight", "bias")}
    before = model.experts[0].backbone.bn1.running_mean.clone()
    model(images)
    assert not torch.equal(model.experts[0].backbone.bn1.running_mean, before)


def test_dropout_acts_before_the_head_in_training_only(images):
    model = build("DROPOUT", True)
    head = model.experts[0].head
    seen = []
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features = model(images).features[0]
    dropped = seen[-1] == 0
    assert 0.3 < dropped.float().mean() < 0.7
    torch.testing.assert_close(seen[-1][~dropped], 2 * features[~dropped])
    model.eval()
    features = model(images).features[0]
    assert torch.equal(seen[-1], features)


def test_without_dropout_the_head_sees_the_features(images):
    seen = []
    model = build()
    model.experts[0].head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert torch.equal(model(images).features[0], seen[-1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifer"]], "unknown backbone 'res32_cifer'.*did you mean res32_cifar"),
        (["CLASSIFIER.TYPE", "fcnorm"], "unknown head 'fcnorm'.*did you mean FCNorm"),
    ],
)
def test_unknown_parts_are_told_with_the_nearest(overrides, message):
    with pytest.raises(UserError, match=message):
        build(*overrides)
