"""Subclasses and temperatures of the training images."""

import logging

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.clustering import class_temperatures, cluster_classes
from longtail.methods.subclasses import Subclasses

COUNTS = [12, 6, 3, 2]
LABELS = torch.arange(4).repeat_interleave(torch.tensor(COUNTS))[
    torch.randperm(23, generator=torch.Generator().manual_seed(0))
]


def subclasses(clustering: str = "capped", *, rule: str = "released", seed: int = 3) -> Subclasses:
    settings = {"clustering": clustering, "temperature_rule": rule, "temperature": 0.2, "seed": seed}
    return Subclasses(LABELS, COUNTS, delta=2, **settings)  # type: ignore[arg-type]


def features(seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(23, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_subclasses_are_the_classes_at_first() -> None:
    own = subclasses()
    assert torch.equal(own.ids, LABELS)
    assert torch.equal(own.temperatures, torch.full((4,), 0.2))
    assert own.numbers == [6, 3, 1, 1]


@pytest.mark.parametrize("clustering", ["capped", "kmeans", "balanced"])
@pytest.mark.parametrize("rule", ["released", "paper", "constant"])
def test_cluster_sets_subclasses_and_temperatures(clustering: str, rule: str) -> None:
    own = subclasses(clustering, rule=rule)
    own.cluster(features(), epoch=11)
    assert torch.equal(own.ids, cluster_classes(features(), LABELS, own.numbers, rule=clustering, seed=14))
    assert torch.equal(own.temperatures, class_temperatures(features(), LABELS, own.numbers, 0.2, rule))


def test_capped_subclasses_do_not_exceed_their_cap() -> None:
    own = subclasses()
    own.cluster(features(), epoch=1)
    assert torch.bincount(own.ids).tolist() == [2] * 9 + [3, 2]


def test_cluster_depends_on_seed_and_epoch_alone() -> None:
    def ids(seed: int, epoch: int) -> Tensor:
        own = subclasses("kmeans", seed=seed)
        own.cluster(features(9), epoch=1)  # independent of an earlier clustering
        own.cluster(features(), epoch=epoch)
        return own.ids

    assert torch.equal(ids(3, 5), ids(3, 5))
    assert not torch.equal(ids(3, 5), ids(3, 6))
    assert not torch.equal(ids(3, 5), ids(4, 5))


def test_of_knows_no_sample_of_minus_one() -> None:
    own = subclasses()
    own.cluster(features(), epoch=1)
    labels, ids = own.of(torch.tensor([4, -1, 0, 22]))
    assert labels.tolist() == [LABELS[4], -1, LABELS[0], LABELS[22]]
    assert ids.tolist() == [own.ids[4], -1, own.ids[0], own.ids[22]]


def test_subclasses_state_holds_ids_and_temperatures() -> None:
    own, other = subclasses(), subclasses()
    own.cluster(features(), epoch=1)
    assert set(own.state_dict()) == {"ids", "temperatures"}
    other.load_state_dict(own.state_dict())
    assert torch.equal(other.ids, own.ids) and torch.equal(other.temperatures, own.temperatures)


def test_cluster_logs_numbers_and_sizes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        subclasses().cluster(features(), epoch=7)
    assert "epoch 7: 4 classes in 11 subclasses of 2 to 3 images, clustered in " in caplog.text
