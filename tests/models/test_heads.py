"""Heads."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import HEADS, build_model, needs_first_stage
from longtail.models.heads import NormHead, l2_normalize, logits_of
from longtail.models.post_hoc import AdjustedHeads
from tests.helpers.golden import Case, record, relative_error, tensor
from tests.helpers.losses import grad
from tests.helpers.training import CASCADE

B, D, C = 6, 8, 5
CASES = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "normed_linear"]
cosine_heads = pytest.mark.parametrize("kind", ["FCNorm", "cos"])


def build(kind: str, *overrides: Any) -> Any:
    torch.manual_seed(0)
    return HEADS.get(kind)(load_config(None, overrides), D, C)


def cosines_loop(features: Tensor, weight: Tensor) -> Tensor:
    return torch.tensor([[float(f @ w / (f.norm() * w.norm())) for w in weight.detach()] for f in features])


@pytest.fixture
def features() -> Tensor:
    return torch.randn(B, D, generator=torch.Generator().manual_seed(1))


def test_l2_normalize_gives_unit_rows_and_zeros() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 1e-8], [0.0, 0.0]]).requires_grad_()
    result = l2_normalize(rows)
    torch.testing.assert_close(result, torch.tensor([[0.6, 0.8], [0, 0], [0, 0]]))
    result.sum().backward()
    assert grad(rows).isfinite().all() and not grad(rows)[1:].any()


def test_l2_normalize_returns_float32() -> None:
    assert l2_normalize(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("kind", ["FC", "FCNorm", "cos", "cosnorm", "cRT", "LWS"])
def test_logits_of_every_head_are_float32_under_autocast(kind: str, features: Tensor) -> None:
    head, halved = build(kind), features.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        logits = logits_of(head, halved)
        squares = features @ features.T
    assert squares.dtype == torch.bfloat16  # other layers are not affected
    assert torch.equal(logits, head(halved.float()))


def test_logits_of_a_head_in_float64(features: Tensor) -> None:
    assert logits_of(build("FC").double(), features.double()).dtype == torch.float64


NETWORKS: dict[str, list[Any]] = {
    "experts": ["BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny"], "CLASSIFIER.TYPE", "cos"],
    "cascade": CASCADE,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_compute_logits_in_float32_under_autocast(name: str) -> None:
    network: Any = build_model(load_config(None, NETWORKS[name]), C).eval()
    images = torch.randn(B, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = network(images)
    logits = [head(own.float()) for head, own in zip(network.heads, output.features, strict=True)]
    assert {own.dtype for own in output.features} == {torch.bfloat16}
    assert torch.equal(output.logits, torch.stack(logits))
    with torch.autocast("cpu", torch.bfloat16):
        adjusted = AdjustedHeads(list(network.heads), torch.zeros(C))(output.features)
    assert torch.equal(adjusted, output.logits)


def test_linear_head(features: Tensor) -> None:
    head = build("FC")
    torch.testing.assert_close(head(features), features @ head.weight.T + head.bias)
    assert build("FC", "CLASSIFIER.BIAS", False).bias is None


def test_norm_head_matches_loop(features: Tensor) -> None:
    head = build("FCNorm")
    torch.testing.assert_close(head(features), cosines_loop(features, head.weight))
    assert [name for name, _ in head.named_parameters()] == ["weight"]


def test_norm_head_initial_columns_have_length_1() -> None:
    weight = build("FCNorm").weight
    assert weight.shape == (C, D)
    torch.testing.assert_close(weight.norm(dim=0), torch.ones(D))


def test_normed_linear_is_a_norm_head_whose_initial_class_weights_have_length_1() -> None:
    head = build("NormedLinear")
    assert isinstance(head, NormHead) and head.weight.shape == (C, D)
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(C))


def test_norm_head_golden_cases_are_complete() -> None:
    assert len(CASES) == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_norm_head_matches_golden(case: Case) -> None:
    names = ("features", "weight", "logits", "grad_of_logits", "grad_features", "grad_weight")
    features, weight, logits, above, *gradients = (tensor("sbcl_stage2", f"{case['id']}.{name}") for name in names)
    head = NormHead(weight.shape[0], weight.shape[1])
    head.weight.data.copy_(weight.T)
    features = features.clone().requires_grad_()
    found = head(features)
    found.backward(above)
    values = (found.detach(), grad(features), grad(head.weight).T)
    for value, golden in zip(values, (logits, *gradients), strict=True):
        assert relative_error(value, golden) < 1e-5


def test_cosine_head_matches_loop(features: Tensor) -> None:
    head = build("cos", "CLASSIFIER.COS_SCALE", 32)
    with torch.no_grad():
        head.bias.copy_(torch.arange(C))
    torch.testing.assert_close(head(features), 32 * cosines_loop(features, head.weight) + torch.arange(C))


def test_cosine_head_initial_weights_are_within_the_bound() -> None:
    weight = build("cos").weight
    assert weight.abs().max() <= D**-0.5
    assert weight.abs().max() > 0.8 * D**-0.5


@pytest.mark.parametrize("train", [True, False])
def test_cosine_head_bias_is_trained_or_zero(train: bool) -> None:
    head = build("cos", "CLASSIFIER.BIAS", train)
    assert head.bias.requires_grad is train
    assert torch.equal(head.bias, torch.zeros(C))
    assert "bias" in head.state_dict()


@cosine_heads
def test_cosine_heads_do_not_depend_on_lengths(kind: str, features: Tensor) -> None:
    head = build(kind)
    torch.testing.assert_close(head(features * 1000), head(features))
    torch.testing.assert_close(head(features * 1e-3), head(features))


@cosine_heads
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-8, 1e-5, 1e5])
@pytest.mark.parametrize("bf16", [False, True])
def test_cosine_heads_are_finite_for_features_of_any_length(
    kind: str, size: float, bf16: bool, features: Tensor
) -> None:
    head = build(kind)
    features = features.clone()
    features[0] *= size
    features.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = head(features)
    logits.float().square().sum().backward()
    assert logits.isfinite().all()
    assert grad(features).isfinite().all() and head.weight.grad.isfinite().all()
    if size < 1e-6:
        assert torch.equal(logits[0].float(), torch.zeros(C))
        assert torch.equal(grad(features)[0], torch.zeros(D))
    assert grad(features)[1:].abs().max() > 0


@cosine_heads
def test_cosine_heads_are_finite_for_a_class_weight_of_zero(kind: str, features: Tensor) -> None:
    head = build(kind)
    with torch.no_grad():
        head.weight[2] = 0
    logits = head(features)
    logits.square().sum().backward()
    assert torch.equal(logits[:, 2], torch.zeros(B))
    assert head.weight.grad.isfinite().all()


@cosine_heads
def test_cosine_heads_normalize_half_precision_features_in_float32(kind: str, features: Tensor) -> None:
    head = build(kind)
    torch.testing.assert_close(head((features * 200).half()), head(features), rtol=2e-3, atol=2e-3)


def test_unknown_head_lists_the_nearest() -> None:
    message = r"^unknown head 'FCNrom'; available: FC, FCNorm, .*cos.*; did you mean FCNorm\?$"
    with pytest.raises(UserError, match=message):
        build("FCNrom")


# Heads of a second stage


def test_retrained_head_is_linear(features: Tensor) -> None:
    head = build("cRT")
    torch.testing.assert_close(head(features), features @ head.weight.T + head.bias)
    assert list(head.state_dict()) == ["weight", "bias"]
    assert build("cRT", "CLASSIFIER.BIAS", False).bias is None


def test_scaled_head_scales_weight_and_bias(features: Tensor) -> None:
    head = build("LWS")
    torch.testing.assert_close(head(features), features @ head.fc.weight.T + head.fc.bias)  # scales start at 1
    with torch.no_grad():
        head.scales.copy_(torch.arange(C))
    expected = [[c * (f @ head.fc.weight[c] + head.fc.bias[c]) for c in range(C)] for f in features]
    torch.testing.assert_close(head(features), torch.tensor(expected))
    assert sorted(head.state_dict()) == ["fc.bias", "fc.weight", "scales"]  # the released names
    assert build("LWS", "CLASSIFIER.BIAS", False).fc.bias is None


def test_scaled_head_trains_its_scales_only(features: Tensor) -> None:
    head = build("LWS")
    head(features).square().sum().backward()
    assert [name for name, parameter in head.named_parameters() if parameter.requires_grad] == ["scales"]
    assert head.scales.grad.abs().max() > 0 and head.fc.weight.grad is None


def test_scaled_head_each_scale_acts_on_its_own_class(features: Tensor) -> None:
    head = build("LWS", "CLASSIFIER.BIAS", False)
    before = head(features)
    with torch.no_grad():
        head.scales[2] = 3
    torch.testing.assert_close((head(features) / before).mean(0), torch.tensor([1.0, 1, 3, 1, 1]))


@pytest.mark.parametrize(
    ("kind", "expected"), [("FC", False), ("FCNorm", False), ("cos", False), ("cRT", True), ("LWS", True)]
)
def test_needs_first_stage(kind: str, expected: bool) -> None:
    torch.manual_seed(0)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert needs_first_stage(load_config(None, ["CLASSIFIER.TYPE", kind])) is expected
    assert torch.equal(torch.rand(1), after)  # no random numbers are drawn
