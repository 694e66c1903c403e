"""BBN-style mixup with the reverse sampler's batch."""

from collections.abc import Callable

import pytest
import torch

from longtail.config import load_config
from longtail.data import Batch
from longtail.errors import UserError
from longtail.methods import BBNMixup, method_entry, stacked_views
from tests.helpers.mixing import batch, build, check_mixed, fix_lam, mixed_by_hand

SAMPLER = ["TRAIN.SAMPLER.TYPE", "bbn sampler"]


def partner(views: int = 1) -> Batch:
    other = batch(views, seed=2)
    return other._replace(labels=other.labels.flip(0))


def paired(views: int = 1) -> Batch:
    return batch(views)._replace(partner=partner(views))


@pytest.mark.parametrize("name", ["bbn_mixup", "bbn_mix"])
@pytest.mark.parametrize("views", [1, 2])
def test_bbn_mixup_matches_loop(name: str, views: int) -> None:
    method, network, loss = build(name, *SAMPLER)
    assert isinstance(method, BBNMixup)
    torch.manual_seed(3)
    lam = float(method.draw_lam(torch.zeros(3)))
    torch.manual_seed(3)
    own, other = batch(views), partner(views)
    step = method.training_step(own._replace(partner=other))
    images = torch.stack(
        [
            lam * own.images[view, row] + (1 - lam) * other.images[view, row]
            for view in range(views)
            for row in range(len(own.labels))
        ]
    )
    (_, first), (_, second) = stacked_views(own), stacked_views(other)
    by_hand = mixed_by_hand(network, loss, images=images, first=first, second=second, lam=lam)
    check_mixed(step, network, by_hand, first=first, second=second, lam=lam)


@pytest.mark.parametrize(("lam", "alone"), [(1.0, batch), (0.0, partner)])
def test_bbn_mixup_with_lam_0_or_1_is_supervised_training_on_one_batch(
    lam: float, alone: Callable[[], Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _, _ = build("bbn_mixup", *SAMPLER)
    fix_lam(method, monkeypatch, lam)
    plain, _, _ = build("supervised")
    assert torch.equal(method.training_step(paired()).loss, plain.training_step(alone()).loss)


def test_bbn_mixup_refuses_a_batch_without_partner() -> None:
    method, _, _ = build("bbn_mixup", *SAMPLER)
    with pytest.raises(UserError, match=r"^bbn_mixup got a batch without a partner; .*'bbn sampler' draws one$"):
        method.training_step(batch())


def test_bbn_mixup_check_refuses_other_samplers() -> None:
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", "bbn_mix"])
    message = r"^TRAIN.SAMPLER.TYPE is 'default'; TRAIN.COMBINER.TYPE bbn_mixup needs 'bbn sampler', which draws"
    with pytest.raises(UserError, match=message):
        method_entry(cfg).check(cfg)
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", "bbn_mix", *SAMPLER])
    method_entry(cfg).check(cfg)
