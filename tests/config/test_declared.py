"""The default config, access to keys, and the checks of values."""

from typing import Any

import pytest

from longtail.config import KEYS, flatten, load_config, value_of
from longtail.config.declared import check_values, defaults
from longtail.errors import UserError


def test_defaults_hold_every_key_and_pass_the_checks() -> None:
    cfg = defaults()
    assert dict(flatten(cfg)) == {name: key.default for name, key in KEYS.items()}
    check_values(cfg)


def test_defaults_do_not_share_lists() -> None:
    first = defaults()
    first.TRAIN.LR_SCHEDULER.LR_STEP.append(99)
    assert defaults().TRAIN.LR_SCHEDULER.LR_STEP == [40, 50]


def test_value_of_and_flatten_use_dotted_keys() -> None:
    cfg = load_config(None, ["TRAIN.OPTIMIZER.BASE_LR", 0.5])
    assert value_of(cfg, "TRAIN.OPTIMIZER.BASE_LR") == 0.5
    assert value_of(cfg, "TRAIN.OPTIMIZER") is cfg.TRAIN.OPTIMIZER
    assert dict(flatten(cfg.TRAIN.OPTIMIZER, "x."))["x.BASE_LR"] == 0.5


REFUSED = [
    (["TRAIN.OPTIMIZER.MOMENTUM", 1.5], "TRAIN.OPTIMIZER.MOMENTUM is 1.5; it must be between 0 and 1"),
    (["TRAIN.BATCH_SIZE", 0], "TRAIN.BATCH_SIZE is 0; it must be between 1 and 1048576"),
    (["LOSS.HCM_N", -1], "LOSS.HCM_N is -1; it must be at least 0"),
    (["LOSS.HCM_N", 10**10], "LOSS.HCM_N is 10000000000; it must be between 0 and 1000000000"),
    (["LOSS.CE_RATIO", float("nan")], "LOSS.CE_RATIO is nan; it must be between 0 and 1000000"),
    (["VALID_STEP", 0], "VALID_STEP is 0; it must be at least 1, or -1 for never"),
    (["SAVE_STEP", -2], "SAVE_STEP is -2; it must be at least 1, or -1 for never"),
    (["CLASSIFIER.COS_SCALE", 0], "CLASSIFIER.COS_SCALE is 0.0; it must be greater than 0 and at most 10000"),
    (
        ["LOSS.InfluenceBalancedLoss.ALPHA", -1],
        "LOSS.InfluenceBalancedLoss.ALPHA is -1.0; it must be greater than 0",
    ),
    (
        ["DATASET.IMBALANCECIFAR.RATIO", 100],
        "DATASET.IMBALANCECIFAR.RATIO is 100.0; it must be greater than 0 and at most 1",
    ),
    (["TEST.MANY_SHOT", 20], "TEST.MANY_SHOT is 20; it must be above TEST.FEW_SHOT (20)"),
    (["TRAIN.LR_SCHEDULER.LR_STEP", [180, 160]], "LR_STEP is [180, 160]; its values must be in ascending order"),
    (["TRAIN.LR_SCHEDULER.LR_STEP", [160, 160]], "LR_STEP is [160, 160]; an epoch is listed twice"),
    (["TRAIN.LR_SCHEDULER.LR_STEP", [1.5]], "LR_STEP is [1.5]; it must be a list of whole numbers"),
    (["TRAIN.LR_SCHEDULER.LR_STEP", [True]], "LR_STEP is [True]; it must be a list of whole numbers"),
    (["TRAIN.LR_SCHEDULER.LR_STEP", ["a", 1]], "LR_STEP is ['a', 1]; it must be a list of whole numbers"),
    (["TEST.MODEL_FILE", "x" * 300], "a name in a path has 300 bytes, at most 255"),
    (["INPUT_SIZE", (32,)], "INPUT_SIZE is (32,); it must have 2 values"),
    (["INPUT_SIZE", (32, 0)], "INPUT_SIZE is (32, 0); both sizes must be 0, or none"),
    (["INPUT_SIZE", ("a", "b")], "INPUT_SIZE is ('a', 'b'); it must be a list of whole numbers"),
    (
        ["TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP.RATIO", (2.0, 1.0)],
        "RATIO is (2.0, 1.0); its values must be in ascending order",
    ),
    (["NAME", "a\0b"], r"NAME is 'a\x00b'; it must not hold control characters"),
    (["NAME", "a\x1b[31m"], "it must not hold control characters"),
    (["DATASET.VIEWS", ["crop\n"]], "it must not hold control characters"),
    (["NAME", ""], "NAME is ''; it must be a name, or names joined by '/', inside OUTPUT_DIR"),
    (["NAME", "../other"], "NAME is '../other'; it must be a name, or names joined by '/'"),
    (["NAME", "/other"], "it must be a name, or names joined by '/'"),
    (["NAME", "~/other"], "it must be a name, or names joined by '/'"),
    (["NAME", "n" * 256], "a name in a path has 256 bytes, at most 255"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_check_values_refuses_in_one_line(overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["NAME", "project/experiment"],
        ["TRAIN.LR_SCHEDULER.LR_STEP", []],
        ["TRAIN.LR_SCHEDULER.LR_STEP", [5, 7]],
        ["VALID_STEP", -1],
        ["TEST.MANY_SHOT", 21],
    ],
)
def test_check_values_accepts(overrides: list[Any]) -> None:
    key, value = overrides
    assert value_of(load_config(None, overrides), key) == value
