from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import build_adjusted_heads, build_model

VIT = ("BACKBONE.TYPE", "timm/test_vit", "INPUT_SIZE", (32, 32))


def build(*overrides: Any, num_classes: int = 10) -> Any:
    torch.manual_seed(0)
    keys = ["NETWORK.TYPE", "cascade", "BACKBONE.TYPE", "res32_cifar", "CLASSIFIER.TYPE", "cosnorm"]
    return build_model(load_config(None, [*keys, *overrides]), num_classes)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(model: nn.Module, size: int) -> dict[str, float]:
    """Multiply-adds of convolutions and linear layers for one image of trunk and branches."""
    sums: dict[str, float] = defaultdict(float)

    def counting(part: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            weight: Any = module.weight
            sums[part] += output.numel() * weight[0].numel()

        return hook

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(counting(name.split(".")[0]))
    model.eval()(torch.empty(1, 3, size, size, device="meta"))
    return sums


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "classes", "trunk", "branches", "head"),
    [
        ("res50", 1000, 23.51, (65.08, 74.51), 2.05),
        ("res50", 8142, 23.51, (94.33, 103.77), 16.67),
        ("resnext50", 1000, 22.98, (65.08, 74.51), 2.05),
        ("res152", 365, 58.14, (129.58, 139.02), 0.75),
        ("timm/vit_base_patch16_224", 1000, 85.80, (14.94, 14.94), 0.77),
        ("timm/vit_base_patch16_224", 8142, 85.80, (20.43, 20.43), 6.25),
    ],
)
def test_released_networks_have_the_released_sizes(
    backbone: str, classes: int, trunk: float, branches: tuple[float, ...], head: float
) -> None:
    with torch.device("meta"):
        model = build("BACKBONE.TYPE", backbone, num_classes=classes)
    assert [round(count(part) / 1e6, 2) for part in (model.trunk, *model.branches, model.head)] == [
        trunk,
        *branches,
        head,
    ]


@pytest.mark.slow
def test_resnet50_branches_cost_ten_times_the_trunk() -> None:
    with torch.device("meta"):
        model = build("BACKBONE.TYPE", "res50", "CLASSIFIER.TYPE", "FC", num_classes=1000)
    costs = multiply_adds(model, 224)
    assert costs["trunk"] / 1e9 == pytest.approx(4.09, abs=0.005)
    assert costs["branches"] / 1e9 == pytest.approx(43.3, abs=0.05)


@pytest.mark.slow
def test_small_cascade_is_comparable_to_its_trunk() -> None:
    model = build()
    assert count(model.trunk) == 463_504
    assert 0.5e6 < count(model.branches) < 0.6e6
    with torch.device("meta"):
        costs = multiply_adds(build("CLASSIFIER.TYPE", "FC"), 32)
    assert costs["branches"] < costs["trunk"]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["res32_cifar", "timm/test_vit", "timm/resnet10t"])
def test_outputs_are_the_heads_of_the_features(backbone: str, images: Tensor) -> None:
    model = build(*VIT, "BACKBONE.TYPE", backbone, num_classes=7).eval()
    output = model(images)
    assert output.logits.shape == (3, 4, 7)
    widths = [head.weight.shape[1] for head in model.heads]
    assert [feature.shape for feature in output.features] == [(4, width) for width in widths]
    for head, features, logits in zip(model.heads, output.features, output.logits, strict=True):
        torch.testing.assert_close(head(features), logits)
    features, tapped = model.trunk.forward_taps(images, model.taps)
    torch.testing.assert_close(model.branches[1](tapped[model.taps[1]])[0], output.logits[1])
    torch.testing.assert_close(features.mean((2, 3)) if features.dim() == 4 else features, output.features[2])


@pytest.mark.parametrize("size", [8, 9, 31, 32, 64])
def test_small_cascade_takes_images_of_any_size(size: int) -> None:
    logits = build()(torch.randn(2, 3, size, size)).logits
    assert logits.shape == (3, 2, 10) and logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64, 192, 225])
def test_resnet_cascade_takes_images_that_the_release_cannot(size: int) -> None:
    model = build("BACKBONE.TYPE", "res50", "NETWORK.CASCADE.WIDTH", 64).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, size, size)).logits.isfinite().all()


def test_taps_width_and_depth_are_configurable(images: Tensor) -> None:
    model = build("NETWORK.CASCADE.TAPS", ["layer1"], "NETWORK.CASCADE.WIDTH", 32)
    assert model.description == "res32_cifar with cosnorm heads and branches at layer1"
    assert model.head_kinds == ["cosnorm"] * 2
    assert [feature.shape[1] for feature in model(images).features] == [64, 64]
    vit = build(*VIT, "NETWORK.CASCADE.TAPS", ["blocks.0", "blocks.4"], "NETWORK.CASCADE.DEPTH", 3)
    assert [len(branch.body.blocks) for branch in vit.branches] == [3, 3]
    assert build(*VIT).taps == ["blocks.3", "blocks.4"]  # of 6 blocks, as 7 and 9 of 12


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["NETWORK.CASCADE.TAPS", ["layer9"]], "NETWORK.CASCADE.TAPS: the backbone has no 'layer9'; available: layer1"),
        (["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"] * 2], "cascade has one trunk; BACKBONE.MULTI_NETWORK_TYPE is"),
        (["NETWORK.MOCO", True], "cascade has no projection heads; NETWORK.MOCO must be False"),
        (
            ["BACKBONE.TYPE", "timm/eva02_tiny_patch14_224"],
            "a VisionTransformer of timm; timm/eva02_tiny_patch14_224 is",
        ),
        (["BACKBONE.DROP_PATH", 0.1], "BACKBONE.DROP_PATH is 0.1; res32_cifar has no stochastic depth"),
        (["BACKBONE.DROP_PATH", 0.1, "BACKBONE.TYPE", "timm/vgg11"], "timm/vgg11 has no stochastic depth"),
    ],
)
def test_build_refuses_what_does_not_go_together(overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message), torch.device("meta"):
        build(*overrides)


def test_build_refuses_a_backbone_without_taps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtail.models.backbones.timm_models._feature_info", lambda model: [])
    with pytest.raises(UserError, match="timm/resnet10t has no taps for branches"):
        build("BACKBONE.TYPE", "timm/resnet10t")


@pytest.mark.slow
def test_without_branches_the_main_head_stays(images: Tensor) -> None:
    whole, alone = build().eval(), build("NETWORK.BRANCHES", False).eval()
    alone.load_state_dict(whole.state_dict(), strict=False)
    output = alone(images)
    assert torch.equal(output.logits, whole(images).logits[2:])
    assert len(output.features) == len(alone.heads) == len(alone.head_kinds) == 1
    assert alone.description == "res32_cifar with cosnorm heads"


def test_vision_transformer_normalizes_the_mean_of_its_patch_tokens(images: Tensor) -> None:
    trunk = build(*VIT).trunk.eval()
    tokens = trunk.forward_taps(images, ["blocks.5"])[1]["blocks.5"]
    torch.testing.assert_close(trunk(images), trunk.fc_norm(tokens[:, 1:].mean(1)))
    assert "norm.weight" not in trunk.state_dict()


def test_drop_path_acts_in_trunk_and_branches() -> None:
    model = build(*VIT, "BACKBONE.DROP_PATH", 0.2)
    assert model.trunk.blocks[5].drop_path1.drop_prob == pytest.approx(0.2)
    assert model.branches[0].body.blocks[1].drop_path2.drop_prob == pytest.approx(0.2 * 3 / 5)


def test_pretrained_vision_transformer_starts_with_a_tiny_main_head() -> None:
    downloaded = build(*VIT, "BACKBONE.PRETRAINED_TAG", "mae").head
    assert downloaded.weight.std().item() == pytest.approx(2e-5, rel=0.1)
    main, branch = build(*VIT, "BACKBONE.PRETRAINED_MODEL", "mae.pth").heads[::-2]
    assert main.weight.std().item() == pytest.approx(2e-5, rel=0.1)
    assert branch.weight.std().item() == pytest.approx((3 * 64) ** -0.5, rel=0.1)
    assert build("BACKBONE.PRETRAINED_MODEL", "resnet.pth").head.weight.std() > 0.01


@pytest.mark.slow
def test_resnet50_trunk_starts_by_fan_out() -> None:
    weight = build("BACKBONE.TYPE", "res50", "NETWORK.BRANCHES", False).trunk.layer4[2].conv1.weight
    assert weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)


@pytest.mark.parametrize("statistics", ["still", "moving"])
def test_frozen_trunk_leaves_the_branches_trainable(statistics: str, images: Tensor) -> None:
    model = build("BACKBONE.FREEZE", True, "BACKBONE.FROZEN_STATISTICS", statistics).train()
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"branches", "head"}
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("running_mean")}
    model(images)
    moved = {name.split(".")[0] for name, old in before.items() if not torch.equal(old, model.get_buffer(name))}
    assert moved == ({"branches"} if statistics == "still" else {"trunk", "branches"})


def test_heads_of_a_second_stage_freeze_all_features() -> None:
    model = build("CLASSIFIER.TYPE", "cRT")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    heads = ("branches.0.head", "branches.1.head", "head")
    assert trained == {f"{head}.{part}" for head in heads for part in ("weight", "bias")}


def test_adjusted_heads_take_features_of_different_widths(images: Tensor) -> None:
    model = build().eval()
    cfg = load_config(None, ["TEST.LOGIT_ADJUSTMENT", 1.5])
    output, counts = model(images), torch.arange(1, 11)
    adjusted = build_adjusted_heads(cfg, model.heads, class_counts=counts.tolist())(output.features)
    torch.testing.assert_close(adjusted, output.logits - 1.5 * (counts / counts.sum()).log())


def test_channels_last_gives_the_same_outputs(images: Tensor) -> None:
    model = build().eval()
    plain = model(images).logits
    model.to(memory_format=torch.channels_last)
    other = model(images.to(memory_format=torch.channels_last)).logits
    torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)


def test_convolutional_branches_drop_half_of_their_features() -> None:
    assert [branch.dropout.p for branch in build().branches] == [0.5, 0.5]
    assert [branch.dropout.p for branch in build(*VIT).branches] == [0.0, 0.0]
