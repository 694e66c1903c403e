"""Evaluation on images of CIFAR's size with three ResNet-32, relative to the forward pass alone."""

import torch
from made_up_images import long_tailed_labels, smooth_images
from measuring import CPU, Row, interleaved
from training import CLASSES, config, image_set, place_on

from longtail.data import Shard, build_normalize, build_valid_loader
from longtail.engine.inference import evaluate
from longtail.models import build_model
from longtail.stages.build import evaluator_maker


def measure(
    images: int = 10_000,
    batch: int = 256,
    *,
    rounds: int = 3,
    precision: str = "auto",
    device: torch.device = CPU,
    backbone: str = "res32_cifar",
) -> list[Row]:
    """Return the row; see the module."""
    cfg = config("TEST.BATCH_SIZE", batch, "BACKBONE.MULTI_NETWORK_TYPE", [backbone] * 3)
    split = image_set(smooth_images(images, 32, 32), long_tailed_labels(images))
    network = build_model(cfg, CLASSES).to(device).eval()
    loader = build_valid_loader(cfg, split, shard=Shard(), device=device)
    normalize, place = build_normalize(cfg), place_on(device).with_precision(precision)
    new_evaluator = evaluator_maker(cfg, split.class_counts(), experts=3, device=device)
    ready = [normalize(one.images.to(device))[0] for one in loader.epoch(1)]

    def ours() -> None:
        evaluate(network, loader, new_evaluator(), normalize=normalize, place=place).results()

    @torch.no_grad()
    def forward() -> None:
        for each in ready:
            with place.autocast():
                network(each)

    times = interleaved({"ours": ours, "forward": forward}, rounds, device=device)
    where = "GPU" if device.type == "cuda" else f"{torch.get_num_threads()} cores"
    return [
        Row(
            f"evaluating {images:,} images, 3 x {backbone}, {where}",
            "images/s",
            images / times["ours"].median,
            images / times["forward"].median,
            peak_mb=times["ours"].peak_mb,
            baseline_peak_mb=times["forward"].peak_mb,
            note=f"baseline: forward alone; batch {batch}, precision {place.precision}, median of {rounds} rounds",
        )
    ]
