"""The method subclass_contrastive over one, two and three processes: the same subclasses and the same parameters."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from tests.helpers.processes import Results, run_processes
from tests.helpers.subclass_training import IN_BATCH, QUEUE, SUBCLASS, Images, build, step

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)
KINDS = {"in batch": IN_BATCH, "queue": [*QUEUE, f"{SUBCLASS}.POSITIVES", 0]}  # 0: the warm-up draws nothing


def work(rank: int, world: int) -> dict[str, Any]:
    """Return what a process ends with after five steps: one of warm-up, and two after each of two clusterings."""
    found = {}
    for name, kind in KINDS.items():
        data = Images()
        method, network = build(kind, data=data, wrap=DistributedDataParallel)
        subclasses = []
        for number, epoch in enumerate((1, 2, 3, 4, 5)):
            method.set_epoch(epoch)
            method.on_epoch_start(epoch, data)
            step(method, network, data.batch(number, rank=rank, world=world))
            subclasses.append(method.subclasses.ids.clone())
        found[name] = {"subclasses": subclasses, "network": network.state_dict(), "method": method.state_dict()}
    return found


def cluster_own_features(rank: int, world: int) -> list[Tensor]:
    """Return what a process gets from a clustering, although its features differ from those of the others."""
    data = Images()
    subclasses = build(IN_BATCH, data=data)[0].subclasses
    features = torch.randn(23, 5, generator=torch.Generator().manual_seed(rank))
    subclasses.cluster(F.normalize(features, dim=1), 1)
    return [subclasses.ids, subclasses.temperatures]


def test_subclasses_are_those_of_process_0(tmp_path: Path) -> None:
    found = run_processes(cluster_own_features, tmp_path, worlds=(1, 2))
    for process in found[2]:
        assert all(map(torch.equal, process, found[1][0]))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


@pytest.mark.parametrize("world", WORLDS[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_subclasses_are_the_same_in_all_processes_and_in_one(results: Results, world: int, kind: str) -> None:
    expected = results[1][0][kind]["subclasses"]
    assert not torch.equal(expected[0], expected[1]) and not torch.equal(expected[2], expected[3])
    for process in results[world]:
        for own, wanted in zip(process[kind]["subclasses"], expected, strict=True):
            assert torch.equal(own, wanted)


@pytest.mark.parametrize("world", WORLDS[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_after_five_steps_are_those_of_one_process(results: Results, world: int, kind: str) -> None:
    start = build(KINDS[kind])[1].state_dict()
    for name, expected in results[1][0][kind]["network"].items():
        assert not torch.equal(start[name], expected), name
        for process in results[world]:
            torch.testing.assert_close(process[kind]["network"][name], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("world", WORLDS[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_state_of_the_method_is_that_of_one_process(results: Results, world: int, kind: str) -> None:
    """Subclasses, temperatures, key encoder and queue; only several processes draw permutations."""
    expected = results[1][0][kind]["method"]
    for process in results[world]:
        for name, value in process[kind]["method"].items():
            if "_extra_state" not in name:
                torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("world", WORLDS[1:])
def test_permutations_of_all_processes_come_from_one_state(results: Results, world: int) -> None:
    first, *others = (process["queue"]["method"]["contrast.shuffle._extra_state"] for process in results[world])
    assert all(torch.equal(first, other) for other in others)
