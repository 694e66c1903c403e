"""The baseline computes what the training computes, in another way."""

import pytest
import torch
from epoch import CLASSES, build_trainer, tree
from pictures import long_tailed_labels, smooth_images
from reference import SmallImages, reference_loader, reference_loss, reference_optimizer, reference_step

from longtail.data import Batch
from longtail.data.normalization import NORMALIZATIONS
from longtail.engine.assembly import build_network
from longtail.engine.meter import Meter
from longtail.losses import build_loss

SMALL = ["BACKBONE.MULTI_NETWORK_TYPE", ["res8_measured"] * 3]


@pytest.mark.parametrize("experts", [1, 2, 3])
def test_the_loss_of_the_baseline_is_that_of_the_training(experts):
    counts = [500, 100, 20, 9, 2, 2]
    logits = torch.randn(experts, 7, 6, generator=torch.Generator().manual_seed(1)) * 3
    targets = torch.tensor([0, 1, 2, 3, 4, 5, 0])
    ours = build_loss(tree("LOSS.HCM_N", 3), counts)(logits, targets)
    torch.testing.assert_close(reference_loss(list(logits), targets, counts, 3), ours)


def test_twenty_steps_of_both_have_the_same_losses():
    images, labels = smooth_images(64, 32, 32), long_tailed_labels(64)
    counts = torch.bincount(labels, minlength=CLASSES).tolist()
    trainer = build_trainer(tree(*SMALL, "TRAIN.BATCH_SIZE", 16), images, labels, torch.device("cpu"))
    trainer.network.train()
    network = build_network(tree(*SMALL, "TRAIN.CHANNELS_LAST", False), CLASSES).train()
    network.load_state_dict(trainer.network.state_dict())
    optimizer = reference_optimizer(network, 0.001)
    trainer.optimizer.param_groups[0]["lr"] = 0.001
    order = torch.Generator().manual_seed(0)
    for _ in range(20):
        chosen = torch.randperm(64, generator=order)[:16]
        batch = Batch(images[chosen][None], labels[chosen], chosen)
        trainer.meter = Meter()
        trainer._step(batch)
        ours = trainer.meter.means()["loss"]
        normalised = trainer.loaders.normalize(batch.images)[0]
        theirs, _ = reference_step(list(network.experts), optimizer, normalised, labels[chosen], counts)
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_the_loader_of_the_baseline_gives_normalised_images():
    images, labels = smooth_images(20, 32, 32), long_tailed_labels(20)
    loader = reference_loader(SmallImages(images, labels, *NORMALIZATIONS.get("cifar")), 8, workers=1)
    batches = list(loader)
    assert [len(targets) for _, targets in batches] == [8, 8]
    assert batches[0][0].shape == (8, 3, 32, 32)
    assert batches[0][0].dtype == torch.float32
    assert -3 < batches[0][0].min() < 0 < batches[0][0].max() < 3
