"""A network, and settings, with which a whole training takes a second."""

from pathlib import Path

import pytest
import torch
from longtail.config import load_config
from longtail.models import BACKBONES
from longtail.models.backbones import Backbone
from torch import nn
from yacs.config import CfgNode


class Tiny(Backbone):
    """Two convolutions with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.out_features = 8
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)


BACKBONES.register("tiny")(Tiny)

CE = ["BACKBONE.TYPE", "tiny"]
NCL = [
    *("BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny", "tiny"], "TRAIN.COMBINER.TYPE", "nested"),
    *("LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 3, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM", 0.6),
]


@pytest.fixture
def tiny_cfg(tmp_path: Path):
    """Return a maker of trees: Digits-LT, a tiny network, three epochs of four batches."""

    def make(*overrides: object, method: list[object] = CE) -> CfgNode:
        settings = [
            *("DATASET.DATASET", "digits_lt", "DATASET.VIEWS", ["crop"], "DATASET.NORMALIZATION", "digits"),
            *("DATASET.IMBALANCECIFAR.RATIO", 0.02, "OUTPUT_DIR", str(tmp_path / "output"), "NAME", "tiny"),
            *("TRAIN.BATCH_SIZE", 64, "TRAIN.MAX_EPOCH", 3, "TRAIN.OPTIMIZER.BASE_LR", 0.05, "VALID_STEP", 1),
            *("TEST.BATCH_SIZE", 256, "TRAIN.TENSORBOARD.ENABLE", False, "DROPOUT", True),
        ]
        return load_config(None, [*settings, *method, *overrides])

    return make


@pytest.fixture(autouse=True)
def no_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures out, which take most of the time of so small a run; tests marked `figures` draw them."""
    if "figures" in request.keywords:
        return
    from longtail.engine import training

    for name in ("plot_class_counts", "plot_curves", "plot_per_class_accuracy", "plot_confusion"):
        monkeypatch.setattr(training, name, lambda *args, **kwargs: None)
