from typing import Any

import pytest
from long_tailed_sets import CONFIGS, REVERSE, long_tailed

from longtail.config import load_config
from longtail.data import build_sampler


@pytest.mark.parametrize(
    ("overrides", "description"),
    [
        ((), "every image once per epoch"),
        (CONFIGS["NCL square"], "p_c ~ n_c^0.25"),
        (CONFIGS["balance"], "class-balanced"),
        (
            (*CONFIGS["progressive"], "TRAIN.TWO_STAGE.DRS", True, "TRAIN.TWO_STAGE.START_EPOCH", 4),
            "every image once per epoch, after epoch 4 from p_c ~ n_c to class-balanced over 10 epochs",
        ),
        (REVERSE, "every image once per epoch; partners: p_c ~ n_c^-1"),
    ],
)
def test_sampler_description(overrides: Any, description: Any) -> None:
    cfg = load_config(None, ["TRAIN.MAX_EPOCH", 10, *overrides])
    assert str(build_sampler(cfg, long_tailed())) == description
