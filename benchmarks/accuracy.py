#!/usr/bin/env python3
"""Train NCL in our way and in the plain way of `reference.py`, and compare what is learnt, not how fast.

    python benchmarks/accuracy.py train.json valid.json
    python benchmarks/accuracy.py train.json valid.json --epochs 40 --seeds 5 --gpus 0

Images of 32 x 32 in ten classes, listed by annotation files. Ours is the training loop with `TRAIN.AMP auto`; the plain
way is float32, image by image, expert by expert. Both bound their gradients, as our configurations do. Each seed gives
both the same initial weights, and each draws its own order and augmentation. Printed are mean and standard deviation
over the seeds of the ensemble's accuracy in percent.

Exit code: 0, or 2 for a mistake in the command or in the files.
"""

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from epoch import build_trainer, our_epoch, tree
from measuring import positive
from reference import SmallImages, reference_epoch, reference_loader, reference_optimizer
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.data import Splits, build_normalize, build_splits, build_valid_loader
from longtail.data.normalization import NORMALIZATIONS
from longtail.engine.assembly import autocast, build_network, judge_maker
from longtail.engine.devices import parse_devices
from longtail.engine.evaluator import evaluate
from longtail.engine.optim import learning_rates
from longtail.errors import UserError

SHOWN = ("top1", "many", "medium", "few")


def settings(train: str, valid: str, epochs: int, seed: int) -> CfgNode:
    """Return the tree of a short training: a warm-up, and a tenth of the rate after 60 and after 80 % of the epochs."""
    return tree(
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", train, "DATASET.VALID_JSON", valid),
        *("TRAIN.BATCH_SIZE", 64, "TEST.BATCH_SIZE", 256, "TRAIN.MAX_EPOCH", epochs, "TRAIN.AMP", "auto"),
        *("TRAIN.LR_SCHEDULER.TYPE", "warmup", "TRAIN.LR_SCHEDULER.WARM_EPOCH", max(epochs // 10, 1)),
        *("TRAIN.LR_SCHEDULER.LR_STEP", sorted({epochs * 6 // 10, epochs * 8 // 10} - {0})),
        *("TRAIN.LR_SCHEDULER.LR_FACTOR", 0.1),
        *("TRAIN.OPTIMIZER.BASE_LR", 0.05, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0, "RAND_SEED", seed),
    )


def ours(cfg: CfgNode, images: Tensor, labels: Tensor, device: torch.device) -> nn.Module:
    """Return the network after our training."""
    trainer = build_trainer(cfg, images, labels, device)
    epoch = our_epoch(trainer)
    for _ in range(cfg.TRAIN.MAX_EPOCH):
        epoch()
    return trainer.network


def plain(cfg: CfgNode, images: Tensor, labels: Tensor, device: torch.device) -> nn.Module:
    """Return the network after the plain training."""
    torch.manual_seed(cfg.RAND_SEED)
    network = build_network(cfg, 10).to(device).to(memory_format=torch.contiguous_format).train()
    loader = reference_loader(SmallImages(images, labels, *NORMALIZATIONS.get("cifar")), cfg.TRAIN.BATCH_SIZE)
    optimizer = reference_optimizer(network, cfg.TRAIN.OPTIMIZER.BASE_LR)
    counts = torch.bincount(labels, minlength=10).tolist()
    for rate in learning_rates(cfg):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for _ in reference_epoch(
            list(network.experts), optimizer, loader, counts, device, cfg.TRAIN.OPTIMIZER.CLIP_NORM
        ):
            pass
    return network


def judged(network: nn.Module, cfg: CfgNode, splits: Splits, device: torch.device) -> dict[str, float]:
    """Return the ensemble's accuracies, in float32 for both."""
    judge = judge_maker(cfg, splits.train.class_counts(), 3, device)()
    loader = build_valid_loader(cfg, splits.valid)
    evaluate(network, loader, build_normalize(cfg), judge, device, autocast("off", device))
    found: dict[str, float] = judge.results()["ensemble"]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Train, judge, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="annotation file of the training images")
    parser.add_argument("valid", help="annotation file of the images to judge on")
    parser.add_argument("--epochs", type=positive, default=20, metavar="N")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="trainings of each kind")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu, or the number of a GPU; default: the first, or the CPU")
    options = parser.parse_args(arguments)
    ways: dict[str, Callable[[CfgNode, Tensor, Tensor, torch.device], nn.Module]] = {"ours": ours, "plain": plain}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    try:
        device = parse_devices(options.gpus)[0]
        for seed in range(options.seeds):
            cfg = settings(options.train, options.valid, options.epochs, seed)
            splits = build_splits(cfg)
            images = splits.train.load()
            if not isinstance(images, Tensor) or tuple(images.shape[2:]) != (32, 32) or splits.train.num_classes != 10:
                raise UserError(f"{options.train}: expected images of 32 x 32 in 10 classes")
            for name, train in ways.items():
                network = train(cfg, images, splits.train.labels, device)
                found[name].append(judged(network, cfg, splits, device))
                sys.stderr.write(f"seed {seed}, {name}: top-1 {100 * found[name][-1]['top1']:.2f} %\n")
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for name, runs in found.items():
        columns = [_spread(key, [100 * run[key] for run in runs]) for key in SHOWN if key in runs[0]]
        print(f"{name:6s}", "  ".join(columns))
    return 0


def _spread(name: str, values: list[float]) -> str:
    deviation = f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{name} {statistics.mean(values):.2f}{deviation}"


if __name__ == "__main__":
    sys.exit(main())
