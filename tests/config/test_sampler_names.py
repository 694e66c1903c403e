import pytest

from longtail.config import Sampling, load_config, sampling
from longtail.errors import UserError

TYPE = "TRAIN.SAMPLER.TYPE"
WEIGHTING = "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE"
EXPONENT = "TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT"
NCL = "TRAIN.SAMPLER.MULTI_NETWORK_TYPE"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], Sampling("default", "balance", 0.5)),
        ([TYPE, "weighted sampler", WEIGHTING, "square"], Sampling("weighted sampler", "square", 0.5)),
        ([TYPE, "weighted sampler", WEIGHTING, "square", EXPONENT, 0.3], Sampling("weighted sampler", "square", 0.3)),
        ([TYPE, "bbn sampler"], Sampling("bbn sampler", "balance", 0.5)),
        ([NCL, ["default", "weighted_square"]], Sampling("default", "balance", 0.5)),
        ([NCL, []], Sampling("default", "balance", 0.5)),
        ([NCL, ["weighted_balance"]], Sampling("weighted sampler", "balance", 0.5)),
        ([NCL, ["weighted_square", "default"]], Sampling("weighted sampler", "square", 0.25)),
        ([NCL, ["weighted_progressive"]], Sampling("weighted sampler", "progressive", 0.5)),
        ([NCL, ["weighted_square"], TYPE, "weighted sampler"], Sampling("weighted sampler", "square", 0.25)),
        ([NCL, ["weighted_square"], WEIGHTING, "square", EXPONENT, 0.25], Sampling("weighted sampler", "square", 0.25)),
    ],
)
def test_the_keys_of_both_releases_say_which_sampler(overrides, expected):
    assert sampling(load_config(None, overrides)) == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [NCL, ["weighted_squares"]],
            r"MULTI_NETWORK_TYPE is \['weighted_squares'\]; .* one of default, .*; did you mean weighted_square\?$",
        ),
        ([NCL, ["weighted_square"], TYPE, "bbn sampler"], r"TYPE is 'bbn sampler' .* only one of them can choose"),
        ([NCL, ["weighted_square"], WEIGHTING, "progressive"], r"TYPE 'progressive'; only one of them can choose"),
        ([NCL, ["weighted_square"], EXPONENT, 0.3], r"EXPONENT is 0\.3; set TRAIN\.SAMPLER\.TYPE instead$"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(overrides, message):
    with pytest.raises(UserError, match=message) as error:
        sampling(load_config(None, overrides))
    assert "\n" not in str(error.value)
