#!/usr/bin/env python3
"""Compare the accuracy of the fast training path with plain versions of its parts, one at a time.

    python benchmarks/fast_path.py train.json valid.json --record fast_path.jsonl
    python benchmarks/fast_path.py train.json valid.json --record fast_path.jsonl --fraction 0.2 --epochs 20 \
        --seeds 1 2 3 4 5 6 7 8 9 10 11 12

A small network (ResNet-8, balanced softmax) is trained on images of 32 x 32 in ten classes, with the policy
`autoaugment`. `ours` is the usual training: our order, augmentation of whole chunks, channels_last, fused optimizer,
float32. Every other variant changes one part:

- order: PyTorch's random permutation;
- augmentation: Pillow, image by image;
- layout: contiguous;
- optimizer: one group per tensor, updated tensor by tensor;
- precision: bf16;
- plain: order, augmentation, layout and optimizer at once.

All variants of a seed start from the same weights, so the difference from `ours` is paired: the table shows its mean
over the seeds and the standard error of that mean, in points of top-1. Every training is a line of the record; the same
command trains those that are missing. Records of several machines can be concatenated, if each has whole seeds.

Exit code: 0, or 2 for an invalid command or file.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pillow_augmentation
import torch
from measuring import positive
from short_runs.subsets import data_parser, write_subset
from torch import Tensor
from training import config
from yacs.config import CfgNode

from longtail.cli.program import run_program
from longtail.data import Batch, Splits, build_splits
from longtail.data.loaders.base import Loader
from longtail.data.samplers import Sampler
from longtail.distributed import Place, find_place
from longtail.engine.inference import evaluate
from longtail.engine.optim import GradientClipping, set_rate
from longtail.engine.training import Training
from longtail.errors import UserError
from longtail.models import BACKBONES
from longtail.models.backbones.resnet_cifar import CifarResNet
from longtail.stages.build import build_training

BACKBONE = "res8_fast_path"


@dataclass(frozen=True)
class Way:
    """How a network is trained; the defaults are ours.

    Attributes:
        plain_order: Shuffle by `torch.randperm`.
        pillow: Augment image by image with Pillow.
        channels_last: Memory layout NHWC.
        fused: One kernel updates all parameters; False: tensor by tensor.
        precision: See TRAIN.AMP.
    """

    plain_order: bool = False
    pillow: bool = False
    channels_last: bool = True
    fused: bool = True
    precision: str = "off"


OURS = "ours"
WAYS = {
    OURS: Way(),
    "order": Way(plain_order=True),
    "augmentation": Way(pillow=True),
    "layout": Way(channels_last=False),
    "optimizer": Way(fused=False),
    "precision": Way(precision="bf16"),
    "plain": Way(plain_order=True, pillow=True, channels_last=False, fused=False),
}


class PlainOrder(Sampler):
    """A random permutation of PyTorch in every epoch.

    Args:
        length: Number of images.
        seed: Of the permutations.
    """

    def __init__(self, length: int, seed: int) -> None:
        super().__init__(length)
        self.seed = seed

    def indices(self, epoch: int) -> Tensor:
        """See `Sampler`."""
        return torch.randperm(self.length, generator=torch.Generator().manual_seed(1000 * self.seed + epoch))


def settings(train: Path, valid: Path, *, epochs: int, seed: int, way: Way) -> CfgNode:
    """Return the config of a training: warm-up, and a tenth of the rate after 60 % and 80 % of the epochs."""
    return config(
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(train), "DATASET.VALID_JSON", str(valid)),
        *("BACKBONE.TYPE", BACKBONE, "BACKBONE.MULTI_NETWORK_TYPE", [], "LOSS.LOSS_TYPE", "BalancedSoftmaxCE"),
        *("TRAIN.BATCH_SIZE", 64, "TEST.BATCH_SIZE", 500, "TRAIN.MAX_EPOCH", epochs, "RAND_SEED", seed),
        *("TRAIN.AMP", way.precision, "TRAIN.CHANNELS_LAST", way.channels_last),
        *("TRAIN.LR_SCHEDULER.TYPE", "warmup", "TRAIN.LR_SCHEDULER.WARM_EPOCH", max(epochs // 10, 1)),
        *("TRAIN.LR_SCHEDULER.LR_STEP", sorted({epochs * 6 // 10, epochs * 8 // 10} - {0})),
        *("TRAIN.OPTIMIZER.BASE_LR", 0.1, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0),
    )


def batches(loader: Loader, images: Tensor, epoch: int, *, seed: int, way: Way) -> Iterator[Batch]:
    """Yield the batches of an epoch, with the order and the augmentation of a way."""
    if not way.pillow:
        yield from loader.epoch(epoch)
        return
    rng = random.Random(f"{seed} {epoch}")
    for indices in loader.batch_indices(epoch):
        arrays = [pillow_augmentation.small(images[index].permute(1, 2, 0).numpy(), rng) for index in indices]
        augmented = torch.stack([pillow_augmentation.to_tensor(array) for array in arrays])
        yield Batch(augmented[None], loader.labels[indices], indices)


def tensor_by_tensor(optimizer: torch.optim.Optimizer) -> torch.optim.SGD:
    """Return SGD with the values of an optimizer, one group per tensor, without fused or grouped updates."""
    groups = [
        {**{key: value for key, value in group.items() if key not in ("params", "names")}, "params": [parameter]}
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    return torch.optim.SGD([{**group, "fused": False, "foreach": False} for group in groups], lr=0.1)


def fit(training: Training, images: Tensor, *, seed: int, way: Way) -> None:
    """Train all epochs."""
    loader, optimizer = (
        training.loaders.train,
        training.optimizer if way.fused else tensor_by_tensor(training.optimizer),
    )
    if way.plain_order:
        loader.sampler = PlainOrder(len(images), seed)
    clipping = GradientClipping(optimizer, training.scaler, max_norm=training.plan.clip_norm)
    for epoch in range(1, training.plan.epochs + 1):
        training.network.train()
        training.method.set_epoch(epoch)
        set_rate(optimizer, training.schedule(epoch))
        for batch in batches(loader, images, epoch, seed=seed, way=way):
            optimizer.zero_grad(set_to_none=True)
            on_device = batch.to(training.place.device).with_images(training.loaders.normalize)
            with training.place.autocast():
                step = training.method.training_step(on_device)
            step.loss.backward()
            clipping.clip()
            optimizer.step()


def accuracies(cfg: CfgNode, splits: Splits, *, place: Place, way: Way) -> dict[str, float]:
    """Train one network, and return its accuracies, which are evaluated in float32."""
    images = splits.train.load()
    if not isinstance(images, Tensor):
        raise UserError(f"{cfg.DATASET.TRAIN_JSON}: expected images of 32 x 32")
    training = build_training(cfg, splits, place=place.with_precision(way.precision), source="benchmark")
    fit(training, images, seed=cfg.RAND_SEED, way=way)
    evaluator = training.new_evaluator()
    evaluate(training.network, training.loaders.valid, evaluator, normalize=training.loaders.normalize, place=place)
    found: dict[str, float] = evaluator.results()["ensemble"]
    return {name: found[name] for name in ("top1", "many", "medium", "few") if name in found}


def table(records: Sequence[Mapping[str, object]]) -> list[str]:
    """Return one line per variant: mean and standard deviation of top-1, and the paired difference from ours.

    Args:
        records: {"way", "seed", "top1", ...} of every training; top-1 as a fraction.
    """
    found: dict[str, dict[object, float]] = {name: {} for name in WAYS}
    for record in records:
        found[str(record["way"])][record["seed"]] = 100 * float(str(record["top1"]))
    lines = [f"{'way':14}{'n':>4}{'top-1 %':>16}{'difference to ours':>22}"]
    for name, runs in found.items():
        pairs = [value - found[OURS][seed] for seed, value in runs.items() if seed in found[OURS] and name != OURS]
        difference = f"{statistics.mean(pairs):+.2f} ± {_error(pairs):.2f}" if len(pairs) > 1 else ""
        spread = (
            f"{statistics.mean(runs.values()):.2f} ± {statistics.stdev(runs.values()):.2f}" if len(runs) > 1 else ""
        )
        lines.append(f"{name:14}{len(runs):4}{spread:>16}{difference:>22}")
    return lines


def _error(values: Sequence[float]) -> float:
    """Return the standard error of a mean."""
    return statistics.stdev(values) / math.sqrt(len(values))


def compare(options: argparse.Namespace) -> None:
    """Train what is missing in the record, seed by seed, and print the table."""
    if BACKBONE not in BACKBONES:
        BACKBONES.register(BACKBONE)(lambda _: CifarResNet(blocks=1))
    record: Path = options.record
    done = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    size = {"epochs": options.epochs, "fraction": options.fraction}
    done = [one for one in done if all(one[key] == value for key, value in size.items())]
    place = find_place(options.gpus)
    with tempfile.TemporaryDirectory() as temporary:
        train = write_subset(options.train, Path(temporary, "train.json"), fraction=options.fraction)
        valid = write_subset(options.valid_json, Path(temporary, "valid.json"), fraction=options.valid)
        for seed in options.seeds:
            for name in WAYS:
                if any((one["way"], one["seed"]) == (name, seed) for one in done):
                    continue
                cfg = settings(train, valid, epochs=options.epochs, seed=seed, way=WAYS[name])
                one = {"way": name, "seed": seed, **size, "torch": torch.__version__}
                one |= accuracies(cfg, build_splits(cfg), place=place, way=WAYS[name])
                done.append(one)
                with record.open("a") as file:
                    file.write(json.dumps(one) + "\n")
                sys.stderr.write(f"seed {seed}, {name}: top-1 {100 * one['top1']:.2f} %\n")
    print("\n".join(table(done)))


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and compare."""
    parser = data_parser(__doc__)
    parser.add_argument("--record", type=Path, required=True, metavar="FILE", help="JSON lines of finished trainings")
    parser.add_argument("--epochs", type=positive, default=20, metavar="N")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], metavar="SEED")
    options = parser.parse_args(arguments)
    return run_program(lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
