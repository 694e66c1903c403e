import pytest
from long_tailed_sets import REVERSE, TREES, long_tailed

from longtail.config import load_config
from longtail.data import build_sampler


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "every image once per epoch"),
        (TREES["NCL square"], "p_c ~ n_c^0.25"),
        (TREES["balance"], "class-balanced"),
        (
            (*TREES["progressive"], "TRAIN.TWO_STAGE.DRS", True, "TRAIN.TWO_STAGE.START_EPOCH", 4),
            "every image once per epoch, after epoch 4 from p_c ~ n_c to class-balanced over 10 epochs",
        ),
        (REVERSE, "every image once per epoch; partners: p_c ~ n_c^-1"),
    ],
)
def test_the_log_says_what_an_epoch_shows(overrides, said):
    cfg = load_config(None, ["TRAIN.MAX_EPOCH", 10, *overrides])
    assert str(build_sampler(cfg, long_tailed())) == said
