"""Settings with which a whole training takes a second."""

from pathlib import Path

import pytest
from tiny import CE
from yacs.config import CfgNode

from longtail.config import load_config


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
