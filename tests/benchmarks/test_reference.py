"""The reference implementation computes what the training computes."""

from typing import Any

import pytest
import torch
from made_up_images import long_tailed_labels, smooth_images
from reference import SmallImages, reference_loader, reference_loss, reference_optimizer, reference_step
from training import CLASSES, build_trainer, config

from longtail.data import Batch
from longtail.data.normalization import NORMALIZATIONS
from longtail.engine.finite_guard import Where
from longtail.losses import build_loss
from longtail.models import build_model

SMALL = ["BACKBONE.MULTI_NETWORK_TYPE", ["res8_measured"] * 3]


@pytest.mark.parametrize("experts", [1, 2, 3])
def test_reference_loss_equals_ours(experts: Any) -> None:
    counts = [500, 100, 20, 9, 2, 2]
    logits = torch.randn(experts, 7, 6, generator=torch.Generator().manual_seed(1)) * 3
    targets = torch.tensor([0, 1, 2, 3, 4, 5, 0])
    ours = build_loss(config("LOSS.HCM_N", 3), counts)(logits, targets)
    torch.testing.assert_close(reference_loss(list(logits), targets, class_counts=counts, hard_number=3), ours)


@pytest.mark.slow
def test_reference_step_has_the_losses_of_ours() -> None:
    images, labels = smooth_images(64, 32, 32), long_tailed_labels(64)
    counts = torch.bincount(labels, minlength=CLASSES).tolist()
    trainer = build_trainer(config(*SMALL, "TRAIN.BATCH_SIZE", 16), images, labels, device=torch.device("cpu"))
    trainer.training.network.train()
    network: Any = build_model(config(*SMALL, "TRAIN.CHANNELS_LAST", False), CLASSES).train()
    network.load_state_dict(trainer.training.network.state_dict())
    optimizer = reference_optimizer(network, 0.001)
    for group in trainer.training.optimizer.param_groups:
        group["lr"] = 0.001
    order = torch.Generator().manual_seed(0)
    for _ in range(20):
        chosen = torch.randperm(64, generator=order)[:16]
        batch = Batch(images[chosen][None], labels[chosen], chosen)
        step, _, _ = trainer.train_step(batch, Where(1, 1, chosen))
        normalized = trainer.training.loaders.normalize(batch.images)[0]
        reference, _ = reference_step(list(network.experts), optimizer, normalized, labels[chosen], class_counts=counts)
        assert step.loss.item() == pytest.approx(reference, abs=1e-4)


def test_reference_loader_normalizes() -> None:
    images, labels = smooth_images(20, 32, 32), long_tailed_labels(20)
    mean, std = NORMALIZATIONS.get("cifar")
    loader = reference_loader(SmallImages(images, labels, mean=mean, std=std), 8, workers=1)
    batches = list(loader)
    assert [len(targets) for _, targets in batches] == [8, 8]
    assert batches[0][0].shape == (8, 3, 32, 32)
    assert batches[0][0].dtype == torch.float32
    assert -3 < batches[0][0].min() < 0 < batches[0][0].max() < 3


@pytest.mark.slow
def test_worker_random_differs_between_workers_and_repeats_with_the_seed() -> None:
    images, labels = smooth_images(64, 32, 32)[:1].repeat(64, 1, 1, 1), long_tailed_labels(64)
    mean, std = NORMALIZATIONS.get("cifar")

    def batches(seed: Any) -> Any:
        torch.manual_seed(3)
        dataset = SmallImages(images, labels, mean=mean, std=std, seed=seed)
        return [batch for batch, _ in reference_loader(dataset, 32, workers=2)]

    first, second = batches(0)  # one batch of each worker
    assert not torch.equal(first, second)
    assert torch.equal(first, batches(0)[0])
    assert not torch.equal(first, batches(1)[0])
