#!/usr/bin/env python3
"""Measure how memory and time grow: the values of docs/cost_model.md.

    python benchmarks/costs.py
    python benchmarks/costs.py --images 1000000 10000000 --classes 1000 10000

Data: reading an annotation file, checking that files exist, the fingerprint, the order of an epoch. Classes: the
evaluator, the nested loss. Augmentation: a call. Networks: operations and memory for the backward pass, per image and
expert. Memory is the increase of this process's memory, MB; seconds are CPU time of one thread.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from made_up_images import smooth_images, write_jpegs
from measuring import CPU, forget_peak, forward_operations, peak_mb, positive, threads
from torch import nn

from longtail.config import load_config
from longtail.data.annotations import read_annotations
from longtail.data.augment import build_policy
from longtail.data.dataset import ImageSet
from longtail.data.images.files import ImageFiles
from longtail.data.samplers import InstanceBalanced
from longtail.evaluation import Evaluator
from longtail.losses import build_loss
from longtail.models import BACKBONES, BackboneOptions

EXPERTS, BATCH = 3, 64
NETWORKS = (("res32_cifar", 32), ("res50", 224), ("res50", 320), ("resnext50", 224), ("res152", 224))


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result of `work`, its seconds, and its peak memory, MB."""
    before = forget_peak(CPU)
    start = time.process_time()
    result = work()
    seconds = time.process_time() - start
    return result, seconds, peak_mb(CPU) - before


def show(what: str, seconds: float, memory: float, *, more: str = "") -> None:
    """Print one value."""
    print(f"{what:58} {seconds:9.2f} s {memory:9,.0f} MB  {more}".rstrip())


def of_images(count: int, classes: int = 1000) -> None:
    """Measure costs that grow with the images: N entries that name one file."""
    with tempfile.TemporaryDirectory() as folder:
        (image,), path = write_jpegs(Path(folder), 1), Path(folder) / "train.json"
        labels = (torch.arange(count) % classes).tolist()
        entries = [{"fpath": f"train/n01440764/{i}.JPEG", "category_id": label} for i, label in enumerate(labels)]
        path.write_text(json.dumps({"annotations": entries, "num_classes": classes}))
        del entries, labels
        read, seconds, memory = measured(lambda: read_annotations(path))
        held = memory_held(lambda: read_annotations(path))
        size = path.stat().st_size / 1e6
        show(f"{count:,} images: annotation file of {size:,.0f} MB", seconds, memory, more=f"{held:,.0f} MB stay")
        images = ImageSet.from_files("measured", [str(image)] * count, labels=read.labels, num_classes=classes)
        show(f"{count:,} images: fingerprint", *measured(images.fingerprint)[1:])
        files = ImageFiles([str(image)] * count)
        show(f"{count:,} images: checking that files exist", *measured(files.missing)[1:])
        show(f"{count:,} images: order of an epoch", *measured(lambda: InstanceBalanced(count, 0).indices(1))[1:])


def memory_held(work: Callable[[], Any]) -> float:
    """Return the memory of the result of `work`, MB."""
    before = forget_peak(CPU)
    result = work()
    held = forget_peak(CPU) - before
    del result
    return held


def of_classes(classes: int) -> None:
    """Measure costs that grow with the classes."""
    logits, labels = torch.randn(EXPERTS, BATCH, classes), torch.arange(BATCH) % classes
    counts = [100] * classes

    def evaluate() -> None:
        evaluator = Evaluator(classes, EXPERTS, class_counts=counts)
        evaluator.update(logits, labels)
        evaluator.results()

    show(f"{classes:,} classes: evaluating a batch, and the results", *measured(evaluate)[1:])
    cfg = load_config(None, ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0])
    loss = build_loss(cfg, counts)
    leaf = logits.requires_grad_()
    show(
        f"{classes:,} classes: nested loss of a batch, with gradients",
        *measured(lambda: loss(leaf, labels).backward())[1:],
    )


def of_augmentation(policy: str, count: int = 1024) -> None:
    """Measure a call of an augmentation policy on small images."""
    images, augment = smooth_images(count, 32, 32), build_policy(policy, load_config(None))
    generator = torch.Generator().manual_seed(0)
    augment(images, generator)
    _, seconds, memory = measured(lambda: augment(images, generator))
    show(f"{policy} on {count:,} images of 32 x 32", seconds, memory)


def of_network(name: str, side: int) -> None:
    """Print the cost of an image in one expert."""
    backbone: nn.Module = BACKBONES.get(name)(BackboneOptions()).train()
    images = torch.zeros(2, 3, side, side)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = backbone(images)
    del output
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    operations = forward_operations(backbone.eval(), images[:1])
    kept_mb = sum(kept.values()) / len(images) / 1e6
    print(
        f"{name + f', {side} x {side}':26} {parameters / 1e6:6.2f} M parameters  "
        f"{operations / 1e9:6.2f} G operations forward  {kept_mb:6.1f} MB kept for backward, float32"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="*", type=positive, metavar="N", default=[100_000, 1_000_000])
    parser.add_argument("--classes", nargs="*", type=positive, metavar="C", default=[1_000, 10_000])
    options = parser.parse_args(arguments)
    with threads(1):
        for count in options.images:
            of_images(count)
        for classes in options.classes:
            of_classes(classes)
        for policy in ("autoaugment", "simclr"):
            of_augmentation(policy)
        for name, side in NETWORKS:
            of_network(name, side)
    return 0


if __name__ == "__main__":
    sys.exit(main())
