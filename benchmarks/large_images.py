"""A step of NCL with three ResNet-50 on images of 224 x 224, on a GPU: speed, fraction of the matmul rate, memory.

Ours is the training step itself in bf16; the baseline is `reference.py` in float32 (without TF32, as it was released).
Batches are made once, on the device.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from made_up_images import long_tailed_labels, smooth_images
from measuring import Row, forward_operations, interleaved, matrix_rate
from reference import reference_optimizer, reference_step
from torch import Tensor
from training import CLASSES, build_trainer, config

from longtail.data import Batch
from longtail.engine.finite_guard import Where
from longtail.models import build_model

WAYS: dict[str, list[object]] = {"bf16": ["TRAIN.CUDA_GRAPH", "off"]}
ON_GPU: dict[str, list[object]] = {
    **WAYS,
    "bf16, CUDA graph": ["TRAIN.CUDA_GRAPH", "loop"],
    "bf16, compiled": ["TRAIN.CUDA_GRAPH", "off", "TRAIN.COMPILE", True],
}


def our_steps(
    experts: list[str], images: Tensor, labels: Tensor, *, device: torch.device, steps: int, how: Sequence[object]
) -> Callable[[], None]:
    """Return a function that trains for `steps` steps on one batch, uint8 (B, 3, H, W)."""
    overrides = ["BACKBONE.MULTI_NETWORK_TYPE", experts, "TRAIN.AMP", "auto", "TRAIN.BATCH_SIZE", len(images)]
    trainer = build_trainer(config(*overrides, *how), images.cpu(), labels.cpu(), device=device)
    trainer.training.network.train()
    batch = Batch(images[None], labels, torch.arange(len(labels), device=device))
    where = Where(1, 1, batch.all_indices)

    def run() -> None:
        for _ in range(steps):
            trainer.step(batch, where)
        trainer.guard.report()

    return run


def baseline_steps(
    experts: list[str], images: Tensor, labels: Tensor, *, device: torch.device, steps: int
) -> Callable[[], None]:
    """Return a function that trains for `steps` steps as in the release, on the normalized batch."""
    settings = ["BACKBONE.MULTI_NETWORK_TYPE", experts, "TRAIN.CHANNELS_LAST", False]
    network: Any = build_model(config(*settings), CLASSES).to(device).train()
    optimizer = reference_optimizer(network, 0.01)
    normalized = images.float().div_(127.5).sub_(1)
    counts = torch.bincount(labels, minlength=CLASSES).tolist()

    def run() -> None:
        for _ in range(steps):
            reference_step(list(network.experts), optimizer, normalized, labels, class_counts=counts)

    return run


def measure(
    device: torch.device, batch: int = 64, *, size: int = 224, steps: int = 10, rounds: int = 5, backbone: str = "res50"
) -> list[Row]:
    """Return the row; see the module."""
    images, labels = smooth_images(batch, size, size).to(device), long_tailed_labels(batch).to(device)
    experts = [backbone] * 3
    ways = ON_GPU if device.type == "cuda" else WAYS
    contestants = {
        name: our_steps(experts, images, labels, device=device, steps=steps, how=how) for name, how in ways.items()
    }
    contestants["baseline"] = baseline_steps(experts, images, labels, device=device, steps=steps)
    times = interleaved(contestants, rounds, device=device)
    network = build_model(config("BACKBONE.MULTI_NETWORK_TYPE", experts), CLASSES).to(device).eval()
    operations = 3 * forward_operations(network, images[:1].float())
    rate, counted = matrix_rate(torch.bfloat16, device), batch * steps
    return [
        Row(
            f"NCL step, 3 x {backbone}, {size} x {size}, batch {batch}, {name}, {device.type}",
            "images/s",
            counted / times[name].median,
            counted / times["baseline"].median,
            of_matrix_rate=operations * counted / times[name].median / rate,
            peak_mb=times[name].peak_mb,
            baseline_peak_mb=times["baseline"].peak_mb,
            note=f"bf16 against float32; {steps} steps a round, median of {rounds} rounds; all networks are in memory",
        )
        for name in ways
    ]
