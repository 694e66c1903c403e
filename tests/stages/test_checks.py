"""Checks of a config that need no data."""

import logging
from typing import Any

import pytest

from longtail.config import load_config
from longtail.errors import UserError
from longtail.stages.checks import check_start, check_training, late_deferral
from tests.helpers.training import CPU, TinyConfig, train

TEST_FILE = ["DATASET.TEST_JSON", "test.json"]
DEFERRED: list[Any] = ["TRAIN.TWO_STAGE.DRW", True, "LOSS.LOSS_TYPE", "CostSensitiveCE"]


@pytest.mark.parametrize("way", ["DRW", "DRS"])
def test_late_deferral_names_both_keys_and_what_fits(way: str) -> None:
    cfg = load_config(None, [f"TRAIN.TWO_STAGE.{way}", True, "TRAIN.TWO_STAGE.START_EPOCH", 160])
    message = late_deferral(cfg)
    assert message.startswith(f"TRAIN.TWO_STAGE.{way} True changes nothing before the last epoch")
    assert "TRAIN.TWO_STAGE.START_EPOCH is 160 and TRAIN.MAX_EPOCH 60; START_EPOCH 0 is 80 %" in message


@pytest.mark.parametrize(
    "overrides",
    [
        ["TRAIN.TWO_STAGE.START_EPOCH", 160],
        ["TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 59],
        ["TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 0, "TRAIN.MAX_EPOCH", 2],
    ],
)
def test_late_deferral_is_empty_for_others(overrides: list[Any]) -> None:
    assert late_deferral(load_config(None, overrides)) == ""


@pytest.mark.slow
@pytest.mark.parametrize(("start", "warnings"), [(160, 1), (1, 0)])
def test_training_warns_about_a_late_deferral(
    tiny_cfg: TinyConfig, caplog: pytest.LogCaptureFixture, start: int, warnings: int
) -> None:
    with caplog.at_level(logging.WARNING):
        train(tiny_cfg(*DEFERRED, "TRAIN.TWO_STAGE.START_EPOCH", start, "TRAIN.MAX_EPOCH", 2))
    assert sum("changes nothing before the last epoch" in message for message in caplog.messages) == warnings


@pytest.mark.parametrize("method", ["finetune_linear", "finetune_adaptformer"])
def test_frozen_backbone_with_random_weights_is_refused(method: str) -> None:
    cfg = load_config(f"digits_lt,{method}")
    with pytest.raises(
        UserError, match=r"^BACKBONE\.FREEZE is True, but .*\.PRETRAINED_TAG .*\.PRETRAINED_MODEL"
    ) as error:
        check_training(cfg, CPU)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "start",
    [
        ["BACKBONE.PRETRAINED_TAG", "augreg_in21k"],
        ["BACKBONE.PRETRAINED_MODEL", "vit.pth"],
        ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", "first.pth"],
        ["RESUME_MODEL", "first.pth", "RESUME_MODE", "state_dict"],
        ["BACKBONE.FREEZE", False],
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
        ("own,ce", ["FOLDS", 2, "FOLD", 3], r"^fold 3 of 2 does not exist"),
        ("own,ce", ["FOLD", 2], r"^fold 2 of 0 does not exist"),
    ],
)
def test_images_that_would_not_be_held_out_are_refused(config: str, overrides: list[Any], message: str) -> None:
    keys = [f"DATASET.HOLD_OUT.{word}" if number % 2 == 0 else word for number, word in enumerate(overrides)]
    cfg = load_config(config, [*keys, "DATASET.ROOT", "photos" if "own" in config else "", *TEST_FILE])
    with pytest.raises(UserError, match=message):
        check_training(cfg, CPU)
