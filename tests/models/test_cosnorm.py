import pytest
import torch
from torch.nn import functional as F

from longtail.config import load_config
from longtail.models import HEADS
from longtail.models.heads import CosNormHead


def test_cosnorm_of_written_numbers() -> None:
    head = CosNormHead(2, 2, scale=30.0)
    head.load_state_dict({"weight": torch.tensor([[1.0, 0], [0, 2]])})
    torch.testing.assert_close(head(torch.tensor([[3.0, 4]])), torch.tensor([[15.0, 20]]))


def test_cosnorm_logits_are_below_the_scale_and_ignore_the_length_of_weights() -> None:
    torch.manual_seed(0)
    head, features = CosNormHead(8, 5, scale=7.0), torch.randn(6, 8)
    logits = head(features)
    assert head(1e6 * features).abs().max() <= 7.0
    head.load_state_dict({"weight": 10 * head.weight.detach()})
    torch.testing.assert_close(head(features), logits)
    cosines = F.cosine_similarity(features[:, None], head.weight[None], dim=-1)
    length = features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(logits, 7 * cosines * length / (1 + length))


def test_cosnorm_of_half_precision_features_is_computed_in_float32() -> None:
    torch.manual_seed(0)
    head, features = CosNormHead(8, 5, scale=7.0), torch.randn(6, 8).bfloat16()
    assert torch.equal(head(features), head(features.float()))


def test_cosnorm_of_zero_features_and_weights_is_finite() -> None:
    head = CosNormHead(4, 3, scale=30.0)
    head.load_state_dict({"weight": torch.cat([torch.zeros(1, 4), torch.ones(2, 4)])})
    features = torch.zeros(2, 4, requires_grad=True)
    logits = head(features)
    assert torch.equal(logits, torch.zeros(2, 3))
    for gradient in torch.autograd.grad(logits.sum(), [features, head.weight]):
        assert gradient.isfinite().all()


def test_cosnorm_is_built_from_the_config() -> None:
    torch.manual_seed(0)
    cfg = load_config(None, ["CLASSIFIER.TYPE", "cosnorm", "CLASSIFIER.COS_SCALE", 12.0])
    head = HEADS.get("cosnorm")(cfg, 400, 50)
    assert isinstance(head, CosNormHead) and head.scale == 12.0
    assert list(head.state_dict()) == ["weight"]
    assert head.weight.abs().max() <= 0.05  # 1 / sqrt(400)
    assert head.weight.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.02)
