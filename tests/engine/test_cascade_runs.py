"""Trainings of small cascades, convolutional and transformer: resumed bit for bit, and in one or two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from tests.helpers.processes import Results
from tests.helpers.training import (
    BATCHES,
    CASCADE,
    FinishedRun,
    TinyConfig,
    assert_same,
    stop_after,
    tiny_config,
    train,
    values,
)
from tests.helpers.worlds import train_in_worlds

pytestmark = pytest.mark.slow

WORLDS = (1, 2)
GLOBAL_BATCH = 48  # of 276 images
MIXUP: list[Any] = ["TRAIN.COMBINER.TYPE", "mixup", "TRAIN.COMBINER.PER_SAMPLE", True]
CNN: list[Any] = [*CASCADE, "BACKBONE.LR_SCALE", 0.5, "TEST.ENSEMBLE", "last"]
VIT: list[Any] = [
    *(
        "NETWORK.TYPE",
        "cascade",
        "BACKBONE.TYPE",
        "timm/test_vit",
        "INPUT_SIZE",
        (32, 32),
        "CLASSIFIER.TYPE",
        "cosnorm",
    ),
    *("LOSS.LOSS_TYPE", "CascadeSigmoid", "TRAIN.OPTIMIZER.TYPE", "ADAMW", "TRAIN.OPTIMIZER.LAYER_DECAY", 0.75),
    *(
        "TRAIN.OPTIMIZER.DECAY_1D",
        False,
        "TRAIN.LR_SCHEDULER.TYPE",
        "warmup_cosine",
        "TRAIN.LR_SCHEDULER.WARM_EPOCH",
        1,
    ),
    *("TRAIN.OPTIMIZER.BASE_LR", 1e-3, "TRAIN.AMP", "off"),
]
DROP: list[Any] = ["BACKBONE.DROP_PATH", 0.2]


@pytest.mark.parametrize("steps", [2, BATCHES, BATCHES + 3])
@pytest.mark.parametrize("method", [[*CNN, *MIXUP], [*VIT, *MIXUP, *DROP]], ids=["cnn", "vit"])
def test_cascade_resumes_bit_by_bit(
    finished_run: FinishedRun, tiny_cfg: TinyConfig, method: list[Any], steps: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(method=method))
    assert_same(values(finished_run(method=method)), values(train(tiny_cfg(method=method))))


def look(trainer: Trainer) -> Any:
    evaluator = trainer.evaluator
    assert evaluator
    heads: list[Any] = ["ensemble", *range(evaluator.experts)]
    model = trainer.training.network.state_dict()
    return {"model": model, "confusion": [evaluator.confusion(head).matrix for head in heads]}


@pytest.fixture(scope="module", params=["cnn", "vit"])
def worlds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Results]:
    """Return the final state of every process of every world."""
    folder = tmp_path_factory.mktemp(request.param)
    method = {"cnn": CNN, "vit": VIT}[request.param]
    alike = ["DROPOUT", False, "DATASET.VIEWS", ["none"], "EVAL_MODE", True, "TRAIN.MAX_EPOCH", 1]
    alike += ["TRAIN.OPTIMIZER.TYPE", "SGD"]  # Adam divides gradients by their size, and so enlarges rounding errors

    def make(size: int) -> Any:
        batch = ["TRAIN.BATCH_SIZE", GLOBAL_BATCH // size, "TEST.BATCH_SIZE", 64]
        return tiny_config(Path(folder / str(size)), *alike, *batch, method=method)

    return request.param, train_in_worlds(make, folder, worlds=WORLDS, look=look)


def test_processes_end_with_the_same_cascade(worlds: tuple[str, Results]) -> None:
    first, second = worlds[1][2]
    assert_same(first, second)


def test_cascade_does_not_depend_on_the_number_of_processes(worlds: tuple[str, Results]) -> None:
    kind, results = worlds
    alone, several = results[1][0], results[2][0]
    assert all(int(matrix.sum()) == 797 for matrix in several["confusion"])
    if kind == "cnn":  # the dropout of its branches differs between processes
        return
    for name, value in several["model"].items():
        torch.testing.assert_close(value, alone["model"][name], rtol=0, atol=2e-5, msg=name)
