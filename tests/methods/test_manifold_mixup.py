import pytest
import torch
import torch.distributed as dist
from mixing_parts import Devices, batch, build, by_hand, check, fix_share
from torch.nn.parallel import DistributedDataParallel

from longtail.data import Batch
from longtail.errors import UserError
from longtail.methods import ManifoldMixup, stacked_views

KEY = "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION"
LOCATIONS = ["layer1", "layer2.0", "layer2", "pool", "fc"]
SHARE = 0.25


def run_mixed(location, partners, share):
    """An expert's forward, written out, which mixes row by row behind one stage."""

    def mixed(name, rows):
        if name != location:
            return rows
        return torch.stack([share * rows[i] + (1 - share) * rows[j] for i, j in enumerate(partners.tolist())])

    def run(expert, images):
        x = mixed("layer1", expert.backbone.layer1(images)).tanh()
        x = mixed("layer2.0", expert.backbone.layer2[0](x)).tanh()
        x = mixed("layer2", x).tanh()
        return mixed("fc", expert.head(mixed("pool", x.mean((2, 3)))))

    return run


def handles(network):
    return [
        hook
        for module in network.modules()
        for hook in (*module._forward_hooks, *module._forward_pre_hooks, *module._forward_pre_hooks_with_kwargs)
    ]


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("location", LOCATIONS)
def test_hidden_rows_are_mixed_as_by_hand_in_every_expert(location, views, monkeypatch):
    method, network, loss = build("manifold_mix_up", KEY, location)
    assert isinstance(method, ManifoldMixup)
    fix_share(method, monkeypatch, SHARE)
    images, first = stacked_views(batch(views))
    torch.manual_seed(2)
    step = method.training_step(batch(views))
    torch.manual_seed(2)
    partners = torch.randperm(len(first))
    second = first[partners]
    expected, logits = by_hand(network, loss, images, first, second, SHARE, run_mixed(location, partners, SHARE))
    check(step, network, expected, logits, first, second, SHARE)
    assert not handles(network)


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("location", ["layer1", "pool"])
def test_over_several_devices_rows_are_mixed_inside_their_chunk(location, number, monkeypatch):
    method, network, loss = build("manifold_mixup", KEY, location, wrap=lambda network: Devices(network, number))
    fix_share(method, monkeypatch, SHARE)
    images, first = stacked_views(batch())
    torch.manual_seed(4)
    step = method.training_step(batch())
    torch.manual_seed(4)
    chunks = torch.arange(len(first)).chunk(number)
    assert [len(chunk) for chunk in chunks] == {2: [4, 3], 3: [3, 3, 1]}[number]
    partners = torch.cat([chunk[torch.randperm(len(chunk))] for chunk in chunks])
    assert not torch.equal(partners, torch.arange(len(first)))
    second = first[partners]
    expected, logits = by_hand(network, loss, images, first, second, SHARE, run_mixed(location, partners, SHARE))
    check(step, network, expected, logits, first, second, SHARE)
    assert not handles(network)


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    method, network, _ = build("manifold_mixup", KEY, "layer2", wrap=DistributedDataParallel)
    torch.manual_seed(rank)
    whole = batch(size=6)
    own = slice(3 * rank, 3 * rank + 3)
    step = method.training_step(Batch(whole.images[:, own], whole.labels[own], whole.indices[own]))
    step.loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    torch.save((step.loss.detach(), gradients, handles(network)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_over_several_processes_each_mixes_its_own_rows(tmp_path):
    context = torch.multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0
    _, network, loss = build("manifold_mixup", KEY, "layer2")
    method = build("mixup")[0]
    losses = []
    for rank in range(2):
        whole = batch(size=6)
        images, first = whole.images[0, 3 * rank : 3 * rank + 3], whole.labels[3 * rank : 3 * rank + 3]
        torch.manual_seed(rank)
        share = float(method.draw_share(torch.device("cpu")))
        partners = torch.randperm(3)
        run = run_mixed("layer2", partners, share)
        losses.append(by_hand(network, loss, images, first, first[partners], share, run)[0])
    (sum(losses) / 2).backward()
    for rank in range(2):
        told, gradients, left = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(told, losses[rank].detach())
        assert not left
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad)


def test_a_whole_share_is_plain_training_to_the_bit(monkeypatch):
    plain, network, _ = build("plain")
    method, other, _ = build("manifold_mixup", KEY, "layer1")
    fix_share(method, monkeypatch, 1.0)
    steps = [plain.training_step(batch()), method.training_step(batch())]
    for step in steps:
        step.loss.backward()
    assert torch.equal(steps[0].loss, steps[1].loss) and torch.equal(steps[0].logits, steps[1].logits)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad) if one.grad is not None else two.grad is None


def test_before_and_behind_a_linear_head_is_the_same():
    losses = []
    for location in ("pool", "fc"):
        method, _, _ = build("manifold_mixup", KEY, location)
        torch.manual_seed(1)
        losses.append(method.training_step(batch()).loss)
    torch.testing.assert_close(*losses)


def test_behind_a_linear_first_layer_is_mixup_of_the_images():
    losses = []
    for name, *overrides in (("mixup",), ("manifold_mixup", KEY, "layer1")):
        method, _, _ = build(name, *overrides)
        torch.manual_seed(1)
        losses.append(method.training_step(batch()).loss)
    torch.testing.assert_close(*losses)


def test_half_precision_stays_half_precision_behind_the_module():
    method, network, _ = build("manifold_mixup", KEY, "layer2.0")
    seen = []
    for expert in network.experts:
        expert.backbone.layer2[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        method.training_step(batch())
    assert seen == [torch.bfloat16] * 2


def test_outside_of_a_step_the_network_is_as_ever():
    method, network, _ = build("manifold_mixup", KEY, "layer1")
    before = network(batch().images[0])
    method.training_step(batch())
    assert torch.equal(network(batch().images[0]).logits, before.logits)
    assert method.state_dict() == {} and list(method.parameters()) == []
    with pytest.raises(TypeError, match="share"):
        network(batch().images[0], share=torch.ones(7))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("layer3", r"^{} is 'layer3', which the backbone does not have; there is: pool, fc, layer1, layer2, shared, "
         r"never, pair, folded, and the modules inside these by their dotted names; did you mean layer2\?$"),
        ("layer2.7", r"^{} is 'layer2.7', which the backbone does not have"),
        ("", r"^{} is '', which the backbone does not have"),
    ],
)  # fmt: skip
def test_modules_that_are_not_there_are_refused_before_training(location, message):
    with pytest.raises(UserError, match=message.format(KEY)):
        build("manifold_mixup", KEY, location)


@pytest.mark.parametrize("location", ["pool", "fc", "layer3", "layer2.4"])
def test_the_backbone_of_cifar_has_the_released_places(location):
    build("manifold_mixup", KEY, location, "BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"])


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("shared", "the network calls more than once"),
        ("never", "the network never calls"),
        ("pair", "does not put out one tensor with a row per image"),
        ("folded", "does not put out one tensor with a row per image"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda network: network, lambda network: Devices(network, 2)], ids=["one", "two"])
def test_modules_behind_which_nothing_can_be_mixed_are_told_in_the_first_step(location, message, wrap):
    method, network, _ = build("manifold_mixup", KEY, location, wrap=wrap)
    for _ in range(2):
        with pytest.raises(UserError) as error:
            method.training_step(batch())
        assert str(error.value) == f"{KEY} is '{location}', which {message}; name another module"
        assert not handles(network)
    assert network(batch().images[0]).logits.shape == (2, 7, 4)


def test_another_error_goes_before(monkeypatch):
    method, network, _ = build("manifold_mixup", KEY, "layer2")
    monkeypatch.setattr(network.experts[1].head, "forward", lambda features: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        method.training_step(batch())
    assert not handles(network)
