"""CADEL's networks, parameter groups and position embeddings against the records of its release."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.engine.optim import parameter_groups
from longtail.models import Cascade, build_model, load_released_weights
from longtail.models.backbones import Backbone
from longtail.models.backbones.timm_models import as_backbone
from longtail.models.branches import Branch, TransformerBody
from longtail.models.heads import CosNormHead
from longtail.models.position_embedding import fitted
from tests.helpers.golden import record, relative_error, released_parameters, tensor
from tests.helpers.networks import position_embedded

NAME = "cadel_networks"
CASES: list[dict[str, Any]] = record(NAME)["cases"]
NETWORKS = [case for case in CASES if case["kind"] == "network" and case["fill"] == "plain"]
GROUPS = [case for case in CASES if case["kind"] == "layer_decay"]
EMBEDDINGS = [case for case in CASES if case["kind"] == "position_embedding"]
BACKBONES = {"resnet50": "res50", "resnext50": "resnext50", "resnet152": "res152", "vit": "timm/vit_base_patch16_224"}
UNUSED = {f"feat_model.aux_layer{number}.norm.{part}" for number in (1, 2) for part in ("weight", "bias")}
SLOW = {"resnet50", "resnext50", "resnet152"}


def case_id(case: dict[str, Any]) -> str:
    return f"{case['id']}-{case['name']}"


def array(case: dict[str, Any], name: str) -> Tensor:
    found: Tensor = tensor(NAME, f"{case['id']}.{name}")
    return found


def with_norms(case: dict[str, Any]) -> dict[str, Any]:
    """The case with the images and parameters of a case, but other values for the weights with one dimension."""
    return next(other for other in CASES if other.get("images_and_parameters_of") == case["id"])


def parameters(case: dict[str, Any], fill: str, *, dimensions: Sequence[int]) -> dict[str, dict[str, Tensor]]:
    """The parameters with these numbers of dimensions, as in the released checkpoint of a case."""
    checkpoint = {}
    for entry, shapes in case["parameters"].items():
        chosen = {name: shape for name, shape in shapes.items() if len(shape) in dimensions}
        checkpoint[entry] = {f"module.{name}": value for name, value in released_parameters(chosen, fill).items()}
    return checkpoint


def config(case: dict[str, Any], name: str, size: int) -> CfgNode:
    head = ["CLASSIFIER.TYPE", "cosnorm", "CLASSIFIER.COS_SCALE", 30.0, "INPUT_SIZE", (size, size)]
    drop_path = ["BACKBONE.DROP_PATH", case["config"].get("drop_path", 0.0)]
    return load_config(None, ["NETWORK.TYPE", "cascade", "BACKBONE.TYPE", name, *head, *drop_path])


def small_vit(settings: dict[str, Any], num_classes: int) -> Cascade:
    """CADEL's vision transformer of other dimensions than those with a name in timm."""
    from timm.models.vision_transformer import VisionTransformer

    drop_path, width = settings["drop_path"], settings["embed_dim"]
    sizes = {key: settings[key] for key in ("img_size", "patch_size", "embed_dim", "depth", "num_heads")}
    trunk: Backbone = as_backbone(
        VisionTransformer(num_classes=0, global_pool="avg", drop_path_rate=drop_path, **sizes)
    )
    head = partial(CosNormHead, width, num_classes, scale=30.0)
    bodies = {tap: TransformerBody(trunk, tap, depth=settings["aux_depth"]) for tap in ("blocks.7", "blocks.9")}
    return Cascade(trunk, [(tap, Branch(body, head())) for tap, body in bodies.items()], head())


def built(case: dict[str, Any], num_classes: int) -> Any:
    if case["config"].get("embed_dim", 768) != 768:
        return small_vit(case["config"], num_classes)
    size = case.get("image_size") or case["config"]["img_size"]
    return build_model(config(case, BACKBONES[case["name"]], size), num_classes)


def marked(cases: list[dict[str, Any]]) -> list[Any]:
    """Cases as parameters; those of large networks are slow."""
    large = [case["name"] in SLOW or case["config"]["embed_dim"] == 768 for case in cases]
    marks = [[pytest.mark.slow] if slow else [] for slow in large]
    return [pytest.param(case, id=case_id(case), marks=mark) for case, mark in zip(cases, marks, strict=True)]


@pytest.mark.parametrize("case", marked(NETWORKS))
def test_released_networks_give_the_released_outputs(case: dict[str, Any]) -> None:
    with torch.device("meta"):  # its values come from the checkpoint
        model = built(case, case["num_classes"])
    model.to_empty(device="cpu").eval()
    checkpoint = parameters(case, "plain", dimensions=range(5))
    images = array(case, "images")
    check_outputs(model, checkpoint, images, case=case, tolerance=1e-4)
    for entry, values in parameters(case, "norm", dimensions=[1]).items():  # the others are the same
        checkpoint[entry] |= values
    check_outputs(model, checkpoint, images, case=with_norms(case), tolerance=1e-4 if case["name"] == "vit" else 1e-3)


def check_outputs(model: Any, checkpoint: Any, images: Tensor, *, case: dict[str, Any], tolerance: float) -> None:
    """Load a released checkpoint and compare the outputs with those of a case; `tolerance` is that of the branches."""
    report = load_released_weights(model, checkpoint)
    assert report.missing == []
    assert set(report.unexpected) == (UNUSED if case["name"] == "vit" else set())
    assert sorted(report.loaded) == sorted(model.state_dict())
    with torch.no_grad():
        output = model(images)
    assert relative_error(output.logits, array(case, "logits")) < 1e-4
    *branches, main = output.features
    assert relative_error(main, array(case, "features")) < 1e-4
    assert relative_error(torch.stack(branches), array(case, "aux_features")) < tolerance


def groups_of(model: Any) -> dict[str, tuple[float, float]]:
    groups = parameter_groups(model, weight_decay=0.05, layer_decay=0.75, decay_1d=False)
    return {name: (group["lr_scale"], group["weight_decay"]) for group in groups for name in group["names"]}


@pytest.mark.slow
@pytest.mark.parametrize("case", GROUPS, ids=lambda case: f"{case['id']}-{case['config']['embed_dim']}")
def test_parameter_groups_equal_the_release(case: dict[str, Any]) -> None:
    with torch.device("meta"):
        model = built(case, 9)
    own = groups_of(model)
    translated = own_names_of_vit([name for group in case["groups"] for name in group["parameters"]])
    for group in case["groups"]:
        for name in set(group["parameters"]) - {unused.removeprefix("feat_model.") for unused in UNUSED}:
            assert own.pop(translated[name]) == pytest.approx((group["lr_scale"], group["weight_decay"]), rel=1e-8), (
                name
            )
    assert own == {}


def own_names_of_vit(names: list[str]) -> dict[str, str]:
    from longtail.models.released import own_names

    found = own_names([f"feat_model.{name}" for name in names])
    return {name: found[f"feat_model.{name}"] or "" for name in names}


@pytest.mark.parametrize("case", EMBEDDINGS, ids=lambda case: f"{case['grid']}-{case['new_grid']}")
def test_resampled_position_embedding_equals_the_release(case: dict[str, Any]) -> None:
    wanted = array(case, "result")
    trunk = position_embedded((case["new_grid"], case["new_grid"]), wanted.shape)
    assert relative_error(fitted(trunk, "pos_embed", array(case, "pos_embed")), wanted) < 1e-5
