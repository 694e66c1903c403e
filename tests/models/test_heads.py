import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import HEADS

B, D, C = 6, 8, 5


def build(kind, *overrides):
    torch.manual_seed(0)
    return HEADS.get(kind)(load_config(None, overrides), D, C)


def naive_cosines(features, weight):
    return torch.tensor([[float(f @ w / (f.norm() * w.norm())) for w in weight.detach()] for f in features])


@pytest.fixture
def features():
    return torch.randn(B, D, generator=torch.Generator().manual_seed(1))


def test_linear_head(features):
    head = build("FC")
    torch.testing.assert_close(head(features), features @ head.weight.T + head.bias)
    assert build("FC", "CLASSIFIER.BIAS", False).bias is None


def test_norm_head_gives_plain_cosines(features):
    head = build("FCNorm")
    torch.testing.assert_close(head(features), naive_cosines(features, head.weight))
    assert [name for name, _ in head.named_parameters()] == ["weight"]


def test_columns_of_the_norm_head_begin_at_length_one():
    weight = build("FCNorm").weight
    assert weight.shape == (C, D)
    torch.testing.assert_close(weight.norm(dim=0), torch.ones(D))


def test_cosine_head_scales_and_adds_its_bias(features):
    head = build("cos", "CLASSIFIER.COS_SCALE", 32)
    with torch.no_grad():
        head.bias.copy_(torch.arange(C))
    torch.testing.assert_close(head(features), 32 * naive_cosines(features, head.weight) + torch.arange(C))


def test_weights_of_the_cosine_head_begin_within_its_bound():
    weight = build("cos").weight
    assert weight.abs().max() <= D**-0.5
    assert weight.abs().max() > 0.8 * D**-0.5


@pytest.mark.parametrize("train", [True, False])
def test_the_bias_of_the_cosine_head_is_trained_or_zero(train):
    head = build("cos", "CLASSIFIER.BIAS", train)
    assert head.bias.requires_grad is train
    assert torch.equal(head.bias, torch.zeros(C))
    assert "bias" in head.state_dict()


@pytest.mark.parametrize("kind", ["FCNorm", "cos"])
def test_cosines_do_not_depend_on_lengths(kind, features):
    head = build(kind)
    torch.testing.assert_close(head(features * 1000), head(features))
    torch.testing.assert_close(head(features * 1e-3), head(features))


@pytest.mark.parametrize("kind", ["FCNorm", "cos"])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-8, 1e-5, 1e5])
@pytest.mark.parametrize("bf16", [False, True])
def test_features_of_any_length_give_finite_values_and_gradients(kind, size, bf16, features):
    head = build(kind)
    features = features.clone()
    features[0] *= size
    features.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = head(features)
    logits.float().square().sum().backward()
    assert logits.isfinite().all()
    assert features.grad.isfinite().all() and head.weight.grad.isfinite().all()
    if size < 1e-6:
        assert torch.equal(logits[0].float(), torch.zeros(C))
        assert torch.equal(features.grad[0], torch.zeros(D))
    assert features.grad[1:].abs().max() > 0


@pytest.mark.parametrize("kind", ["FCNorm", "cos"])
def test_a_class_weight_of_zero_gives_finite_values_and_gradients(kind, features):
    head = build(kind)
    with torch.no_grad():
        head.weight[2] = 0
    logits = head(features)
    logits.square().sum().backward()
    assert torch.equal(logits[:, 2], torch.zeros(B))
    assert head.weight.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["FCNorm", "cos"])
def test_half_precision_features_are_normalised_in_float32(kind, features):
    head = build(kind)
    torch.testing.assert_close(head((features * 200).half()), head(features), rtol=2e-3, atol=2e-3)


def test_an_unknown_head_is_told_with_the_nearest():
    with pytest.raises(
        UserError, match="unknown head 'FCNrom'; there is: FC, FCNorm, LWS, cRT, cos, cosnorm; did you mean FCNorm"
    ):
        build("FCNrom")


def test_the_retrained_head_is_linear(features):
    head = build("cRT")
    torch.testing.assert_close(head(features), features @ head.weight.T + head.bias)
    assert list(head.state_dict()) == ["weight", "bias"]
    assert build("cRT", "CLASSIFIER.BIAS", False).bias is None


def test_the_scaled_head_multiplies_weight_and_bias(features):
    head = build("LWS")
    torch.testing.assert_close(head(features), features @ head.fc.weight.T + head.fc.bias)  # scales begin at 1
    with torch.no_grad():
        head.scales.copy_(torch.arange(C))
    expected = [[c * (f @ head.fc.weight[c] + head.fc.bias[c]) for c in range(C)] for f in features]
    torch.testing.assert_close(head(features), torch.tensor(expected))
    assert sorted(head.state_dict()) == ["fc.bias", "fc.weight", "scales"]  # the released names
    assert build("LWS", "CLASSIFIER.BIAS", False).fc.bias is None


def test_only_the_scales_of_the_scaled_head_are_trained(features):
    head = build("LWS")
    head(features).square().sum().backward()
    assert [name for name, parameter in head.named_parameters() if parameter.requires_grad] == ["scales"]
    assert head.scales.grad.abs().max() > 0 and head.fc.weight.grad is None


def test_a_scale_acts_on_its_own_class_only(features):
    head = build("LWS", "CLASSIFIER.BIAS", False)
    before = head(features)
    with torch.no_grad():
        head.scales[2] = 3
    changed = (head(features) / before).mean(0)
    torch.testing.assert_close(changed, torch.tensor([1.0, 1, 3, 1, 1]))
