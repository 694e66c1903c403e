"""AdaptFormer's adapters in vision transformers of timm."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.config import load_config
from longtail.engine.optim import parameter_groups
from longtail.errors import UserError
from longtail.models import BACKBONES, BackboneOptions, build_model, load_backbone_weights
from longtail.models.adapters import Adapter, adapter_rank, add_adapters

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
VIT: list[Any] = ["BACKBONE.TYPE", "timm/test_vit", "INPUT_SIZE", (32, 32)]
ADAPTED: list[Any] = [*VIT, "BACKBONE.FREEZE", True, "BACKBONE.ADAPTER", "adaptformer"]


def vit() -> Any:
    torch.manual_seed(0)
    return BACKBONES.get("timm/test_vit")(BackboneOptions((32, 32))).eval()


def build(*overrides: Any) -> Any:
    torch.manual_seed(0)
    return build_model(load_config(None, [*ADAPTED, *overrides]), 100)


@pytest.mark.parametrize(
    ("classes", "rank"), [(10, 1), (24, 1), (47, 1), (48, 2), (100, 4), (365, 8), (1000, 32), (8142, 256)]
)
def test_adapter_rank_is_that_of_lift(classes: int, rank: int) -> None:
    assert adapter_rank(classes, 12) == rank


def test_adapters_change_nothing_before_training() -> None:
    plain, adapted = vit(), vit()
    add_adapters(adapted, 4)
    assert torch.equal(plain(IMAGES), adapted(IMAGES))
    names = list(plain.taps)[:1]
    assert torch.equal(plain.forward_taps(IMAGES, names)[1][names[0]], adapted.forward_taps(IMAGES, names)[1][names[0]])


def test_adapter_matches_loop() -> None:
    adapter = Adapter(6, 2).requires_grad_(False)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randn(2, 3, 6)
    for b in range(2):
        for t in range(3):
            x = tokens[b, t]
            normed = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() * adapter.norm.weight + adapter.norm.bias
            hidden = [max(float(row @ normed + adapter.down.bias[i]), 0.0) for i, row in enumerate(adapter.down.weight)]
            expected = adapter.scale * (adapter.up.weight @ torch.tensor(hidden) + adapter.up.bias)
            torch.testing.assert_close(adapter(tokens)[b, t], expected, rtol=1e-4, atol=1e-5)


def test_adapters_are_parallel_to_the_mlp_of_their_block() -> None:
    backbone = vit()
    add_adapters(backbone, 4)
    block = backbone.blocks[0]
    for parameter in (*block.adapter.parameters(), *block.norm2.parameters()):
        torch.nn.init.normal_(parameter)
    tokens = torch.randn(2, 5, block.norm2.normalized_shape[0])
    middle: Tensor = tokens + block.attn(block.norm1(tokens))
    mlp = block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(middle))))
    torch.testing.assert_close(block(tokens), middle + mlp + block.adapter(middle))


def test_only_adapters_and_head_are_trained() -> None:
    network = build()
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert all(".adapter." in name or name.endswith("head.weight") for name in trained if "head.bias" not in name)
    blocks = len(network.experts[0].backbone.blocks)
    assert sum(".adapter." in name for name in trained) == 7 * blocks
    width = network.experts[0].backbone.embed_dim
    rank = adapter_rank(100, blocks)
    sizes = sum(p.numel() for name, p in network.named_parameters() if ".adapter." in name)
    assert sizes == blocks * (2 * width * rank + width + rank + 2 * width + 1)
    assert build("BACKBONE.ADAPTER_RANK", 3).experts[0].backbone.blocks[0].adapter.down.out_features == 3


def test_a_step_changes_adapters_and_nothing_frozen() -> None:
    network = build().train()
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    for _ in range(2):  # the first step changes only the layer initialized to zero
        optimizer.zero_grad()
        F.cross_entropy(network(IMAGES).logits[0], torch.tensor([3, 5])).backward()
        optimizer.step()
    for name, value in network.state_dict().items():
        changed = not torch.equal(value, before[name])
        assert changed == (".adapter." in name or ".head." in name), name


def test_weights_of_the_plain_transformer_fit_the_adapted_one() -> None:
    plain, adapted = vit(), vit()
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    add_adapters(adapted, 4)
    report = load_backbone_weights(adapted, plain.state_dict())
    assert report.missing and all(".adapter." in name for name in report.missing)
    assert torch.equal(plain(IMAGES), adapted(IMAGES))


@pytest.mark.slow
def test_adapters_are_in_the_layer_of_their_block() -> None:
    network = build("BACKBONE.FREEZE", False)
    scales = {
        name: group["lr_scale"]
        for group in parameter_groups(network, weight_decay=0.1, layer_decay=0.5)
        for name in group["names"]
    }
    for number in range(len(network.experts[0].backbone.blocks)):
        prefix = f"experts.0.backbone.blocks.{number}"
        assert scales[f"{prefix}.adapter.down.weight"] == scales[f"{prefix}.mlp.fc1.weight"]


def test_adapters_in_the_trunk_of_a_cascade() -> None:
    network = build("NETWORK.TYPE", "cascade", "CLASSIFIER.TYPE", "cosnorm")
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert any(name.startswith("trunk.blocks.0.adapter") for name in trained)
    assert not any(name.startswith("trunk.") and ".adapter." not in name for name in trained)
    assert network.eval()(IMAGES).logits.shape == (3, 2, 100)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["res32_cifar", "timm/resnet18"])
def test_adapters_of_other_backbones_are_refused(backbone: str) -> None:
    with pytest.raises(UserError, match=r"BACKBONE\.ADAPTER needs a VisionTransformer of timm"):
        build("BACKBONE.TYPE", backbone)
