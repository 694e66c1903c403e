"""Batches with the weights of their images."""

from collections.abc import Iterator

import torch

from longtail.data import Batch
from longtail.data.loaders.base import Loader, LoaderSettings
from longtail.data.loaders.weighted import WeightedLoader
from longtail.data.samplers import InstanceBalanced


class OnDevice(Loader):
    """Batches that live on a device on which a value cannot be read: reading one would wait for a GPU."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for indices in self.batch_indices(epoch)[start:]:
            yield Batch(torch.zeros(1, len(indices), 3, 2, 2), indices, indices).map(lambda tensor: tensor.to("meta"))


def test_weights_are_found_where_the_indices_are() -> None:
    settings = LoaderSettings(sampler=InstanceBalanced(6, 0), labels=torch.zeros(6), batch_size=3, seed=0)
    for batch in WeightedLoader(OnDevice(settings), torch.arange(6.0)).epoch(1):
        assert batch.weights is not None
        assert (batch.weights.device.type, batch.weights.shape) == ("meta", (3,))
