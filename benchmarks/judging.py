"""Judging images of CIFAR's size with three ResNet-32, against nothing but their forward on the same batches."""

import torch
from epoch import CLASSES, tree
from measuring import CPU, Row, in_turns
from pictures import long_tailed_labels, smooth_images

from longtail.data import build_normalize, build_valid_loader
from longtail.data.dataset import ImageSet
from longtail.engine.assembly import autocast, build_network, judge_maker
from longtail.engine.devices import usable_precision
from longtail.engine.evaluator import evaluate


def measure(
    images: int = 10_000,
    batch: int = 256,
    rounds: int = 3,
    precision: str = "auto",
    device: torch.device = CPU,
    backbone: str = "res32_cifar",
) -> list[Row]:
    """Return the row; see the module."""
    cfg = tree("TEST.BATCH_SIZE", batch, "BACKBONE.MULTI_NETWORK_TYPE", [backbone] * 3)
    labels = long_tailed_labels(images).tolist()
    split = ImageSet.from_tensor("measured", smooth_images(images, 32, 32), labels=labels, num_classes=CLASSES)
    network = build_network(cfg, CLASSES).to(device).eval()
    loader, normalize = build_valid_loader(cfg, split, device=device), build_normalize(cfg)
    new_judge = judge_maker(cfg, split.class_counts(), len(network.experts), device)
    used = usable_precision(precision, device)
    context = autocast(used, device)
    ready = [normalize(one.images.to(device))[0] for one in loader.epoch(1)]

    def ours() -> None:
        evaluate(network, loader, normalize, new_judge(), device, context).results()

    @torch.no_grad()
    def forward() -> None:
        for each in ready:
            with context():
                network(each)

    times = in_turns({"ours": ours, "forward": forward}, rounds, device)
    where = "GPU" if device.type == "cuda" else f"{torch.get_num_threads()} cores"
    return [
        Row(
            f"judging {images:,} images, 3 x {backbone}, {where}",
            "images/s",
            images / times["ours"].median,
            images / times["forward"].median,
            peak_mb=times["ours"].peak_mb,
            baseline_peak_mb=times["forward"].peak_mb,
            note=f"baseline: forward alone; batch {batch}, precision {used}, median of {rounds} rounds",
        )
    ]
