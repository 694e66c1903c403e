"""The forward pass before a run directory exists."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.data import build_splits
from longtail.engine.training import Training
from longtail.errors import UserError
from longtail.stages.build import build_training
from longtail.stages.dry_run import dry_run
from tests.helpers.training import CPU, NCL, TinyConfig, train


def build(cfg: CfgNode) -> Training:
    return build_training(cfg, build_splits(cfg), place=CPU, source="x.yaml")


def files_config(image_folder: Callable[..., str], output: Path, sizes: Any, *overrides: Any) -> CfgNode:
    """Return a config of eight image files per split that are read as they are."""
    lists = {split: image_folder(split, [0, 1] * 4, 2, sizes[split]) for split in ("train", "valid")}
    settings = [
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", lists["train"], "DATASET.VALID_JSON", lists["valid"]),
        *("DATASET.VIEWS", ["none"], "TRAIN.BATCH_SIZE", 4, "TEST.BATCH_SIZE", 4, "OUTPUT_DIR", str(output)),
        *("TRAIN.NUM_WORKERS", 0, "TEST.NUM_WORKERS", 0, "BACKBONE.TYPE", "tiny"),
    ]
    return load_config(None, [*settings, *overrides])


def test_dry_run_leaves_network_and_generators_as_they_were(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg(method=NCL)
    training = build(cfg)
    training.network.train()
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    random = torch.get_rng_state()
    dry_run(cfg, training)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in training.network.modules())
    for name, value in training.network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("split", ["training", "validation"])
def test_images_that_the_network_refuses_are_reported(
    tiny_cfg: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    class Picky(nn.Module):
        seen = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            Picky.seen += 1
            if Picky.seen == ("training", "validation").index(split) + 1:
                raise RuntimeError("expected\nsquare   images")
            return images

    cfg = tiny_cfg()
    training = build(cfg)
    monkeypatch.setattr(training, "network", Picky())
    message = (
        rf"^the network \(1 x tiny with FC heads\) cannot take the {split} images of 32x32: expected square images; "
        r"these keys resize them, .*: DATASET.VIEWS '\[regular\]' .* INPUT_SIZE '\(\d+, \d+\)'$"
    )
    with pytest.raises(UserError, match=message):
        dry_run(cfg, training)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_backbone_of_another_image_size_is_refused_before_a_run_exists(
    image_folder: Callable[..., str], tmp_path: Path
) -> None:
    output = tmp_path / "output"
    sizes = {"train": ((66, 66),), "valid": ((66, 66),)}
    cfg = files_config(
        image_folder, output, sizes, "BACKBONE.TYPE", "timm/vit_tiny_patch16_224", "INPUT_SIZE", [32, 32]
    )
    with pytest.raises(UserError, match=r"cannot take the training images of 66x66: .*INPUT_SIZE '\(32, 32\)'"):
        train(cfg)
    assert not output.exists()


@pytest.mark.parametrize("split", ["train", "valid"])
def test_images_of_several_sizes_are_refused_before_a_run_exists(
    image_folder: Callable[..., str], tmp_path: Path, split: str
) -> None:
    output = tmp_path / "output"
    sizes = {"train": ((66, 66),), "valid": ((66, 66),), split: ((66, 66), (70, 66))}
    with pytest.raises(UserError, match=r"images of one batch differ in size \(66x66 and 70x66\)"):
        train(files_config(image_folder, output, sizes))
    assert not output.exists()


def test_batches_that_exceed_shared_memory_are_refused_before_a_run_exists(
    image_folder: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    cfg = files_config(image_folder, output, dict.fromkeys(("train", "valid"), ((66, 66),)), "TRAIN.NUM_WORKERS", 1)

    def refuse(size: int, *, workers: int) -> None:
        if workers:
            raise UserError(f"{workers} workers, {size} bytes")

    monkeypatch.setattr("longtail.data.loaders.files.check_shared_memory", refuse)
    with pytest.raises(UserError, match=f"1 workers, {4 * 3 * 66 * 66} bytes"):
        train(cfg)
    assert not output.exists()
