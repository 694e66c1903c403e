"""An epoch of NCL on images of CIFAR's size, end to end: loading, augmentation, three ResNet-32, loss, optimiser.

Ours is the training loop itself, in float32 and in bf16; the baseline is `reference.py`, with the same initial weights,
images and batch size. On a GPU the same, where there is one, and with replayed steps too (TRAIN.CUDA_GRAPH).
"""

from collections.abc import Callable

import torch
from measuring import CPU, Row, forward_operations, in_turns, matrix_rate
from pictures import long_tailed_labels, smooth_images
from reference import SmallImages, reference_epoch, reference_loader, reference_optimizer
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.data import Splits, build_loaders
from longtail.data.dataset import ImageSet
from longtail.data.normalization import NORMALIZATIONS
from longtail.engine.assembly import autocast, build_network, judge_maker, schedule
from longtail.engine.devices import usable_precision, wrap
from longtail.engine.distributed import World
from longtail.engine.optim import build_optimizer
from longtail.engine.recorded_stepping import build_recorder
from longtail.engine.trainer import Trainer
from longtail.losses import build_loss
from longtail.methods import build_method

CLASSES = 10
DTYPES = {"off": torch.float32, "bf16": torch.bfloat16}
ON_CPU = {"float32": ["TRAIN.AMP", "off"], "bf16": ["TRAIN.AMP", "bf16"]}
ON_GPU = {
    **ON_CPU,
    "bf16, replayed": ["TRAIN.AMP", "bf16", "TRAIN.CUDA_GRAPH", "loop"],
    "bf16, replayed, experts in streams": ["TRAIN.AMP", "bf16", "TRAIN.CUDA_GRAPH", "streams"],
}
NCL = [
    *("BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"] * 3, "DATASET.VIEWS", ["autoaugment"]),
    *("DATASET.NORMALIZATION", "cifar", "TRAIN.COMBINER.TYPE", "nested", "LOSS.LOSS_TYPE", "NIL_NBOD"),
    *("LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0, "LOSS.HCM_N", 5),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM", 0.6),
    *("TRAIN.OPTIMIZER.BASE_LR", 0.01, "TRAIN.OPTIMIZER.WEIGHT_DECAY", 2e-4, "TRAIN.TENSORBOARD.ENABLE", False),
    *("SHOW_STEP", 10**9),
]


def tree(*overrides: object) -> CfgNode:
    """Return the configuration tree of the measured training."""
    return load_config(None, [*NCL, *overrides])


def build_trainer(
    cfg: CfgNode, images: Tensor, labels: Tensor, device: torch.device, judged: ImageSet | None = None
) -> Trainer:
    """Return the trainer of a run, as `longtail.engine.training` puts it together, without files."""
    whole = ImageSet.from_tensor("measured", images, labels=labels.tolist(), num_classes=CLASSES)
    counts = whole.class_counts()
    torch.manual_seed(cfg.RAND_SEED)
    network = build_network(cfg, CLASSES).to(device)
    method = build_method(cfg, wrap(network, [device], device, World()), build_loss(cfg, counts)).to(device)
    return Trainer(
        network,
        method,
        build_optimizer(cfg, network, fused=True),
        torch.amp.GradScaler(device.type, enabled=False),
        build_loaders(cfg, Splits(whole, judged or whole), device=device),
        judge_maker(cfg, counts, len(network.experts), device),
        schedule(cfg),
        device,
        autocast(usable_precision(cfg.TRAIN.AMP, device), device),
        None,
        None,
        {},
        recorder=build_recorder(cfg, network, method, device),
    )


def our_epoch(trainer: Trainer) -> Callable[[], None]:
    """Return what trains one more epoch, like `Trainer.fit` without judging and saving."""

    def run() -> None:
        trainer._train_epoch()
        trainer.epoch, trainer.batch = trainer.epoch + 1, 0

    return run


def baseline_epoch(
    experts: list[str], images: Tensor, labels: Tensor, batch: int, device: torch.device
) -> Callable[[], None]:
    """Return what trains one more epoch in the released way."""
    cfg = tree("BACKBONE.MULTI_NETWORK_TYPE", experts, "TRAIN.CHANNELS_LAST", False)
    torch.manual_seed(cfg.RAND_SEED)
    network = build_network(cfg, CLASSES).to(device).train()
    loader = reference_loader(SmallImages(images, labels, *NORMALIZATIONS.get("cifar")), batch)
    optimizer = reference_optimizer(network, 0.01)
    counts = torch.bincount(labels, minlength=CLASSES).tolist()

    def run() -> None:
        for _ in reference_epoch(list(network.experts), optimizer, loader, counts, device):
            pass

    return run


def measure(
    images: int = 1280, batch: int = 64, rounds: int = 3, device: torch.device = CPU, backbone: str = "res32_cifar"
) -> list[Row]:
    """Return a row for each way of training; see the module."""
    pixels, labels = smooth_images(images, 32, 32), long_tailed_labels(images, CLASSES)
    experts = [backbone] * 3
    settings = [
        *("BACKBONE.MULTI_NETWORK_TYPE", experts, "TRAIN.BATCH_SIZE", batch),
        *("TRAIN.MAX_EPOCH", rounds + 1),  # one to warm up
    ]
    trees = {name: tree(*how, *settings) for name, how in (ON_GPU if device.type == "cuda" else ON_CPU).items()}
    trainers = {name: build_trainer(cfg, pixels, labels, device) for name, cfg in trees.items()}
    contestants = {name: our_epoch(trainer) for name, trainer in trainers.items()}
    contestants["baseline"] = baseline_epoch(experts, pixels, labels, batch, device)
    times = in_turns(contestants, rounds, device)
    one = torch.zeros(1, 3, 32, 32, device=device)
    operations = 3 * forward_operations(trainers["float32"].network, one)  # backward: for inputs, and for weights
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
        for name, cfg in trees.items()
    ]
