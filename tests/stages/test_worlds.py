"""Trainings in one, two and three processes that share a global batch compute the same."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from yacs.config import CfgNode

from longtail.distributed import Place, World
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import build_model, synchronize_batch_norm
from longtail.stages.checks import check_training
from tests.helpers.methods import KnownData
from tests.helpers.processes import Results
from tests.helpers.training import CONTRASTIVE, NCL, TinyConfig, tiny_config
from tests.helpers.worlds import place_in, train_in_worlds

SIZES = (1, 2, 3)
GLOBAL_BATCH = 48  # of 276 images: five steps
METHODS = {"ncl": NCL, "contrastive": [*CONTRASTIVE, "DATASET.VIEWS", ["none", "none"]]}
# Batch norm, dropout and augmentation are a process's own, see docs/differences.md; all else must not be.
ALIKE = ["DROPOUT", False, "DATASET.VIEWS", ["none"], "EVAL_MODE", True, "TRAIN.MAX_EPOCH", 1, "TEST.BATCH_SIZE", 64]


def config(folder: Path, method: list[Any], size: int) -> CfgNode:
    settings = [*ALIKE, *method, "TRAIN.BATCH_SIZE", GLOBAL_BATCH // size]
    return tiny_config(folder / str(size), method=settings)


def look(trainer: Trainer) -> dict[str, Any]:
    training = trainer.training
    assert trainer.evaluator is not None
    return {
        "model": training.network.state_dict(),
        "method": training.method.state_dict(),
        "confusion": [trainer.evaluator.confusion(which).matrix for which in ("ensemble", 0, 1, 2)],
        "steps": len(training.loaders.train),
        "writes": trainer.run.directory is not None,
    }


@pytest.fixture(scope="module", params=METHODS)
def worlds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return what every process of every world ended with."""
    folder = tmp_path_factory.mktemp(request.param)
    make = partial(config, folder, METHODS[request.param])
    results = train_in_worlds(make, tmp_path_factory.mktemp("results"), worlds=SIZES, look=look)
    for size in SIZES:
        assert len(list((folder / str(size) / "tiny").iterdir())) == 1  # one process writes
    return results


@pytest.mark.parametrize("size", SIZES[1:])
def test_parameters_do_not_depend_on_the_number_of_processes(worlds: Results, size: int) -> None:
    alone = worlds[1][0]["model"]
    for process in worlds[size]:
        assert process["steps"] == 5
        for name, value in process["model"].items():
            assert torch.allclose(value, alone[name], rtol=0, atol=1e-5), name


@pytest.mark.parametrize("size", SIZES)
def test_all_processes_hold_the_same_bits(worlds: Results, size: int) -> None:
    first, *others = worlds[size]
    for other in others:
        for part in ("model", "method"):
            for name, value in first[part].items():
                assert torch.equal(value, other[part][name]), f"{part} {name}"


@pytest.mark.parametrize("size", SIZES[1:])
def test_queues_do_not_depend_on_the_number_of_processes(worlds: Results, size: int) -> None:
    alone, several = worlds[1][0]["method"], worlds[size][0]["method"]
    assert alone.keys() == several.keys()
    for name in (name for name in alone if name.startswith("queue.")):
        torch.testing.assert_close(several[name], alone[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES[1:])
def test_confusion_matrices_count_every_image_once(worlds: Results, size: int) -> None:
    for process in worlds[size]:
        for one, other in zip(process["confusion"], worlds[1][0]["confusion"], strict=True):
            assert int(one.sum()) == 797
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_one_process_writes(worlds: Results) -> None:
    assert [process["writes"] for process in worlds[3]] == [True, False, False]


def test_synchronized_norms_keep_parameters_and_names(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg(method=CONTRASTIVE)
    network = build_model(cfg, 10)
    method: Any = build_method(cfg, network, build_loss(cfg, [10] * 10), KnownData([10] * 10))
    before = [dict(network.named_parameters()), dict(method.named_parameters())]
    place = place_in(0, 2)
    synchronize_batch_norm(network, place)
    synchronize_batch_norm(method, place)
    for module, names in zip((network, method), before, strict=True):
        assert any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())
        assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
        now = dict(module.named_parameters())
        assert now.keys() == names.keys()
        assert all(now[name] is names[name] for name in names)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    start = {name: value.clone() for name, value in method.state_dict().items()}
    method.on_step_end()  # the momentum encoder still follows the parameters
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, start[name])}
    assert any("body.1.weight" in name for name in moved)


def test_one_process_has_nothing_to_synchronize(tiny_cfg: TinyConfig) -> None:
    network = build_model(tiny_cfg(), 10)
    synchronize_batch_norm(network, Place())
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in network.modules())
    check_training(tiny_cfg("TRAIN.SYNCBN", True), Place())


def test_synchronized_norms_on_cpus_are_refused(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg("TRAIN.SYNCBN", True)
    with pytest.raises(UserError, match=r"^TRAIN.SYNCBN is True, for 2 processes on CPUs; .* False lets each"):
        check_training(cfg, place_in(0, 2))
    check_training(cfg, Place(World(0, 0, 2), (torch.device("cuda", 0),)))
