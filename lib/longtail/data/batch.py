"""The batch of a training or evaluation step."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Images of one step with their labels and indices.

    Attributes:
        images: Images of V views, (V, B, 3, H, W); uint8 from the loader, float after `Normalize`.
        labels: Class ids, (B,) int64.
        indices: Indices in the data set, (B,) int64.
        partner: A second batch drawn by another sampler, for methods that take two.
        weights: Weights of the images in the loss, (B,), with mean 1 over the training images; None: all 1.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    partner: "Batch | None" = None
    weights: Tensor | None = None

    @property
    def all_indices(self) -> Tensor:
        """The indices of all images of the step: those of the batch, then those of its partner."""
        return torch.cat([self.indices, self.partner.indices]) if self.partner else self.indices

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with a function applied to all tensors, including those of the partner."""
        partner = self.partner.map(function) if self.partner else None
        weights = None if self.weights is None else function(self.weights)
        return Batch(function(self.images), function(self.labels), function(self.indices), partner, weights)

    def copy_(self, other: "Batch") -> None:
        """Copy a batch of the same shapes into the tensors of this one."""
        for own, new in zip(self[:3], other[:3], strict=True):
            own.copy_(new, non_blocking=True)
        if self.weights is not None and other.weights is not None:
            self.weights.copy_(other.weights, non_blocking=True)
        if self.partner and other.partner:
            self.partner.copy_(other.partner)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device; copies from page-locked memory are asynchronous."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def with_images(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with a function applied to its images, including those of the partner."""
        partner = self.partner.with_images(function) if self.partner else None
        return self._replace(images=function(self.images), partner=partner)

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory."""
        return self.map(lambda tensor: tensor.pin_memory())
