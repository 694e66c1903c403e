"""Common parts of NestedLoss and NestedPlusLoss: ramp of the distillation, prior, settings, limits."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import HardClassSettings, NestedLoss, NestedPlusLoss, Prediction, build_loss
from longtail.losses.nested import HardClassLoss
from tests.helpers.losses import nested_loss

COUNTS = [50, 30, 12, 7, 3, 2]
Make = Callable[..., HardClassLoss]
DISTILLED = {"nbod", "hard_nbod", "intra", "inter"}


def ncl(number: int = 3, **settings: Any) -> HardClassLoss:
    return nested_loss(NestedLoss, COUNTS, number, **settings)


def ncl_plus(number: int = 3, **settings: Any) -> HardClassLoss:
    return nested_loss(NestedPlusLoss, COUNTS, number, views=2, **settings)


both = pytest.mark.parametrize("make", [ncl, ncl_plus], ids=["ncl", "ncl_plus"])


def draw() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, 8, len(COUNTS), generator=random), torch.randint(6, (4,), generator=random).repeat(2)


@both
def test_ramp_grows_the_distillation_alone(make: Make) -> None:
    full, ramped = make().terms(Prediction(*draw())), make(ramp=4)
    for epoch, factor in ((1, 0.0), (2, 0.25), (4, 0.75), (5, 1.0), (9, 1.0), (3, 0.5)):
        ramped.set_epoch(epoch)
        assert ramped.ramp_factor == factor
        for name, term in ramped.terms(Prediction(*draw())).items():
            torch.testing.assert_close(term, full[name] * (factor if name in DISTILLED else 1.0))


@both
def test_without_ramp_the_first_epoch_has_the_full_distillation(make: Make) -> None:
    loss = make()
    before = loss(*draw())
    loss.set_epoch(1)
    assert torch.equal(loss(*draw()), before)


@both
@pytest.mark.parametrize("mode", ["exclude", "zero"])
def test_prior_matters_in_mode_zero_only(make: Make, mode: str) -> None:
    counts, frequencies = (
        make(mode=mode, prior=prior).terms(Prediction(*draw())) for prior in ("counts", "frequencies")
    )
    torch.testing.assert_close(counts["ce"], frequencies["ce"])
    assert torch.allclose(counts["hard_ce"], frequencies["hard_ce"]) == (mode == "exclude")


@both
@pytest.mark.parametrize("mode", ["exclude", "zero"])
def test_number_of_hard_classes_is_at_most_that_of_classes(make: Make, mode: str) -> None:
    make(6, mode=mode)
    with pytest.raises(UserError, match=r"^LOSS.HCM_N is 7; it must be at most the number of classes, 6$"):
        make(7, mode=mode)


@both
def test_unknown_mode_is_refused(make: Make) -> None:
    with pytest.raises(UserError, match=r"^LOSS.HCM_MODE is 'skip'; allowed: 'zero', 'exclude'$"):
        make(mode="skip")


def test_hard_class_settings_from_config() -> None:
    keys = {
        "LOSS.HCM_N": 2,
        "LOSS.HCM_MODE": "exclude",
        "LOSS.CE_RATIO": 0.3,
        "LOSS.HCM_RATIO": 0.4,
        "LOSS.HCM_PER_EXPERT": "True",
        "LOSS.HCM_PRIOR": "frequencies",
        "LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS": 10,
    }
    cfg = load_config(None, [part for pair in keys.items() for part in pair])
    expected = HardClassSettings(2, "exclude", 0.3, 0.4, per_expert=True, prior="frequencies", ramp=10)
    assert HardClassSettings.from_config(cfg) == expected


def test_hard_class_settings_default_to_the_release() -> None:
    settings = HardClassSettings.from_config(load_config())
    assert (settings.mode, settings.per_expert, settings.prior, settings.ramp) == ("zero", False, "counts", 0)


def test_build_nested_loss_from_config() -> None:
    section = "LOSS.MULTI_CLASIIFIER_LOSS"
    keys = ["LOSS.LOSS_TYPE", "NIL_NBOD", f"{section}.DIVERSITY_FACTOR", 0.2, f"{section}.DIVERSITY_FACTOR_HCM", 0.3]
    loss = build_loss(load_config(None, [*keys, "LOSS.HCM_PRIOR", "frequencies"]), COUNTS)
    assert isinstance(loss, NestedLoss) and loss.nested
    assert (loss.distillation_factor, loss.hard_distillation_factor) == (0.2, 0.3)
    torch.testing.assert_close(loss.prior.exp().sum(), torch.tensor(1.0))


def test_load_config_refuses_unknown_prior() -> None:
    with pytest.raises(UserError, match=r"^LOSS.HCM_PRIOR is 'shares'; allowed: 'counts', 'frequencies'$"):
        load_config(None, ["LOSS.HCM_PRIOR", "shares"])
