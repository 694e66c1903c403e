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

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device; copies from page-locked memory do not wait."""
        return Batch(
            self.images.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.indices.to(device, non_blocking=True),
            self.partner.to(device) if self.partner else None,
        )

    def with_images(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with its images changed, those of the partner too."""
        partner = self.partner.with_images(change) if self.partner else None
        return self._replace(images=change(self.images), partner=partner)

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory."""
        return Batch(
            self.images.pin_memory(),
            self.labels.pin_memory(),
            self.indices.pin_memory(),
            self.partner.pin_memory() if self.partner else None,
        )
