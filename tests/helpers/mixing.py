"""What the tests of the methods that mix share: a small network in stages, batches, and the draws of a method."""

import threading

import torch
from longtail.engine.devices import _ParallelExperts
from torch import nn

from longtail.config import load_config
from longtail.data import Batch
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import BACKBONES, build_model
from longtail.models.backbones import Backbone

COUNTS = [90, 25, 6, 2]
LABELS = [0, 3, 1, 2, 0, 1, 3]


class Pair(nn.Module):
    def forward(self, rows):
        return rows, rows


class Staged(Backbone):
    """Two stages, and modules behind which nothing can be mixed."""

    def __init__(self):
        super().__init__()
        self.out_features = 6
        self.layer1 = nn.Conv2d(3, 4, 3, padding=1)
        self.layer2 = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.Tanh())
        self.shared = nn.Tanh()
        self.never = nn.Tanh()
        self.pair = Pair()
        self.folded = nn.Flatten(0, 1)

    def forward(self, images):
        x = self.shared(self.layer1(images))
        self.folded(x)
        return self.pair(self.shared(self.layer2(x)))[0]


BACKBONES.register("staged")(Staged)


def build(method, *overrides, experts=2, wrap=lambda network: network):
    """Return method, network and loss of four classes."""
    cfg = load_config(
        None, ["TRAIN.COMBINER.TYPE", method, "BACKBONE.MULTI_NETWORK_TYPE", ["staged"] * experts, *overrides]
    )
    torch.manual_seed(0)
    network = build_model(cfg, len(COUNTS))
    loss = build_loss(cfg, COUNTS)
    return build_method(cfg, wrap(network), loss), network, loss


def batch(views=1, size=7, seed=1):
    images = torch.randn(views, size, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Batch(images, torch.tensor(LABELS[:size]), torch.arange(size))


def by_hand(network, loss, images, first, second, share, run=lambda expert, images: expert(images)[0]):
    """Loss and logits (E, N, C): each mixture by itself through each expert, both labels weighed by the share."""
    logits = torch.stack([run(expert, images) for expert in network.experts])
    total = sum(share * loss(one, first) + (1 - share) * loss(one, second) for one in logits)
    return total, logits


def check(step, network, expected, logits, first, second, share):
    """Compare a step, and its gradients, with what was computed by hand."""
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(step.logits, logits)
    assert torch.equal(step.targets, first)
    assert torch.equal(step.mixed.targets, second)
    assert float(step.mixed.share) == share
    assert not step.logits.requires_grad and not any(part.requires_grad for part in step.parts.values())
    torch.testing.assert_close(sum(step.parts.values()), step.loss.detach())
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    mine, theirs = (torch.autograd.grad(value, parameters) for value in (step.loss, expected))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


def fix_share(method, monkeypatch, share):
    """Let the method draw this share; float32, as it does."""
    monkeypatch.setattr(method, "draw_share", lambda device: torch.tensor(share))


class Devices(_ParallelExperts):
    """DataParallel as torch does it, on CPUs: chunks, copies that share their hooks, one thread for each."""

    def __init__(self, network, number):
        super().__init__(network)
        self.device_ids = list(range(number))
        self.src_device_obj, self.output_device = torch.device("cpu"), "cpu"

    def scatter(self, inputs, kwargs, device_ids):
        chunks = [value.chunk(len(device_ids)) for value in (*inputs, *kwargs.values())]
        rows = list(zip(*chunks, strict=True))
        return [row[: len(inputs)] for row in rows], [
            dict(zip(kwargs, row[len(inputs) :], strict=True)) for row in rows
        ]

    def replicate(self, network, device_ids):
        copies = []
        for _ in device_ids:
            of = {module: module._replicate_for_data_parallel() for module in network.modules()}
            for module, twin in of.items():
                twin._parameters = module._parameters
                twin._modules = {name: of[child] for name, child in module._modules.items() if child is not None}
            copies.append(of[network])
        return copies

    def parallel_apply(self, replicas, inputs, kwargs):
        outputs, together = [None] * len(replicas), threading.Barrier(len(replicas))

        def work(number):
            together.wait()
            outputs[number] = replicas[number](*inputs[number], **kwargs[number])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(replicas))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outputs
