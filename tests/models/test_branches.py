from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.models import BACKBONES, BackboneOptions
from longtail.models.branches import Branch, ConvBody, TransformerBody, is_transformer


def maps(side: int, width: int = 8) -> Tensor:
    return torch.randn(2, width, side, side, generator=torch.Generator().manual_seed(0))


def vit() -> Any:
    return BACKBONES.get("timm/test_vit")(BackboneOptions((32, 32), 0.3, mean_tokens=True))


@pytest.mark.parametrize("last_kernel", [1, 3])
@pytest.mark.parametrize("side", [1, 2, 4, 5, 6, 7, 8, 13, 28])
def test_conv_body_takes_maps_of_any_size(side: int, last_kernel: int) -> None:
    body = ConvBody(8, 64, last_kernel=last_kernel)
    seen = []
    body.convolutions.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[-1]))
    features = body(maps(side))
    assert features.shape == (2, 128) == (2, body.out_features)
    shrunk = side - 4 - (last_kernel - 1)
    assert seen == [shrunk if shrunk > 0 else side]


def test_conv_body_equals_its_layers_written_out() -> None:
    body: Any = ConvBody(8, 64)
    x = maps(9)
    expected = x
    for index in range(0, 12, 3):
        convolution, norm = body.convolutions[index], body.convolutions[index + 1]
        expected = norm(convolution(expected)).relu()
    squeezed = expected.mean((2, 3))
    gates = (squeezed @ body.gates[0].weight.T).relu() @ body.gates[2].weight.T
    expected = (expected * gates.sigmoid()[..., None, None]).mean((2, 3))
    torch.testing.assert_close(body(x), expected)


def test_conv_body_has_32_groups_or_the_largest_common_divisor() -> None:
    for width, groups in ((128, 32), (64, 32), (48, 16), (7, 1)):
        convolution = ConvBody(8, width).convolutions[3]
        assert isinstance(convolution, nn.Conv2d) and convolution.groups == groups


def test_conv_body_starts_from_kaimings_distribution_or_pytorchs() -> None:
    torch.manual_seed(0)
    weights = [ConvBody(64, 128, default_init=default).convolutions[6].weight for default in (False, True)]
    assert isinstance(weights[0], Tensor) and isinstance(weights[1], Tensor)
    assert weights[0].std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert weights[1].abs().max().item() <= (9 * 128) ** -0.5


def test_branch_drops_features_before_its_head_in_training_only() -> None:
    branch = Branch(nn.Identity(), nn.Identity(), dropout=0.5)
    ones = torch.ones(10, 100)
    logits, features = branch(ones)
    assert torch.equal(features, ones)
    assert set(logits.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(branch.eval()(ones)[0], ones)


def test_transformer_body_has_blocks_of_the_kind_of_the_tap() -> None:
    trunk = vit()
    body: Any = TransformerBody(trunk, "blocks.3", depth=2)
    assert is_transformer(trunk) and not is_transformer(ConvBody(8, 8))
    assert [type(block) for block in body.blocks] == [type(trunk.blocks[3])] * 2
    rates = [block.drop_path1.drop_prob for block in (*body.blocks, trunk.blocks[3])]
    assert rates == pytest.approx([0.3 * 3 / 5] * 3)
    first, second = (block.mlp.fc1.weight for block in body.blocks)
    assert not torch.equal(first, second) and not torch.equal(first, trunk.blocks[3].mlp.fc1.weight)
    assert first.std().item() == pytest.approx((3 * 64) ** -0.5, rel=0.05)  # U(-1 / sqrt(D), 1 / sqrt(D))


def test_transformer_body_averages_the_patch_tokens() -> None:
    trunk = vit().eval()
    body = TransformerBody(trunk, "blocks.3", depth=1).eval()
    tokens = torch.randn(2, 1 + 4, 64)
    torch.testing.assert_close(body(tokens), body.blocks[0](tokens)[:, 1:].mean(1))
