"""Wrapping of networks for several devices."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from longtail.distributed import Place, World
from longtail.models import Output, synchronize_batch_norm, unwrap, wrap
from longtail.models.wrapping import ParallelModule
from tests.helpers.networks import res32
from tests.helpers.processes import run_processes

CPU = torch.device("cpu")


def test_wrap_in_one_process_on_one_device_returns_the_module() -> None:
    module = nn.Linear(2, 2)
    assert wrap(module, Place()) is module
    assert unwrap(module) is module


def test_wrap_for_several_devices_is_data_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped: list[Any] = []
    monkeypatch.setattr(ParallelModule, "__init__", lambda self, module, ids: wrapped.append((module, ids)))
    module, gpus = nn.Linear(2, 2), (torch.device("cuda", 0), torch.device("cuda", 2))
    assert type(wrap(module, Place(devices=gpus, device=gpus[0]))) is ParallelModule
    assert wrapped == [(module, [0, 2])]


def work(rank: int, world: int) -> list[bool]:
    place = Place(World(rank, rank, world))
    module, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        wrapped = wrap(module, place)
    return [isinstance(wrapped, DistributedDataParallel), unwrap(wrapped) is module, wrap(frozen, place) is frozen]


@pytest.mark.slow
def test_wrap_for_several_processes_is_distributed_data_parallel(tmp_path: Path) -> None:
    assert run_processes(work, tmp_path, worlds=[2])[2] == [[True, True, True]] * 2


@pytest.mark.parametrize("tuples", [False, True])
def test_parallel_module_gathers_outputs(tuples: bool) -> None:
    outputs = []
    for start in (0.0, 10.0):
        features = torch.full((2, 3, 5), start)
        heads: Any = (features[0], features[1, :, :2]) if tuples else features
        outputs.append(Output(torch.full((2, 3, 4), start), heads, None))
    gathered = ParallelModule(nn.Identity()).gather(outputs, CPU)
    assert isinstance(gathered, Output)
    assert gathered.logits.shape == (2, 6, 4) and gathered.projections is None
    assert gathered.logits[0, :, 0].tolist() == [0.0] * 3 + [10.0] * 3
    widths = [5, 2] if tuples else [5, 5]
    assert [tuple(rows.shape) for rows in gathered.features] == [(6, width) for width in widths]
    assert gathered.features[1][:, 0].tolist() == [0.0] * 3 + [10.0] * 3


def test_synchronize_batch_norm_keeps_parameters_and_names() -> None:
    network = res32()
    before = dict(network.named_parameters())
    synchronize_batch_norm(network, Place(World(size=2)))
    assert any(isinstance(part, nn.SyncBatchNorm) for part in network.modules())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    now = dict(network.named_parameters())
    assert now.keys() == before.keys()
    assert all(now[name] is before[name] for name in before)


def test_synchronize_batch_norm_in_one_process_changes_nothing() -> None:
    network = res32()
    synchronize_batch_norm(network, Place())
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in network.modules())
