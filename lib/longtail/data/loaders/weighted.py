"""Batches whose images have weights in the loss."""

from collections.abc import Iterator

from torch import Tensor

from longtail.data.batch import Batch
from longtail.data.loaders.base import Loader
from longtail.data.loaders.wrapper import LoaderWrapper
from longtail.errors import UserError


class WeightedLoader(LoaderWrapper):
    """Loads the batches of another loader with the weights of their images.

    Args:
        loader: Loader of the batches.
        weights: Weight of every image of the data set, (N,).
    """

    def __init__(self, loader: Loader, weights: Tensor) -> None:
        super().__init__(loader)
        self.loader = loader
        self.weights = weights

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`."""
        for batch in self.loader.epoch(epoch, start):
            yield self._with_weights(batch)

    def peek(self, number: int) -> Batch:
        """See `Loader.peek`."""
        return self._with_weights(self.loader.peek(number))

    def _with_weights(self, batch: Batch) -> Batch:
        partner = self._with_weights(batch.partner) if batch.partner else None
        self.weights = self.weights.to(batch.indices.device)  # moved once; moving the indices would wait for the GPU
        return batch._replace(partner=partner, weights=self.weights[batch.indices])


def normalized_weights(weights: Tensor, name: str) -> Tensor:
    """Return weights with mean 1, (N,).

    Args:
        weights: Weights, not negative, (N,).
        name: Name of the data set, for errors.

    Raises:
        UserError: All weights are 0.
    """
    if not weights.any():
        raise UserError(f"{name}: all images have weight 0")
    return weights / weights.mean()
