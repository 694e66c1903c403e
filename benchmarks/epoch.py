"""An epoch of NCL on images of CIFAR's size, end to end: loading, augmentation, three ResNet-32, loss, optimizer.

Ours is the training loop itself, in float32 and, on hardware with bf16 instructions, in bf16. The baseline is
`reference.py`, with the same initial weights, images and batch size. On a GPU also with parts of its default switched
off (DATASET.ON_DEVICE, TRAIN.CUDA_GRAPH), and compiled (TRAIN.COMPILE).
"""

from collections.abc import Callable
from typing import Any

import torch
from made_up_images import long_tailed_labels, smooth_images
from measuring import CPU, Row, forward_operations, interleaved, matrix_rate
from reference import SmallImages, reference_epoch, reference_loader, reference_optimizer
from torch import Tensor
from training import CLASSES, build_trainer, config, our_epoch, place_on

from longtail.data.normalization import NORMALIZATIONS
from longtail.models import build_model

DTYPES = {"off": torch.float32, "bf16": torch.bfloat16}
ON_CPU: dict[str, list[object]] = {"float32": ["TRAIN.AMP", "off"], "bf16": ["TRAIN.AMP", "bf16"]}
ON_GPU: dict[str, list[object]] = {
    **ON_CPU,
    "bf16, without streams": ["TRAIN.AMP", "bf16", "TRAIN.CUDA_GRAPH", "loop"],
    "bf16, without CUDA graph, images on the host": [
        *("TRAIN.AMP", "bf16", "TRAIN.CUDA_GRAPH", "off", "DATASET.ON_DEVICE", False),
    ],
    "bf16, compiled": ["TRAIN.AMP", "bf16", "TRAIN.COMPILE", True],
}


def ways_on(device: torch.device) -> dict[str, list[object]]:
    """Return the ways of training on a device; bf16 only where TRAIN.AMP auto chooses it: elsewhere it is emulated."""
    if device.type == "cuda":
        return ON_GPU
    in_hardware = place_on(device).with_precision("auto").precision == "bf16"
    return ON_CPU if in_hardware else {"float32": ON_CPU["float32"]}


def baseline_epoch(
    experts: list[str], images: Tensor, labels: Tensor, *, batch: int, device: torch.device
) -> Callable[[], None]:
    """Return a function that trains one more epoch as in the release."""
    cfg = config("BACKBONE.MULTI_NETWORK_TYPE", experts, "TRAIN.CHANNELS_LAST", False)
    torch.manual_seed(cfg.RAND_SEED)
    network: Any = build_model(cfg, CLASSES).to(device).train()
    mean, std = NORMALIZATIONS.get("cifar")
    loader = reference_loader(SmallImages(images, labels, mean=mean, std=std), batch)
    optimizer = reference_optimizer(network, 0.01)
    counts = torch.bincount(labels, minlength=CLASSES).tolist()

    def run() -> None:
        for _ in reference_epoch(list(network.experts), optimizer, loader, class_counts=counts, device=device):
            pass

    return run


def measure(
    images: int = 1280,
    batch: int = 64,
    *,
    rounds: int = 3,
    device: torch.device = CPU,
    backbone: str = "res32_cifar",
) -> list[Row]:
    """Return a row for each way of training; see the module."""
    pixels, labels = smooth_images(images, 32, 32), long_tailed_labels(images, CLASSES)
    experts = [backbone] * 3
    settings = [
        *("BACKBONE.MULTI_NETWORK_TYPE", experts, "TRAIN.BATCH_SIZE", batch),
        *("INPUT_SIZE", [32, 32]),
        *("TRAIN.MAX_EPOCH", rounds + 2),  # one to warm up, and one that is not trained, after which it would evaluate
    ]
    configs = {name: config(*how, *settings) for name, how in ways_on(device).items()}
    trainers = {name: build_trainer(cfg, pixels, labels, device=device) for name, cfg in configs.items()}
    contestants = {name: our_epoch(trainer) for name, trainer in trainers.items()}
    contestants["baseline"] = baseline_epoch(experts, pixels, labels, batch=batch, device=device)
    times = interleaved(contestants, rounds, device=device)
    one = torch.zeros(1, 3, 32, 32, device=device)
    operations = 3 * forward_operations(trainers["float32"].training.network, one)  # backward costs two forward passes
    counted = images - images % batch
    where = "GPU" if device.type == "cuda" else f"{torch.get_num_threads()} cores"
    return [
        Row(
            f"NCL epoch, 3 x {backbone}, batch {batch}, {name}, {where}",
            "images/s",
            counted / times[name].median,
            counted / times["baseline"].median,
            of_matrix_rate=operations * counted / times[name].median / matrix_rate(DTYPES[cfg.TRAIN.AMP], device),
            peak_mb=times[name].peak_mb,
            baseline_peak_mb=times["baseline"].peak_mb,
            note=f"{images} images an epoch, median of {rounds} epochs; baseline float32",
        )
        for name, cfg in configs.items()
    ]
