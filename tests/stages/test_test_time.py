"""TEST.TTA in evaluation, sweep, calibration, prediction and export."""

from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.config import changed, load_config
from longtail.data import build_normalize, build_splits, build_test_policy, check_test_time
from longtail.data.augment.transforms import CenterCrop
from longtail.errors import UserError
from longtail.models import build_adjusted_heads
from longtail.predicting.export import export
from longtail.predicting.trained import load_trained
from longtail.stages.corrections import build_views, with_views
from longtail.stages.evaluate import evaluation_setup, validate
from longtail.stages.sweep import collect_features, evaluate_heads
from tests.helpers.photos import Photos
from tests.helpers.training import CPU, read_json

FLIP: list[Any] = ["TEST.TTA", "flip", "DATASET.VIEWS", ["crop_flip"]]
CROPS: list[Any] = ["TEST.TTA", "five_crops"]
RESIZED_CROPS = [*CROPS, "DATASET.TEST_VIEW", "transforms", "INPUT_SIZE", (32, 32)]


@pytest.mark.slow
@pytest.mark.parametrize("tta", [FLIP, CROPS], ids=["flip", "five_crops"])
def test_evaluation_prediction_and_features_agree(photos: Photos, tta: list[Any]) -> None:
    cfg = changed(photos.cfg, *tta)
    results = read_json(validate(cfg, photos.run.path, place=CPU) / "results.json")
    assert results["tta"] == tta[1]
    trained = load_trained(cfg, photos.run.path, place=CPU)
    probabilities = torch.stack([p.probabilities for p in trained.predict(photos.valid_paths())]).double()
    labels = build_splits(cfg).valid.labels
    nll = float(-probabilities[torch.arange(len(labels)), labels].log().mean())
    assert nll == pytest.approx(results["ensemble"]["nll"], rel=1e-6)
    with evaluation_setup(cfg, photos.run.path, place=CPU) as setup:
        heads = build_adjusted_heads(cfg, setup.network.heads, class_counts=setup.class_counts)
        swept = evaluate_heads(setup, heads, encoded=collect_features(setup, setup.loader)).results()
    assert swept["ensemble"] == pytest.approx(results["ensemble"])
    plain = read_json(validate(photos.cfg, photos.run.path, place=CPU) / "results.json")
    assert "tta" not in plain and plain["ensemble"]["nll"] != results["ensemble"]["nll"]


@pytest.mark.slow
def test_flip_equals_two_evaluations(photos: Photos) -> None:
    cfg = changed(photos.cfg, *FLIP)
    trained = load_trained(cfg, photos.run.path, place=CPU)
    plain = load_trained(photos.cfg, photos.run.path, place=CPU)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        wanted = (plain(images).logits + plain(images.flip(3)).logits) / 2
        assert torch.allclose(trained(images).logits, wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("tta", [FLIP, CROPS, RESIZED_CROPS], ids=["flip", "five_crops", "resized_five_crops"])
@pytest.mark.parametrize("kind", ["torchscript", "exported"])
def test_export_holds_the_views(photos: Photos, tmp_path: Path, kind: str, tta: list[Any]) -> None:
    trained = load_trained(changed(photos.cfg, *tta), photos.run.path, place=CPU)
    assert export(trained, kind, tmp_path).difference < 1e-4


def test_export_as_weights_is_refused(photos: Photos, tmp_path: Path) -> None:
    trained = load_trained(changed(photos.cfg, *CROPS), photos.run.path, place=CPU)
    with pytest.raises(UserError, match=r"holds weights only, not TEST\.TTA five_crops"):
        export(trained, "safetensors", tmp_path)


def test_crops_of_resized_images_come_from_the_whole_shorter_side() -> None:
    cfg = load_config("imagenet_lt,ce_r10", CROPS)
    crop = next(step for step in build_test_policy(cfg).steps if isinstance(step, CenterCrop))  # type: ignore[attr-defined]
    assert crop.size == (256, 256)


def test_crops_of_small_images_come_from_images_padded_with_black() -> None:
    cfg = load_config("digits_lt,ce", [*CROPS, "TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING", 3])
    images = torch.randint(256, (1, 2, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    normalize = build_normalize(cfg)
    _, first, *_ = build_views(cfg, normalize)(normalize(images)[0])
    padded = normalize(torch.nn.functional.pad(images, [3] * 4))[0]
    torch.testing.assert_close(first, padded[:, :, :8, :8])


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        ("digits_lt,ce", ["TEST.TTA", "flip"], r"DATASET.VIEWS \['crop'\] do not flip images"),
        ("imagenet_lt,ce_r10", [*CROPS, "TRANSFORMS.TEST_TRANSFORMS", ["normal_resize"]], "leave no room for crops"),
        ("digits_lt,ce", [*CROPS, "TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING", 0], "PADDING is 0"),
    ],
)
def test_check_refuses_views_that_the_data_do_not_have(config: str, overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_test_time(load_config(config, overrides))
    check_test_time(load_config("cifar10_im100,ce", ["TEST.TTA", "flip"]))


def test_one_view_is_the_network_itself(photos: Photos) -> None:
    with evaluation_setup(photos.cfg, photos.run.path, place=CPU) as setup:
        assert with_views(setup.network, setup.views) is setup.network
