"""What a training or evaluation step gets."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Images of one step with what is known of them.

    Attributes:
        images: (V, B, 3, H, W); uint8 from the loader, float after `Normalize`.
        labels: class ids, (B,) int64.
        indices: positions in the data set, (B,) int64.
        partner: a second batch drawn by another sampler, for methods that take two.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    partner: "Batch | None" = None

    @property
    def samples(self) -> Tensor:
        """Return the positions of all images of the step, the partner's behind the batch's own."""
        return torch.cat([self.indices, self.partner.indices]) if self.partner else self.indices

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with all of its tensors changed, those of the partner too."""
        partner = self.partner.changed(change) if self.partner else None
        return Batch(change(self.images), change(self.labels), change(self.indices), partner)

    def copy_(self, other: "Batch") -> None:
        """Take over the content of a batch of the same shapes."""
        for own, new in zip(self[:3], other[:3], strict=True):
            own.copy_(new, non_blocking=True)
        if self.partner and other.partner:
            self.partner.copy_(other.partner)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device; copies from page-locked memory do not wait."""
        return self.changed(lambda tensor: tensor.to(device, non_blocking=True))

    def with_images(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with its images changed, those of the partner too."""
        partner = self.partner.with_images(change) if self.partner else None
        return self._replace(images=change(self.images), partner=partner)

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory."""
        return self.changed(lambda tensor: tensor.pin_memory())
