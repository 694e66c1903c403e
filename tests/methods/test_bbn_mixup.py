import pytest
import torch
from mixing_parts import batch, build, by_hand, check, fix_share

from longtail.config import load_config
from longtail.errors import UserError
from longtail.methods import BBNMixup
from longtail.methods.bbn_mixup import check_partner

SAMPLER = ["TRAIN.SAMPLER.TYPE", "bbn sampler"]


def paired(views=1):
    one, other = batch(views), batch(views, seed=2)
    return one._replace(partner=other._replace(labels=other.labels.flip(0)))


@pytest.mark.parametrize("name", ["bbn_mixup", "bbn_mix"])
@pytest.mark.parametrize("views", [1, 2])
def test_each_image_is_mixed_with_its_partner_as_by_hand(name, views):
    method, network, loss = build(name, *SAMPLER)
    assert isinstance(method, BBNMixup)
    torch.manual_seed(3)
    share = float(method.draw_share(torch.device("cpu")))
    torch.manual_seed(3)
    pair = paired(views)
    step = method.training_step(pair)
    images, first, second = [], [], []
    for view in range(views):
        for row in range(len(pair.labels)):
            images.append(share * pair.images[view, row] + (1 - share) * pair.partner.images[view, row])
            first.append(pair.labels[row])
            second.append(pair.partner.labels[row])
    first, second = torch.stack(first), torch.stack(second)
    expected, logits = by_hand(network, loss, torch.stack(images), first, second, share)
    check(step, network, expected, logits, first, second, share)


@pytest.mark.parametrize(
    ("share", "alone"), [(1.0, lambda pair: pair._replace(partner=None)), (0.0, lambda pair: pair.partner)]
)
def test_at_the_ends_it_is_plain_training_on_one_of_the_two(share, alone, monkeypatch):
    method, _, _ = build("bbn_mixup", *SAMPLER)
    fix_share(method, monkeypatch, share)
    plain, _, _ = build("plain")
    assert torch.equal(method.training_step(paired()).loss, plain.training_step(alone(paired())).loss)


def test_without_a_partner_it_is_refused():
    method, _, _ = build("bbn_mixup", *SAMPLER)
    with pytest.raises(UserError, match=r"^bbn_mixup got a batch without a partner; .*'bbn sampler' draws one$"):
        method.training_step(batch())


def test_without_the_sampler_it_is_refused_before_training():
    message = r"^TRAIN.SAMPLER.TYPE is 'default'; TRAIN.COMBINER.TYPE bbn_mix needs 'bbn sampler', which draws"
    with pytest.raises(UserError, match=message):
        build("bbn_mix")
    with pytest.raises(UserError, match=message):
        check_partner(load_config(None, ["TRAIN.COMBINER.TYPE", "bbn_mix"]))
    check_partner(load_config(None, ["TRAIN.COMBINER.TYPE", "bbn_mix", *SAMPLER]))
    check_partner(load_config())
