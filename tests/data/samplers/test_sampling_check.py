from typing import Any

import pytest
from long_tailed_sets import CONFIGS, REVERSE

from longtail.config import load_config
from longtail.data.samplers import check_sampling
from longtail.errors import UserError

DRS = ("TRAIN.TWO_STAGE.DRS", True)


@pytest.mark.parametrize("method", ["default", "mix_up", "multi_network_default"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("deferral", [(), DRS])
def test_check_sampling_weighted_samplers(method: Any, name: Any, deferral: Any) -> None:
    check_sampling(load_config(None, ["TRAIN.COMBINER.TYPE", method, *CONFIGS[name], *deferral]))


@pytest.mark.parametrize("method", ["default", "plain", "bbn_mix", "bbn_mixup"])
def test_check_sampling_bbn_sampler(method: Any) -> None:
    check_sampling(load_config(None, ["TRAIN.COMBINER.TYPE", method, *REVERSE]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (DRS, r"^TRAIN.TWO_STAGE.DRS is True and TRAIN.SAMPLER.TYPE is 'default'; only 'weighted sampler' can be"),
        ((*REVERSE, *DRS), r"DRS is True and TRAIN.SAMPLER.TYPE is 'bbn sampler'; only 'weighted sampler'"),
        (
            ("TRAIN.SAMPLER.TYPE", "weighted"),
            r"^unknown sampler 'weighted'; available: bbn sampler, class-aware sampler, default, repeat-factor sampler",
        ),
        (
            ("TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE", "squared"),
            r"^unknown weighted sampler 'squared'; available: balance, effective, progressive, square; did you mean",
        ),
    ],
)
def test_check_sampling_invalid(overrides: Any, message: Any) -> None:
    with pytest.raises(UserError, match=message):
        check_sampling(load_config(None, overrides))
