import pytest
import torch
from mixing_parts import COUNTS, batch, build, by_hand, check, fix_share

from longtail.errors import UserError
from longtail.losses import LOSSES
from longtail.methods import Mixup, stacked_views
from longtail.methods.mixing import draw_partners

SHARE = 0.3
SINGLE = [name for name in LOSSES if name not in ("NIL_NBOD", "NIL_NBOD_plus", "InfluenceBalancedLoss", "DiVEKLD")]


def draws(seed, rows):
    """The share and the partners that a method draws first and second."""
    torch.manual_seed(seed)
    one = torch.tensor(1.0, dtype=torch.float64)
    return float(torch.distributions.Beta(one, one).sample().float()), torch.randperm(rows)


def mixed(images, partners, share):
    return torch.stack(
        [share * images[i] + (1 - share) * images[j] for i, j in enumerate(partners.tolist())]
    )  # one by one


@pytest.mark.parametrize("name", ["mixup", "mix_up"])
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("experts", [1, 2])
def test_images_and_losses_are_mixed_as_by_hand(name, views, experts):
    method, network, loss = build(name, experts=experts)
    assert type(method) is Mixup
    images, first = stacked_views(batch(views))
    share, partners = draws(3, len(first))
    torch.manual_seed(3)
    step = method.training_step(batch(views))
    second = first[partners]
    expected, logits = by_hand(network, loss, mixed(images, partners, share), first, second, share)
    check(step, network, expected, logits, first, second, share)


@pytest.mark.parametrize("name", SINGLE)
def test_any_loss_of_one_expert_can_be_mixed(name, monkeypatch):
    options = ["LOSS.SEQL.GAMMA", 1.0, "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 3]
    method, network, loss = build("mixup", "LOSS.LOSS_TYPE", name, *options)
    fix_share(method, monkeypatch, SHARE)
    values = []
    for epoch in (1, 4):  # before and after the deferral
        method.set_epoch(epoch)
        torch.manual_seed(5)
        step = method.training_step(batch())
        images, first = stacked_views(batch())
        torch.manual_seed(5)
        partners = torch.randperm(len(first))
        values.append(by_hand(network, loss, mixed(images, partners, SHARE), first, first[partners], SHARE)[0])
        torch.testing.assert_close(step.loss, values[-1])
    switches = name not in ("CrossEntropy", "CrossEntropyLabelSmooth", "CrossEntropyLabelAwareSmooth", "SEQL")
    assert (values[0] != values[1]) == switches


def test_a_whole_share_is_plain_training_to_the_bit(monkeypatch):
    plain, network, _ = build("plain")
    method, other, _ = build("mixup")
    fix_share(method, monkeypatch, 1.0)
    steps = [plain.training_step(batch()), method.training_step(batch())]
    for step in steps:
        step.loss.backward()
    assert torch.equal(steps[0].loss, steps[1].loss) and torch.equal(steps[0].logits, steps[1].logits)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad) if one.grad is not None else two.grad is None


def test_no_share_is_plain_training_on_the_partners(monkeypatch):
    method, _, _ = build("mixup")
    fix_share(method, monkeypatch, 0.0)
    plain, _, _ = build("plain")
    torch.testing.assert_close(method.training_step(batch()).loss, plain.training_step(batch()).loss)


def test_one_seed_gives_one_step_and_another_seed_another():
    method, _, _ = build("mixup")
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(float(method.training_step(batch()).loss.detach()))
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_drawn_from_the_beta_distribution(alpha):
    method, _, _ = build("mixup", "TRAIN.COMBINER.ALPHA", alpha)
    torch.manual_seed(0)
    shares = torch.stack([method.draw_share(torch.device("cpu")) for _ in range(4000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 4 * (variance / 4000) ** 0.5
    assert float(shares.var()) == pytest.approx(variance, rel=0.08)
    assert shares.dtype == torch.float32


def test_every_partner_is_as_likely_as_another():
    torch.manual_seed(0)
    table = torch.zeros(4, 4)
    for _ in range(2000):
        table[torch.arange(4), draw_partners(torch.arange(4))] += 1
    assert float(((table - 500) ** 2 / 500).sum()) < 27.9  # chi-square, 9 degrees of freedom, 1 in 1000


def test_the_layout_of_the_images_is_kept(monkeypatch):
    method, network, _ = build("mixup")
    one = batch()
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.training_step(one._replace(images=one.images[0].to(memory_format=torch.channels_last)[None]))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_nothing_of_it_is_kept_between_steps():
    method, network, _ = build("mixup")
    assert method.state_dict() == {} and list(method.parameters()) == []
    assert set(build("plain")[1].state_dict()) == set(network.state_dict())


@pytest.mark.parametrize("name", ["mixup", "manifold_mix_up", "remix", "bbn_mix"])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("NIL_NBOD", "compares experts; TRAIN.COMBINER.TYPE must be nested (multi_network_default), not {}"),
        ("DiVEKLD", "needs a teacher; TRAIN.COMBINER.TYPE must be distillation (dive), not {}"),
        ("InfluenceBalancedLoss", "needs the features of single images; TRAIN.COMBINER.TYPE must be plain (default), "
         "not {}"),
    ],
)  # fmt: skip
def test_losses_that_need_more_than_logits_are_refused(name, loss, message):
    with pytest.raises(UserError) as error:
        build(name, "LOSS.LOSS_TYPE", loss, "LOSS.HCM_N", 2, "TRAIN.SAMPLER.TYPE", "bbn sampler")
    assert str(error.value) == f"LOSS.LOSS_TYPE {loss} {message.format(name)}"


def test_the_loss_tells_the_sizes_of_the_classes():
    assert build("mixup")[2].class_counts == COUNTS
