"""A network with which a whole training takes a second, its settings, and helpers to inspect its runs."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.checkpoint_file import read_checkpoint
from longtail.config import load_config
from longtail.data import Batch
from longtail.distributed import Place
from longtail.engine.trainer import Trainer
from longtail.methods import SubclassContrastive
from longtail.models import BACKBONES, BackboneOptions
from longtail.models.backbones.base import StagedBackbone
from longtail.runs.directory import RunDirectory
from longtail.stages import train as train_stage

CONFIG = "x.yaml"  # name of the config in results.json
BATCHES = 4  # per epoch: 276 images, 64 in a batch
CPU = Place()
FIGURES = ("plot_class_counts", "plot_curves", "plot_per_class_accuracy", "plot_confusion")


class Tiny(StagedBackbone):
    """Two convolutions with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.set_stages({"body": 8})

    def stem(self, images: Tensor) -> Tensor:
        """Return the images."""
        return images


@BACKBONES.register("tiny")
def tiny(options: BackboneOptions) -> Tiny:
    """Build it."""
    return Tiny()


class TwoStages(StagedBackbone):
    """Two stages with batch norm, of which experts can share the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.set_stages({"first": 8, "second": 8})

    def stem(self, images: Tensor) -> Tensor:
        """Return the images."""
        return images


@BACKBONES.register("two_stages")
def two_stages(options: BackboneOptions) -> TwoStages:
    """Build it."""
    return TwoStages()


CE: list[Any] = ["BACKBONE.TYPE", "tiny"]
NCL: list[Any] = [
    *("BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny", "tiny"]),
    *("LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 3, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM", 0.6),
]
SHARED: list[Any] = [*NCL, "BACKBONE.MULTI_NETWORK_TYPE", ["two_stages"] * 3, "NETWORK.SHARED_TO", "first"]
NCL_PLUS: list[Any] = [*NCL, "LOSS.LOSS_TYPE", "NIL_NBOD_plus", "DATASET.INTRA_N", 2]
CONTRASTIVE: list[Any] = [
    *(*NCL, "TRAIN.COMBINER.TYPE", "contrastive", "DATASET.VIEWS", ["crop", "crop"], "LOSS.CON_RATIO", 1.0),
    *("NETWORK.MOCO", True, "NETWORK.MOCO_K", 100, "NETWORK.MOCO_DIM", 4, "NETWORK.MOCO_T", 0.2),
]
CASCADE: list[Any] = [
    *("NETWORK.TYPE", "cascade", "BACKBONE.TYPE", "tiny", "NETWORK.CASCADE.TAPS", ["body"]),
    *("CLASSIFIER.TYPE", "cosnorm", "NETWORK.CASCADE.WIDTH", 8, "LOSS.LOSS_TYPE", "CascadeSoftmax"),
]
_TWO: list[Any] = ["BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny"]]
MIXUP: list[Any] = [
    *(*_TWO, "TRAIN.COMBINER.TYPE", "mixup", "LOSS.LOSS_TYPE", "BalancedSoftmaxCE", "TRAIN.TWO_STAGE.DRW", True),
]
MANIFOLD: list[Any] = [
    *(*_TWO, "TRAIN.COMBINER.TYPE", "manifold_mixup", "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION", "body.1"),
]
REMIX: list[Any] = [*CE, "TRAIN.COMBINER.TYPE", "remix", "LOSS.LOSS_TYPE", "LDAMLoss", "CLASSIFIER.TYPE", "FCNorm"]
CUTMIX: list[Any] = [*MIXUP, "TRAIN.COMBINER.TYPE", "cutmix"]
BBN: list[Any] = [*CE, "TRAIN.COMBINER.TYPE", "bbn_mixup", "TRAIN.SAMPLER.TYPE", "bbn sampler"]
_SUBCLASS = "TRAIN.COMBINER.SUBCLASS"
SUBCLASS: list[Any] = [
    *(*CE, "TRAIN.COMBINER.TYPE", "subclass_contrastive", "DATASET.VIEWS", ["crop", "crop"], f"{_SUBCLASS}.DELTA", 5),
    *(f"{_SUBCLASS}.WARM_EPOCHS", 1, f"{_SUBCLASS}.EVERY", 1),
]
SUBCLASS_BATCH: list[Any] = [*SUBCLASS, "NETWORK.PROJECTION_DIM", 4]
SUBCLASS_QUEUE: list[Any] = [*SUBCLASS, "NETWORK.MOCO", True, "NETWORK.MOCO_K", 100, "NETWORK.MOCO_DIM", 4]
DIVE: list[Any] = [*CE, "TRAIN.COMBINER.TYPE", "distillation", "LOSS.LOSS_TYPE", "DiVEKLD"]


def tiny_config(output: Path, *overrides: Any, method: list[Any] = CE) -> CfgNode:
    """Return the config of Digits-LT with a tiny network: three epochs of four batches.

    Args:
        output: OUTPUT_DIR.
        overrides: KEY, VALUE, ... over everything else.
        method: Settings of the method, as `CE`.
    """
    settings = [
        *("DATASET.DATASET", "digits_lt", "DATASET.VIEWS", ["crop"], "DATASET.NORMALIZATION", "digits"),
        *("DATASET.IMBALANCECIFAR.RATIO", 0.02, "OUTPUT_DIR", str(output), "NAME", "tiny"),
        *("TRAIN.BATCH_SIZE", 64, "TRAIN.MAX_EPOCH", 3, "TRAIN.OPTIMIZER.BASE_LR", 0.05, "VALID_STEP", 1),
        *("TEST.BATCH_SIZE", 256, "TRAIN.TENSORBOARD.ENABLE", False, "DROPOUT", True),
    ]
    return load_config(None, [*settings, *method, *overrides])


TinyConfig = Callable[..., CfgNode]  # `tiny_config` with an output folder
FinishedRun = Callable[..., RunDirectory]  # the same arguments, see `finished_run` of `training_fixtures`


def train(cfg: CfgNode, resume: str = "auto") -> RunDirectory:
    """Train in this process on the CPU; return the run directory."""
    run = train_stage.train(cfg, CONFIG, place=CPU, resume=resume)
    assert run is not None
    return run


def without_figures(patch: pytest.MonkeyPatch) -> None:
    """Skip the figures of a training, which take most of the time of such a small run."""
    for name in FIGURES:
        patch.setattr(train_stage, name, lambda *args, **kwargs: None)
    patch.setattr(SubclassContrastive, "figures", lambda method, data: {})


def patch_step(patch: pytest.MonkeyPatch, before: Callable[[Trainer], None]) -> None:
    """Call a function with the trainer before every training step."""
    original = Trainer.train_step

    def step(self: Trainer, batch: Batch, where: Any) -> Any:
        before(self)
        return original(self, batch, where)

    patch.setattr(Trainer, "train_step", step)


def stop_after(steps: int, patch: pytest.MonkeyPatch, signum: int = signal.SIGTERM) -> None:
    """Send a signal while batch number `steps` of the process is computed."""
    done = 0

    def count(trainer: Trainer) -> None:
        nonlocal done
        done += 1
        if done == steps:
            signal.raise_signal(signum)

    patch_step(patch, count)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, which must be standard JSON."""
    return json.loads(path.read_text(), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def read_records(run: RunDirectory, split: str = "") -> list[dict[str, Any]]:
    """Return the records of metrics.jsonl, of one split if it is named."""
    lines = run.metrics.read_text().splitlines()
    records = [json.loads(line, parse_constant=_refuse) for line in lines]
    return [record for record in records if split in ("", record["split"])]


def values(run: RunDirectory) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Return what a run computed: the newest state, and metrics and results without times and digests of files."""
    state = read_checkpoint(run.last)
    state.pop("seconds")
    metrics = read_records(run)
    for record in metrics:
        record.pop("seconds", None)
        record.pop("images_per_second", None)
    results = read_json(run.results)
    results.pop("seconds")
    for digests in ("outputs", "checksum"):  # of what holds the seconds
        results.pop(digests)
    return state, metrics, results


def assert_same(first: object, second: object, where: str = "") -> None:
    """Compare nested containers of tensors bit by bit."""
    assert type(first) is type(second), where
    if isinstance(first, Tensor):
        assert isinstance(second, Tensor)
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert isinstance(second, dict)
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)):
        assert isinstance(second, (list, tuple))
        assert len(first) == len(second), where
        for number, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{where}/{number}")
    else:
        assert first == second, where
