"""Loading weights into cascades: CADEL's files, masked autoencoders, other image sizes, earlier trainings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import (
    build_model,
    load_backbone_weights,
    load_released_weights,
    read_weights,
    start_from,
    weights_in,
)
from longtail.models.position_embedding import fitted
from longtail.models.released import flattened, own_names

VIT = ("BACKBONE.TYPE", "timm/test_vit")


def build(*overrides: Any, size: int = 32, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    keys = ["NETWORK.TYPE", "cascade", "BACKBONE.TYPE", "res32_cifar", "CLASSIFIER.TYPE", "cosnorm"]
    return build_model(load_config(None, [*keys, "INPUT_SIZE", (size, size), *overrides]), 10)


def released_vit(model: Any, prefix: str = "module.") -> dict[str, dict[str, Tensor]]:
    """The weights of a model under the names of CADEL's vision transformer."""
    names = {}
    for name, value in model.state_dict().items():
        renamed = name.removeprefix("trunk.")
        for number in (0, 1):
            renamed = renamed.replace(f"branches.{number}.body.blocks", f"aux_layer{number + 1}.block_fn")
            renamed = renamed.replace(f"branches.{number}.head", f"aux_layer{number + 1}.head")
        names[prefix + renamed] = value
    unused = {f"{prefix}aux_layer1.norm.weight": torch.ones(64)}
    return {"feat_model": {**names, **unused}}


def equal(model: Any, other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("released", "own"),
    [
        ("feat_model.layer1.layer1.0.conv1.weight", "trunk.layer1.0.conv1.weight"),
        ("feat_model.layer1.layer2.0.bn1.bias", "trunk.layer1.1.bn1.bias"),
        ("feat_model.layer1.layer2.block_2.conv3.weight", "trunk.layer1.2.conv3.weight"),
        ("feat_model.layer2.layer1.block_1.conv1.weight", "trunk.layer2.1.conv1.weight"),
        ("feat_model.layer2.layer2.0.conv1.weight", "trunk.layer2.2.conv1.weight"),
        ("feat_model.layer3.layer2.0.conv1.weight", "trunk.layer3.3.conv1.weight"),
        ("feat_model.layer3.layer2.block_5.conv1.weight", "trunk.layer3.5.conv1.weight"),
        ("feat_model.layer4.layer1.0.downsample.1.weight", "trunk.layer4.0.downsample.1.weight"),
        ("feat_model.layer4.layer2.0.conv1.weight", "trunk.layer4.1.conv1.weight"),
        ("feat_model.layer3.35.conv1.weight", "trunk.layer3.35.conv1.weight"),
        ("feat_model.aux_layer2.preBlock.9.weight", "branches.0.body.convolutions.9.weight"),
        ("feat_model.aux_layer3.seBlock.2.weight", "branches.1.body.gates.2.weight"),
        ("feat_model.aux_layer4.FC.weight", "branches.1.head.weight"),
        ("classifier1.preBlock.0.bias", "branches.0.body.convolutions.0.bias"),
        ("classifier2.FC.weight", "branches.1.head.weight"),
        ("classifier3.weight", "head.weight"),
        ("classifier.weight", "head.weight"),
        ("feat_model.blocks.3.norm1.weight", "trunk.blocks.3.norm1.weight"),
        ("feat_model.aux_layer1.block_fn.1.attn.qkv.bias", "branches.0.body.blocks.1.attn.qkv.bias"),
        ("feat_model.aux_layer2.head.weight", "branches.1.head.weight"),
        ("feat_model.head.weight", "head.weight"),
        ("feat_model.aux_layer1.norm.weight", None),
    ],
)
def test_own_names_of_cadel(released: str, own: str | None) -> None:
    assert own_names([released, "feat_model.conv1.weight"])[released] == own
    assert own_names([f"module.{released}", "module.feat_model.conv1.weight"])[f"module.{released}"] == own


def test_own_names_of_other_systems_stay_theirs() -> None:
    assert own_names(["classifier.weight", "backbone.conv1.weight"]) == {
        "classifier.weight": "experts.0.head.weight",
        "backbone.conv1.weight": "experts.0.backbone.conv1.weight",
    }


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_load_released_weights_takes_network_entries(prefix: str) -> None:
    model, other = build(*VIT, seed=1), build(*VIT)
    report = load_released_weights(model, released_vit(other, prefix))
    assert equal(model, other.state_dict())
    assert (report.missing, report.unexpected) == ([], ["feat_model.aux_layer1.norm.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("key", ["state_dict_best", "state_dict"])
def test_read_weights_of_the_checkpoints_of_cadel(tmp_path: Path, key: str) -> None:
    other = build(*VIT)
    content = {"epoch": 3, "best_acc": 0.5, "centroids": None, key: released_vit(other)}
    torch.save(content, tmp_path / "final.pth")
    weights = read_weights(tmp_path / "final.pth")
    assert weights.keys() == flattened(released_vit(other)).keys()
    assert weights_in(content, "final.pth").keys() == weights.keys()
    model = build(*VIT, seed=1)
    load_released_weights(model, weights)
    assert equal(model, other.state_dict())


def test_cascade_loads_its_own_weights_and_leaves_branches_out() -> None:
    model, other = build(seed=1), build()
    report = load_released_weights(model, {f"module.{name}": value for name, value in other.state_dict().items()})
    assert equal(model, other.state_dict()) and report.missing == report.unexpected == []
    alone = build("NETWORK.BRANCHES", False, seed=1)
    report = load_released_weights(alone, other.state_dict())
    assert report.missing == []
    assert {name.split(".")[0] for name in report.unexpected} == {"branches"}


@pytest.mark.slow
def test_start_from_takes_trunk_and_branches_with_new_heads() -> None:
    model, other = build(seed=1), build()
    report = start_from(model, other.state_dict(), backbone_only=True)
    assert report.new == ["branches.0.head.weight", "branches.1.head.weight", "head.weight"]
    assert report.missing == report.unexpected == []
    expected = {name: value for name, value in other.state_dict().items() if name not in report.new}
    assert all(torch.equal(model.state_dict()[name], value) for name, value in expected.items())
    assert not torch.equal(model.head.weight, other.head.weight)


@pytest.mark.slow
def test_load_backbone_weights_fills_the_trunk_from_a_masked_autoencoder() -> None:
    trunk, encoder = build(*VIT).trunk, build(*VIT, seed=1).trunk.state_dict()
    weights = {name: value for name, value in encoder.items() if not name.startswith("fc_norm.")}
    extra = {"norm.weight": torch.ones(64), "mask_token": torch.zeros(1), "decoder_pred.bias": torch.zeros(3)}
    report = load_backbone_weights(trunk, weights_in({"model": {**weights, **extra}, "epoch": 9}, "mae.pth"))
    assert report.loaded == list(weights)
    assert report.missing == ["fc_norm.weight", "fc_norm.bias"]
    assert report.unexpected == list(extra)
    assert all(torch.equal(trunk.state_dict()[name], value) for name, value in weights.items())


@pytest.mark.slow
@pytest.mark.parametrize("names", ["own", "released"])
def test_load_backbone_weights_takes_the_trunk_of_a_cascade(names: str) -> None:
    trunk, other = build(*VIT, size=64, seed=1).trunk, build(*VIT)
    weights = other.state_dict() if names == "own" else released_vit(other)
    report = load_backbone_weights(trunk, weights)
    assert report.missing == []
    assert torch.equal(trunk.blocks[2].attn.qkv.weight, other.trunk.blocks[2].attn.qkv.weight)
    assert torch.equal(trunk.pos_embed, fitted(trunk, "pos_embed", other.trunk.pos_embed.detach()))
    assert trunk.pos_embed.shape != other.trunk.pos_embed.shape


@pytest.mark.parametrize("load", [load_released_weights, start_from])
def test_position_embeddings_are_resampled_for_another_image_size(load: Any) -> None:
    model, other = build(*VIT, size=96, seed=1), build(*VIT, size=64)
    report = load(model, released_vit(other))
    assert report.missing == []
    expected = other.state_dict()
    expected["trunk.pos_embed"] = fitted(model, "trunk.pos_embed", expected["trunk.pos_embed"])
    assert equal(model, expected)


def test_position_embeddings_of_another_width_are_refused() -> None:
    weights = released_vit(build(*VIT))
    weights["feat_model"]["module.pos_embed"] = torch.zeros(1, 5, 32)
    with pytest.raises(UserError, match=r"feat_model.pos_embed is \[1, 5, 32\], the network's trunk.pos_embed is"):
        load_released_weights(build(*VIT), weights)
