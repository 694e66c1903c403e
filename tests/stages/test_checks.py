"""Checks of a config that need no data."""

import logging
from typing import Any

import pytest

from longtail.config import changed, load_config
from longtail.engine.optim import learning_rates
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.stages.checks import check_start, check_training, deferral_warning, rate_warning
from tests.helpers.training import CPU, TinyConfig, train

FILES = ["DATASET.VALID_JSON", "valid.json", "DATASET.TEST_JSON", "test.json"]
DEFERRED: list[Any] = ["TRAIN.TWO_STAGE.DRW", True, "LOSS.LOSS_TYPE", "CostSensitiveCE"]


def warning_of(*overrides: Any) -> str:
    cfg = load_config(None, overrides)
    return deferral_warning(cfg, build_loss(cfg, [8, 4, 2]))


@pytest.mark.parametrize("way", ["DRW", "DRS"])
def test_warning_of_a_late_deferral_names_both_keys_and_what_fits(way: str) -> None:
    message = warning_of(f"TRAIN.TWO_STAGE.{way}", True, "TRAIN.TWO_STAGE.START_EPOCH", 160)
    assert message.startswith(f"TRAIN.TWO_STAGE.{way} True changes nothing before the last epoch")
    assert "TRAIN.TWO_STAGE.START_EPOCH is 160 and TRAIN.MAX_EPOCH 60; START_EPOCH 0 is 80 %" in message


@pytest.mark.parametrize(
    "overrides",
    [
        ["TRAIN.TWO_STAGE.START_EPOCH", 160],
        [*DEFERRED, "TRAIN.TWO_STAGE.START_EPOCH", 59],
        [*DEFERRED, "TRAIN.TWO_STAGE.START_EPOCH", 0, "TRAIN.MAX_EPOCH", 2],
        ["TRAIN.TWO_STAGE.DRS", True, "TRAIN.TWO_STAGE.START_EPOCH", 48],
    ],
)
def test_deferral_that_changes_something_is_not_warned_about(overrides: list[Any]) -> None:
    assert warning_of(*overrides) == ""


DRW = ["TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 48, "LOSS.LOSS_TYPE"]


@pytest.mark.parametrize(
    "loss",
    ["BalancedSoftmaxCE", "CDT", "ClassBalanceFocal", "CostSensitiveCE", "FocalLoss", "LDAMLoss", "VectorScaling"],
)
def test_losses_that_defer_are_not_warned_about(loss: str) -> None:
    assert warning_of(*DRW, loss) == ""
    assert not build_loss(load_config(None, ["LOSS.LOSS_TYPE", loss]), [8, 4, 2]).defers


def test_distillation_defers_what_its_base_loss_does() -> None:
    assert warning_of(*DRW, "DiVEKLD", "LOSS.DiVEKLD.BASELOSS", "BalancedSoftmaxCE") == ""
    assert "DiVEKLD has no part that can start later" in warning_of(
        *DRW, "DiVEKLD", "LOSS.DiVEKLD.BASELOSS", "CrossEntropy"
    )


@pytest.mark.parametrize("loss", ["CrossEntropy", "CrossEntropyLabelSmooth"])
def test_deferring_nothing_is_warned_about(loss: str) -> None:
    assert warning_of(*DRW, loss) == (
        f"TRAIN.TWO_STAGE.DRW True changes nothing: LOSS.LOSS_TYPE {loss} has no part that can start later; set "
        "LOSS.CLASS_WEIGHTS.TYPE inverse to defer class weights"
    )
    assert warning_of(*DRW, loss, "LOSS.CLASS_WEIGHTS.TYPE", "inverse") == ""


def test_losses_without_class_weights_are_warned_about_without_a_hint() -> None:
    assert warning_of(*DRW, "NIL_NBOD", "LOSS.HCM_N", 2).endswith("NIL_NBOD has no part that can start later")


def test_learning_rate_that_never_drops_is_warned_about() -> None:
    short = load_config("cifar10_im100,ce", ["TRAIN.MAX_EPOCH", 20])
    assert rate_warning(short) == (
        "the learning rate does not drop: TRAIN.LR_SCHEDULER.LR_STEP is [160, 180] and TRAIN.MAX_EPOCH 20; after 80 "
        "and 90 % of the epochs it drops with LR_STEP [16,18]"
    )
    assert len(set(learning_rates(short)[5:])) == 1
    fitting = changed(short, "TRAIN.LR_SCHEDULER.LR_STEP", "[16,18]")  # as pasted
    assert rate_warning(fitting) == ""
    assert len(set(learning_rates(fitting)[5:])) == 3


@pytest.mark.parametrize(
    ("epochs", "offset", "warned"), [(159, 1, True), (160, 1, False), (160, 0, True), (161, 0, False), (9, 1, False)]
)
def test_learning_rate_that_drops_in_the_last_epoch_drops(epochs: int, offset: int, warned: bool) -> None:
    keys = ["TRAIN.MAX_EPOCH", epochs, "TRAIN.LR_SCHEDULER.EPOCH_OFFSET", offset]
    assert bool(rate_warning(load_config("cifar10_im100,ce", keys))) == warned


def test_cosine_schedule_is_not_warned_about() -> None:
    keys = ["TRAIN.MAX_EPOCH", 20, "TRAIN.LR_SCHEDULER.TYPE", "cosine"]
    assert rate_warning(load_config("cifar10_im100,ce", keys)) == ""


@pytest.mark.slow
@pytest.mark.parametrize(("start", "warnings"), [(160, 1), (1, 0)])
def test_training_warns_about_a_late_deferral(
    tiny_cfg: TinyConfig, caplog: pytest.LogCaptureFixture, start: int, warnings: int
) -> None:
    with caplog.at_level(logging.WARNING):
        train(tiny_cfg(*DEFERRED, "TRAIN.TWO_STAGE.START_EPOCH", start, "TRAIN.MAX_EPOCH", 2))
    assert sum("changes nothing before the last epoch" in message for message in caplog.messages) == warnings


@pytest.mark.parametrize("method", ["finetune_linear", "finetune_adaptformer", "finetune_full"])
@pytest.mark.parametrize(
    ("overrides", "cause"),
    [
        ([], "CLASSIFIER.START is class_means"),
        (["CLASSIFIER.START", "random", "BACKBONE.FREEZE", True], "BACKBONE.FREEZE is True"),
    ],
)
def test_random_backbone_is_refused_where_trained_weights_are_needed(
    method: str, overrides: list[Any], cause: str
) -> None:
    with pytest.raises(UserError) as error:
        check_training(load_config(f"digits_lt,{method}", overrides), CPU)
    assert str(error.value) == (
        f"{cause}, but the backbone has random weights; set BACKBONE.PRETRAINED_TAG to a tag of timm (or default), or "
        "BACKBONE.PRETRAINED_MODEL to a weights file"
    )


@pytest.mark.parametrize(
    "start",
    [
        ["BACKBONE.PRETRAINED_TAG", "augreg_in21k"],
        ["BACKBONE.PRETRAINED_MODEL", "vit.pth"],
        ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", "first.pth"],
        ["RESUME_MODEL", "first.pth", "RESUME_MODE", "state_dict"],
        ["BACKBONE.FREEZE", False, "CLASSIFIER.START", "random"],
    ],
)
def test_frozen_backbone_with_weights_is_not_refused(start: list[Any]) -> None:
    check_start(load_config("digits_lt,finetune_linear", start))


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        (
            "digits_lt,ce",
            ["TEST", 0.2],
            r"TEST is 0\.2, but nothing is held out of data set 'digits_lt'; leave it at 0",
        ),
        ("digits_lt,ce", ["FOLDS", 5], r"FOLDS is 5, but nothing is held out of data set 'digits_lt'; leave it at 0,"),
        ("digits_lt,ce", ["GROUP", "patient"], r"GROUP is 'patient', but nothing is held out .*; leave it at 'group'"),
        ("own,ce", ["TEST", 0.2], r"TEST is 0\.2, but DATASET.TEST_JSON names the test images; set it to 0$"),
        ("own,ce", ["FOLDS", 3], r"FOLDS is 3, but DATASET.VALID_JSON names the validation images; set it to 0$"),
        ("own,ce", ["FOLDS", 2, "FOLD", 3], r"^fold 3 of 2 does not exist"),
        ("own,ce", ["FOLD", 2], r"^fold 2 of 0 does not exist"),
    ],
)
def test_images_that_would_not_be_held_out_are_refused(config: str, overrides: list[Any], message: str) -> None:
    keys = [f"DATASET.HOLD_OUT.{word}" if number % 2 == 0 else word for number, word in enumerate(overrides)]
    cfg = load_config(config, [*keys, "DATASET.ROOT", "photos" if "own" in config else "", *FILES])
    with pytest.raises(UserError, match=message):
        check_training(cfg, CPU)
