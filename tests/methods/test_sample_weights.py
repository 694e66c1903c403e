"""Sample weights: from lists and annotation files into the mean of the loss."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from longtail.config import load_config
from longtail.data import Batch, ImageSet, Splits, build_loaders, build_splits
from longtail.data.annotations import read_annotations
from longtail.data.cam.annotations import append_generated
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.methods import Supervised
from longtail.stages.splits import check_sample_weights
from tests.helpers.mixing import LABELS, batch, build
from tests.helpers.training import CE, read_records, tiny_config, train

WEIGHTS = [2.0, 0.0, 1.0, 0.5, 3.0, 1.0, 0.25]


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("loss", ["CrossEntropy", "BalancedSoftmaxCE", "LDAMLoss", "FocalLoss", "ClassBalanceCE"])
def test_supervised_loss_is_the_weighted_mean(views: int, loss: str) -> None:
    """mean_i(a_i l_i); with class weights, sum_i a_i w_i l_i / sum_i w_i."""
    method, network, built = build("supervised", "LOSS.LOSS_TYPE", loss, experts=1)
    weights = torch.tensor(WEIGHTS)
    step = method.training_step(batch(views)._replace(weights=weights))
    logits = network(batch(views).images.flatten(0, 1)).logits[0]
    rows = [built(logits[[i]], torch.tensor([LABELS[i % 7]])) for i in range(7 * views)]
    classes = torch.ones(4) if loss == "FocalLoss" or built.class_weights is None else built.class_weights
    class_of = classes[torch.tensor(LABELS * views)]
    expected = (weights.repeat(views) * class_of * torch.stack(rows)).sum() / class_of.sum()
    torch.testing.assert_close(step.loss, expected)


def test_equal_weights_change_nothing() -> None:
    method, _, _ = build("supervised")
    plain = method.training_step(batch()).loss
    torch.testing.assert_close(method.training_step(batch()._replace(weights=torch.ones(7))).loss, plain)


def test_weights_of_a_partner_are_joined() -> None:
    method, network, _ = build("supervised", experts=1)
    assert isinstance(method, Supervised)
    first, second = batch()._replace(weights=torch.tensor(WEIGHTS)), batch(seed=2)._replace(weights=torch.ones(7))
    step = method.training_step(first._replace(partner=second))
    logits = network(torch.cat([first.images[0], second.images[0]])).logits[0]
    losses = F.cross_entropy(logits, torch.tensor(LABELS * 2), reduction="none")
    torch.testing.assert_close(step.loss, (torch.tensor([*WEIGHTS, *[1.0] * 7]) * losses).mean())


def test_batch_moves_and_copies_weights() -> None:
    own, other = batch()._replace(weights=torch.zeros(7)), batch()._replace(weights=torch.tensor(WEIGHTS))
    own.copy_(other)
    assert own.weights is not None and own.weights.tolist() == WEIGHTS
    assert own.to(torch.device("meta")).weights.device.type == "meta"  # type: ignore[union-attr]


def weighted_set(number: int = 12) -> ImageSet:
    images = torch.zeros(number, 3, 8, 8, dtype=torch.uint8)
    plain = ImageSet.from_tensor("set", images, labels=[0, 1] * (number // 2), num_classes=2)
    return ImageSet(
        "set", plain.labels, num_classes=2, load=plain.load, weights=torch.arange(number, dtype=torch.float32)
    )


@pytest.mark.parametrize("sampler", ["default", "bbn sampler"])
def test_loader_gives_every_image_its_weight_with_mean_1(sampler: str) -> None:
    images = weighted_set()
    cfg = load_config(None, ["TRAIN.BATCH_SIZE", 4, "TRAIN.SAMPLER.TYPE", sampler, "DATASET.VIEWS", ["none"]])
    loaders = build_loaders(cfg, Splits(images, images))
    for part in [*loaders.train.epoch(1), loaders.train.peek(3)]:
        for each in (part, part.partner) if part.partner else (part,):
            assert isinstance(each, Batch) and each.weights is not None
            torch.testing.assert_close(each.weights, each.indices / 5.5)
    assert all(part.weights is None for part in loaders.valid.epoch(1))
    assert all(part.weights is None for part in loaders.train_in_order().epoch(1))


def test_weights_that_are_all_0_are_refused() -> None:
    images = weighted_set()
    images.weights.zero_()  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"^set: all images have weight 0$"):
        build_loaders(load_config(None, ["TRAIN.BATCH_SIZE", 4]), Splits(images, images))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2],
            r"LOSS.LOSS_TYPE NIL_NBOD does not have a loss for each image",
        ),
        (["LOSS.LOSS_TYPE", "DiVEKLD"], r"LOSS.LOSS_TYPE DiVEKLD does not have a loss for each image"),
        (["TRAIN.COMBINER.TYPE", "mixup"], r"TRAIN.COMBINER.TYPE mixup does not use; allowed: supervised$"),
        (["TRAIN.COMBINER.TYPE", "subclass_contrastive"], r"subclass_contrastive does not use; allowed: supervised$"),
    ],
)
def test_losses_and_methods_that_ignore_weights_are_refused(overrides: list[Any], message: str) -> None:
    cfg, images = load_config(None, overrides), weighted_set()
    with pytest.raises(UserError, match=r"^set has sample weights, .*" + message):
        check_sample_weights(cfg, Splits(images, images), build_loss(cfg, [6, 6]))
    plain = ImageSet("set", images.labels, num_classes=2, load=images.load)
    check_sample_weights(cfg, Splits(plain, images), build_loss(cfg, [6, 6]))


def test_generated_images_with_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "generated.json").write_text("[]")
    with pytest.raises(UserError, match=r"^set has sample weights, which generated images do not have"):
        append_generated(weighted_set(), str(tmp_path / "generated.json"))


def annotation_file(folder: Path, weights: list[Any]) -> Path:
    for number in range(len(weights)):
        Image.fromarray(np.full((32, 32, 3), 5 * number, np.uint8)).save(folder / f"{number}.png")
    entries = [
        {"fpath": f"{number}.png", "category_id": number % 2} | ({} if weight is None else {"weight": weight})
        for number, weight in enumerate(weights)
    ]
    (folder / "train.json").write_text(json.dumps({"annotations": entries, "num_classes": 2}))
    return folder / "train.json"


def test_annotation_weights_are_read(tmp_path: Path) -> None:
    path = annotation_file(tmp_path, [2, None, 0.5, 1])
    assert read_annotations(path).weights == [2, 1, 0.5, 1]
    assert read_annotations(annotation_file(tmp_path, [None, None])).weights is None


@pytest.mark.parametrize("weight", [-1, "2", True, float("inf")])
def test_wrong_annotation_weights_are_refused(tmp_path: Path, weight: Any) -> None:
    with pytest.raises(
        UserError, match=r"annotation 1 \(1.png\) has weight .*; it must be a finite number that is not negative"
    ):
        read_annotations(annotation_file(tmp_path, [1, weight]))


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_a_training_uses_the_weights(tmp_path: Path, same: bool) -> None:
    """Images of weight 0 have no effect: their labels do not matter."""
    path = annotation_file(tmp_path, [1.0] * 8 + [0.0 if same else 1.0] * 8)
    losses = []
    for flipped in (False, True):
        content = json.loads(path.read_text())
        if flipped:
            for entry in content["annotations"][8:]:
                entry["category_id"] = 1 - entry["category_id"]
        name = tmp_path / f"{flipped}.json"
        name.write_text(json.dumps(content))
        data = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(name), "DATASET.VALID_JSON", str(path)]
        cfg = tiny_config(tmp_path / str(flipped), *data, "TRAIN.BATCH_SIZE", 8, "TRAIN.MAX_EPOCH", 2, method=CE)
        assert build_splits(cfg).train.weights is not None
        losses.append([record["loss"] for record in read_records(train(cfg), "train")])
    assert (losses[0] == losses[1]) == same
