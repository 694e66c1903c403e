#!/usr/bin/env python3
"""Compare the accuracy of our training with that of the reference implementation (`reference.py`).

    python benchmarks/accuracy.py train.json valid.json
    python benchmarks/accuracy.py train.json valid.json --epochs 40 --seeds 5 --gpus 0

Images of 32 x 32 in ten classes, listed by annotation files. Ours is the training loop with `TRAIN.AMP auto`; the
reference is float32, image by image, expert by expert. Both clip gradients, as our configs do. Both start from the same
weights for each seed, but draw their own order and augmentation. Prints mean and standard deviation over the seeds of
the ensemble's accuracy in percent.

Exit code: 0, or 2 for an invalid command or file.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from measuring import positive
from reference import SmallImages, reference_epoch, reference_loader, reference_optimizer
from torch import Tensor, nn
from training import build_trainer, config, our_epoch, place_on
from yacs.config import CfgNode

from longtail.data import Shard, Splits, build_normalize, build_splits, build_valid_loader
from longtail.data.normalization import NORMALIZATIONS
from longtail.distributed import find_place
from longtail.engine.inference import evaluate
from longtail.engine.optim import build_schedule
from longtail.errors import UserError
from longtail.models import build_model
from longtail.stages.build import evaluator_maker

SHOWN = ("top1", "many", "medium", "few")


def settings(train: str, valid: str, *, epochs: int, seed: int) -> CfgNode:
    """Return the config of a short training: warm-up, and a tenth of the rate after 60 % and 80 % of the epochs."""
    return config(
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", train, "DATASET.VALID_JSON", valid),
        *("TRAIN.BATCH_SIZE", 64, "TEST.BATCH_SIZE", 256, "TRAIN.MAX_EPOCH", epochs, "TRAIN.AMP", "auto"),
        *("TRAIN.LR_SCHEDULER.TYPE", "warmup", "TRAIN.LR_SCHEDULER.WARM_EPOCH", max(epochs // 10, 1)),
        *("TRAIN.LR_SCHEDULER.LR_STEP", sorted({epochs * 6 // 10, epochs * 8 // 10} - {0})),
        *("TRAIN.LR_SCHEDULER.LR_FACTOR", 0.1),
        *("TRAIN.OPTIMIZER.BASE_LR", 0.05, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0, "RAND_SEED", seed),
    )


def ours(cfg: CfgNode, images: Tensor, labels: Tensor, *, device: torch.device) -> nn.Module:
    """Return the network after our training."""
    trainer = build_trainer(cfg, images, labels, device=device)
    epoch = our_epoch(trainer)
    for _ in range(cfg.TRAIN.MAX_EPOCH):
        epoch()
    return trainer.training.network


def reference(cfg: CfgNode, images: Tensor, labels: Tensor, *, device: torch.device) -> nn.Module:
    """Return the network after the training of the reference."""
    torch.manual_seed(cfg.RAND_SEED)
    network: Any = build_model(cfg, 10).to(device).to(memory_format=torch.contiguous_format).train()
    mean, std = NORMALIZATIONS.get("cifar")
    loader = reference_loader(SmallImages(images, labels, mean=mean, std=std, seed=cfg.RAND_SEED), cfg.TRAIN.BATCH_SIZE)
    optimizer = reference_optimizer(network, cfg.TRAIN.OPTIMIZER.BASE_LR)
    counts = torch.bincount(labels, minlength=10).tolist()
    schedule = build_schedule(cfg)
    for epoch in range(1, cfg.TRAIN.MAX_EPOCH + 1):
        for group in optimizer.param_groups:
            group["lr"] = schedule(epoch)
        for _ in reference_epoch(
            list(network.experts),
            optimizer,
            loader,
            class_counts=counts,
            device=device,
            max_norm=cfg.TRAIN.OPTIMIZER.CLIP_NORM,
        ):
            pass
    return network


def accuracies(network: nn.Module, cfg: CfgNode, *, splits: Splits, device: torch.device) -> dict[str, float]:
    """Return the ensemble's accuracies, in float32 for both."""
    evaluator = evaluator_maker(cfg, splits.train.class_counts(), experts=3, device=device)()
    loader = build_valid_loader(cfg, splits.valid, shard=Shard(), device=device)
    evaluate(network, loader, evaluator, normalize=build_normalize(cfg), place=place_on(device))
    found: dict[str, float] = evaluator.results()["ensemble"]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Train, evaluate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="annotation file of the training images")
    parser.add_argument("valid", help="annotation file of the validation images")
    parser.add_argument("--epochs", type=positive, default=20, metavar="N")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="number of seeds")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu, or the number of a GPU; default: the first, or the CPU")
    options = parser.parse_args(arguments)
    ways: dict[str, Callable[..., nn.Module]] = {"ours": ours, "reference": reference}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    try:
        device = find_place(options.gpus).device
        for seed in range(options.seeds):
            cfg = settings(options.train, options.valid, epochs=options.epochs, seed=seed)
            splits = build_splits(cfg)
            images = splits.train.load()
            if not isinstance(images, Tensor) or tuple(images.shape[2:]) != (32, 32) or splits.train.num_classes != 10:
                raise UserError(f"{options.train}: expected images of 32 x 32 in 10 classes")
            for name, train in ways.items():
                network = train(cfg, images, splits.train.labels, device=device)
                found[name].append(accuracies(network, cfg, splits=splits, device=device))
                sys.stderr.write(f"seed {seed}, {name}: top-1 {100 * found[name][-1]['top1']:.2f} %\n")
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for name, runs in found.items():
        columns = [_spread(key, [100 * run[key] for run in runs]) for key in SHOWN if key in runs[0]]
        print(f"{name:9s}", "  ".join(columns))
    return 0


def _spread(name: str, values: list[float]) -> str:
    std = f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{name} {statistics.mean(values):.2f}{std}"


if __name__ == "__main__":
    sys.exit(main())
