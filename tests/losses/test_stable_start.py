"""The options that soften the first epochs of nested losses: a growing distillation, another prior."""

import pytest
import torch
from loss_parts import nested_loss

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import NestedLoss, NestedPlusLoss, Prediction, build_loss

COUNTS = [50, 30, 12, 7, 3, 2]
LOSSES = [
    lambda **settings: nested_loss(NestedLoss, COUNTS, 3, **settings),
    lambda **settings: nested_loss(NestedPlusLoss, COUNTS, 3, views=2, **settings),
]
DISTILLED = {"nbod", "hard_nbod", "intra", "inter"}


def draw():
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, 8, len(COUNTS), generator=random), torch.randint(6, (4,), generator=random).repeat(2)


@pytest.mark.parametrize("make", LOSSES, ids=["ncl", "ncl++"])
def test_the_distillation_grows_and_the_rest_does_not(make):
    full, ramped = make().terms(Prediction(*draw())), make(ramp=4)
    for epoch, share in ((1, 0.0), (2, 0.25), (4, 0.75), (5, 1.0), (9, 1.0), (3, 0.5)):
        ramped.set_epoch(epoch)
        for name, term in ramped.terms(Prediction(*draw())).items():
            torch.testing.assert_close(term, full[name] * (share if name in DISTILLED else 1.0))


@pytest.mark.parametrize("make", LOSSES, ids=["ncl", "ncl++"])
def test_without_a_ramp_it_is_whole_in_the_first_epoch(make):
    loss = make()
    before = loss(*draw())
    loss.set_epoch(1)
    assert torch.equal(loss(*draw()), before)


@pytest.mark.parametrize("make", LOSSES, ids=["ncl", "ncl++"])
def test_the_prior_matters_where_classes_keep_a_logit_of_zero_only(make):
    for mode in ("exclude", "zero"):
        counts, shares = (
            make(mode=mode, prior=prior).terms(Prediction(*draw())) for prior in ("counts", "frequencies")
        )
        torch.testing.assert_close(counts["ce"], shares["ce"])
        assert torch.allclose(counts["hard_ce"], shares["hard_ce"]) == (mode == "exclude")


def test_the_tree_sets_them():
    ramp = "LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS"
    loss = build_loss(
        load_config(None, ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_PRIOR", "frequencies", ramp, 10]), COUNTS
    )
    loss.set_epoch(6)
    assert loss.ramp_factor == 0.5
    torch.testing.assert_close(loss.prior.exp().sum(), torch.tensor(1.0))
    with pytest.raises(UserError, match=r"^LOSS.HCM_PRIOR is 'shares'; allowed: 'counts', 'frequencies'$"):
        load_config(None, ["LOSS.HCM_PRIOR", "shares"])
