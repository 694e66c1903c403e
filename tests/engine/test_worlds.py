"""One, two and three processes that share a global batch compute the same."""

import pytest
import torch
from longtail.engine.distributed import World, check_synchronised, synchronise_norms
from tiny import CONTRASTIVE, NCL
from torch import nn
from worlds import train_in_world

from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import build_model

SIZES = (1, 2, 3)
GLOBAL_BATCH = 48  # of 276 images: five steps
# Batch norm, dropout and augmentation are a process's own, see docs/differences.md; all else must not be.
ALIKE = ["DROPOUT", False, "DATASET.VIEWS", ["none"], "EVAL_MODE", True, "TRAIN.MAX_EPOCH", 1]


def look(trainer):
    return {
        "model": trainer.network.state_dict(),
        "method": trainer.method.state_dict(),
        "confusion": [trainer.judge.confusion(which).matrix for which in ("ensemble", 0, 1, 2)],
        "steps": len(trainer.loaders.train),
        "writes": trainer.run is not None,
    }


@pytest.fixture(scope="module", params=["nested", "contrastive"])
def worlds(request, tmp_path_factory):
    """Return what every process of every world ended with."""
    from longtail.config import load_config

    method = {"nested": NCL, "contrastive": [*CONTRASTIVE, "DATASET.VIEWS", ["none", "none"]]}[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    results = {}
    for size in SIZES:
        cfg = load_config(
            None,
            [
                *("DATASET.DATASET", "digits_lt", "DATASET.NORMALIZATION", "digits", "VALID_STEP", 1),
                *("DATASET.IMBALANCECIFAR.RATIO", 0.02, "OUTPUT_DIR", str(folder / str(size)), "TEST.BATCH_SIZE", 64),
                *("TRAIN.OPTIMIZER.BASE_LR", 0.05, "TRAIN.TENSORBOARD.ENABLE", False),
                *(*ALIKE, *method, "TRAIN.BATCH_SIZE", GLOBAL_BATCH // size),
            ],
        )
        results[size] = train_in_world(size, cfg, look)
        assert len(list((folder / str(size) / "default").iterdir())) == 1  # one process writes
    return results


@pytest.mark.parametrize("size", SIZES[1:])
def test_parameters_after_five_steps_are_equal(worlds, size):
    alone = worlds[1][0]["model"]
    for process in worlds[size]:
        assert process["steps"] == 5
        for name, value in process["model"].items():
            torch.testing.assert_close(
                value, alone[name], rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name} {text}"
            )


@pytest.mark.parametrize("size", SIZES)
def test_all_processes_hold_the_same_bits(worlds, size):
    first, *others = worlds[size]
    for other in others:
        for part in ("model", "method"):
            for name, value in first[part].items():
                assert torch.equal(value, other[part][name]), f"{part} {name}"


@pytest.mark.parametrize("size", SIZES[1:])
def test_queues_do_not_depend_on_the_number_of_processes(worlds, size):
    alone, several = worlds[1][0]["method"], worlds[size][0]["method"]
    assert alone.keys() == several.keys()
    for name in (name for name in alone if name.startswith("queue.")):
        torch.testing.assert_close(several[name], alone[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES[1:])
def test_confusion_matrices_are_identical(worlds, size):
    for process in worlds[size]:
        for one, other in zip(process["confusion"], worlds[1][0]["confusion"], strict=True):
            assert int(one.sum()) == 797
            assert torch.equal(one, other)


def test_one_process_writes(worlds):
    assert [process["writes"] for process in worlds[3]] == [True, False, False]


def test_synchronised_norms_keep_parameters_and_names(tiny_cfg):
    cfg = tiny_cfg(method=CONTRASTIVE)
    network = build_model(cfg, 10)
    method = build_method(cfg, network, build_loss(cfg, [10] * 10))
    before = [dict(network.named_parameters()), dict(method.named_parameters())]
    world = World(size=2)
    synchronise_norms(network, world)
    synchronise_norms(method, world)
    for module, names in zip((network, method), before, strict=True):
        assert any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())
        assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
        now = dict(module.named_parameters())
        assert now.keys() == names.keys()
        assert all(now[name] is names[name] for name in names)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    start = method.key_encoder.experts[0].backbone.body[1].weight.clone()
    method.key_encoder.follow()  # the encoder still moves the parameters that it uses
    assert not torch.equal(method.key_encoder.experts[0].backbone.body[1].weight, start)


def test_one_process_has_nothing_to_synchronise(tiny_cfg):
    network = build_model(tiny_cfg(), 10)
    synchronise_norms(network, World())
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in network.modules())
    check_synchronised(torch.device("cpu"), World())


def test_synchronised_norms_on_cpus_are_refused():
    with pytest.raises(UserError, match=r"^TRAIN.SYNCBN is True, for 2 processes on CPUs; .* False lets each"):
        check_synchronised(torch.device("cpu"), World(size=2))
    check_synchronised(torch.device("cuda", 0), World(size=2))
