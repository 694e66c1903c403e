import pytest

from longtail.config import load_config
from longtail.config.defaults import defaults
from longtail.config.validation import CHOICES, POSITIVE, RANGES, value_of
from longtail.errors import UserError


def refusal(*overrides):
    with pytest.raises(UserError) as error:
        load_config(None, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("key", [*CHOICES, *RANGES, *POSITIVE])
def test_checked_keys_exist_and_their_defaults_pass(key):
    value_of(defaults(), key)
    load_config()


@pytest.mark.parametrize("key", CHOICES)
def test_every_choice_is_allowed_and_others_are_told_with_the_nearest(key):
    for choice in CHOICES[key]:
        assert value_of(load_config(None, [key, choice]), key) == choice
    choice = max(CHOICES[key], key=len)
    told = refusal(key, choice + "x")
    assert told.startswith(f"{key} is {choice + 'x'!r}; allowed: ")
    assert repr(choice) in told
    assert told.endswith(f"; did you mean {choice}?")


@pytest.mark.parametrize("key", RANGES)
def test_ranges_include_their_ends_and_nothing_beyond(key):
    low, high = RANGES[key]
    if low is not None:
        load_config(None, [key, low])
        assert f"{key} is {low - 1!r}; it must be " in refusal(key, low - 1).replace(".0;", ";")
    if high is not None:
        load_config(None, [key, high])
        assert f"{key} is " in refusal(key, high + 1)


@pytest.mark.parametrize("key", POSITIVE)
@pytest.mark.parametrize("value", [0, -0.1, float("nan")])
def test_rates_and_scales_are_positive(key, value):
    assert refusal(key, value).endswith("it must be greater than 0")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["TRAIN.OPTIMIZER.MOMENTUM", 1.5], "TRAIN.OPTIMIZER.MOMENTUM is 1.5; it must be between 0 and 1"),
        (["TRAIN.BATCH_SIZE", 0], "TRAIN.BATCH_SIZE is 0; it must be at least 1"),
        (["LOSS.CE_RATIO", float("nan")], "LOSS.CE_RATIO is nan; it must be at least 0"),
        (["VALID_STEP", 0], "VALID_STEP is 0; it must be at least 1, or -1 for never"),
        (["SAVE_STEP", -2], "SAVE_STEP is -2; it must be at least 1, or -1 for never"),
        (["DATASET.IMBALANCECIFAR.RATIO", 100], "DATASET.IMBALANCECIFAR.RATIO is 100.0; it must be at most 1"),
        (["TEST.MANY_SHOT", 20], "TEST.MANY_SHOT is 20; it must be above TEST.FEW_SHOT (20)"),
        (["TRAIN.LR_SCHEDULER.LR_STEP", [180, 160]], "LR_STEP is [180, 160]; it must be a list of epochs that rise"),
        (["TRAIN.LR_SCHEDULER.LR_STEP", [160, 160]], "it must be a list of epochs that rise"),
        (["TRAIN.LR_SCHEDULER.LR_STEP", [1.5]], "it must be a list of epochs that rise"),
        (["TRAIN.LR_SCHEDULER.LR_STEP", ["a", 1]], "it must be a list of epochs that rise"),
        (["INPUT_SIZE", (32,)], "INPUT_SIZE is (32,); it must be (height, width) in pixels"),
        (["INPUT_SIZE", (32, 0)], "it must be (height, width) in pixels"),
        (["INPUT_SIZE", ("a", "b")], "it must be (height, width) in pixels"),
        (["DATASET.VIEWS", [1]], "DATASET.VIEWS is [1]; it must be a list of names"),
        (["DATASET.VIEWS", [["crop"]]], "DATASET.VIEWS is [['crop']]; it must be a list of names"),
        (["BACKBONE.MULTI_NETWORK_TYPE", [32]], "BACKBONE.MULTI_NETWORK_TYPE is [32]; it must be a list of names"),
        (["TRANSFORMS.TRAIN_TRANSFORMS", (1,)], "TRANSFORMS.TRAIN_TRANSFORMS is (1,); it must be a list of names"),
        (["TRANSFORMS.TEST_TRANSFORMS", (1,)], "TRANSFORMS.TEST_TRANSFORMS is (1,); it must be a list of names"),
    ],
)
def test_values_that_no_run_could_use_are_refused(overrides, message):
    assert message in refusal(*overrides)
