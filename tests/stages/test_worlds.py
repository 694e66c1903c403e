"""Trainings in one, two and three processes with the same global batch give the same results."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from yacs.config import CfgNode

from longtail.distributed import Place, World
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import build_model, synchronize_batch_norm
from longtail.runs.run import Run
from longtail.stages import train as train_stage
from longtail.stages.checks import check_training
from tests.helpers.methods import KnownData
from tests.helpers.processes import Results, run_processes
from tests.helpers.training import (
    CASCADE,
    CE,
    CONTRASTIVE,
    CUTMIX,
    NCL,
    TinyConfig,
    read_json,
    stop_after,
    tiny_config,
)
from tests.helpers.worlds import place_in, train_in_worlds

SIZES = (1, 2, 3)
INVERSE = ["LOSS.CLASS_WEIGHTS.TYPE", "inverse"]
GLOBAL_BATCH = 48  # of 276 images: five steps
METHODS = {
    "ncl": NCL,
    "contrastive": [*CONTRASTIVE, "DATASET.VIEWS", ["none", "none"]],
    "class weights": [*CE, "LOSS.LOSS_TYPE", "CostSensitiveCE"],
    "smoothing": [*CE, "LOSS.LOSS_TYPE", "CrossEntropyLabelSmooth", *INVERSE],
    "cascade": CASCADE,
}
# Only batch norm, dropout and augmentation may differ between processes, see docs/differences.md.
ALIKE = ["DROPOUT", False, "DATASET.VIEWS", ["none"], "EVAL_MODE", True, "TRAIN.MAX_EPOCH", 1, "TEST.BATCH_SIZE", 64]


def config(folder: Path, method: list[Any], size: int) -> CfgNode:
    settings = [*ALIKE, *method, "TRAIN.BATCH_SIZE", GLOBAL_BATCH // size]
    return tiny_config(folder / str(size), method=settings)


def look(trainer: Trainer) -> dict[str, Any]:
    training, evaluator = trainer.training, trainer.evaluator
    assert evaluator is not None
    return {
        "model": training.network.state_dict(),
        "method": training.method.state_dict(),
        "confusion": [evaluator.confusion(which).matrix for which in ("ensemble", *range(evaluator.experts))],
        "steps": len(training.loaders.train),
        "writes": trainer.run.directory is not None,
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_processes_that_share_a_batch_compute_the_same(method: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    worlds = train_in_worlds(partial(config, tmp_path, METHODS[method]), results, worlds=SIZES, look=look)
    check_numbers(worlds)
    check_bits(worlds)
    for size in SIZES:
        assert len(list((tmp_path / str(size) / "tiny").iterdir())) == 1  # one process writes
        assert [process["writes"] for process in worlds[size]] == [True] + [False] * (size - 1)


@pytest.mark.slow
def test_processes_of_cutmix_with_repeat_factors_stay_equal(tmp_path: Path) -> None:
    """They draw other boxes and see other images, but all end with the same weights."""
    results = tmp_path / "results"
    results.mkdir()
    method = [*CUTMIX, "TRAIN.SAMPLER.TYPE", "repeat-factor sampler"]

    def weights_and_steps(trainer: Trainer) -> dict[str, Any]:
        return {"model": trainer.training.network.state_dict(), "steps": len(trainer.training.loaders.train)}

    make = partial(config, tmp_path, method)
    first, other = train_in_worlds(make, results, worlds=(2,), look=weights_and_steps)[2]
    assert first["steps"] == other["steps"] > 276 // GLOBAL_BATCH
    for name, value in first["model"].items():
        assert value.isfinite().all() and torch.equal(value, other["model"][name]), name


@pytest.mark.slow
def test_figures_may_take_longer_than_the_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 0 draws them while the others wait."""
    monkeypatch.setattr(train_stage, "plot_curves", lambda *arguments: time.sleep(8))
    results = tmp_path / "results"
    results.mkdir()

    def work(rank: int, world: int) -> str:
        cfg = config(tmp_path, CE, world)
        return str(train_stage.train(cfg, "tiny.yaml", place=place_in(rank, world)).path)

    first, other = run_processes(work, results, worlds=[2], timeout=5)[2]
    assert first == other and read_json(Path(first) / "results.json")["finished"]


def check_numbers(worlds: Results) -> None:
    """Compare parameters, queues and counts with those of one process."""
    alone = worlds[1][0]
    for process in (process for size in SIZES for process in worlds[size]):
        assert process["steps"] == 5
        assert process["method"].keys() == alone["method"].keys()
        numbers = {**process["model"], **{k: v for k, v in process["method"].items() if k.startswith("queue.")}}
        for name, value in numbers.items():
            expected = alone["model" if name in alone["model"] else "method"][name]
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-5, msg=name)
        for one, other in zip(process["confusion"], alone["confusion"], strict=True):
            assert int(one.sum()) == 797
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def check_bits(worlds: Results) -> None:
    """Compare the processes of every world with each other."""
    for size in SIZES:
        first, *others = worlds[size]
        for other in others:
            for part in ("model", "method"):
                for name, value in first[part].items():
                    assert torch.equal(value, other[part][name]), f"{part} {name}"


def test_momentum_encoder_follows_synchronized_norms(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg(method=CONTRASTIVE)
    network = build_model(cfg, 10)
    method: Any = build_method(cfg, network, build_loss(cfg, [10] * 10), KnownData([10] * 10))
    for module in (network, method):
        synchronize_batch_norm(module, place_in(0, 2))
        assert any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    weights = [name for name, _ in method.key_encoder.named_parameters()]
    assert any("body.1.weight" in name for name in weights)
    start = {name: value.clone() for name, value in method.key_encoder.named_parameters()}
    method.key_encoder.follow()
    for name, value in method.key_encoder.named_parameters():
        assert not torch.equal(value, start[name]), name


def test_synchronized_norms_on_cpus_are_refused(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg("TRAIN.SYNCBN", True)
    with pytest.raises(UserError, match=r"^TRAIN.SYNCBN is True, but the 2 processes are on CPUs; .* False"):
        check_training(cfg, place_in(0, 2))
    check_training(tiny_cfg("TRAIN.SYNCBN", True), Place())
    check_training(cfg, Place(World(0, 0, 2), (torch.device("cuda", 0),), torch.device("cuda", 0)))


def stopped(cfg: CfgNode, rank: int, world: int) -> list[float]:
    """Stop a training by signals to process 1; return when the state was saved, and when the training ended."""
    saved, save = [0.0], Run.save

    def slowly(run: Run, name: str, content: dict[str, Any]) -> None:
        time.sleep(0.5)
        save(run, name, content)
        saved[0] = time.monotonic()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", slowly)
        if rank == 1:
            for step in (2, 3):  # as if a launcher forwarded the signal that it received, too
                stop_after(step, patch)
        try:
            train_stage.train(cfg, "tiny", place=place_in(rank, world))
        except Interrupted:
            return [saved[0], time.monotonic()]
    raise AssertionError


@pytest.mark.slow
def test_all_processes_end_after_the_state_is_saved(tmp_path: Path) -> None:
    """A launcher ends process 0 once another process has ended."""
    (tmp_path / "results").mkdir()
    cfg = config(tmp_path, CE, 2)
    (saved, _), (_, ended) = run_processes(lambda r, w: stopped(cfg, r, w), tmp_path / "results", worlds=[2])[2]
    assert 0 < saved <= ended
    (run,) = (tmp_path / "2" / "tiny").iterdir()
    assert (run / "models" / "last.pth").is_file()
