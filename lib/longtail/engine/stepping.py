"""What one batch does to the weights: forward, backward, a verdict on both, the optimiser."""

from collections.abc import Callable

import torch
from torch import Tensor

from longtail.data import Batch, Normalize
from longtail.engine.gradients import Gradients
from longtail.engine.guard import FiniteGuard
from longtail.methods import Method, Step


class Stepper:
    """Trains on one batch after another; nothing waits for the device.

    Args:
        method: makes a loss of a batch.
        optimizer: over the parameters that the loss depends on.
        scaler: of gradients, enabled for fp16.
        gradients: bounds them.
        guard: judges every step before the optimiser acts.
        normalize: turns uint8 images into the network's input.
        autocast: gives the mixed-precision context.
    """

    def __init__(
        self,
        method: Method,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        gradients: Gradients,
        guard: FiniteGuard,
        normalize: Normalize,
        autocast: Callable[[], torch.autocast],
    ) -> None:
        self.method = method
        self.optimizer = optimizer
        self.scaler = scaler
        self.gradients = gradients
        self.guard = guard
        self.normalize = normalize
        self.autocast = autocast

    def begin_epoch(self) -> None:
        """Take note that learning rate and loss may have changed."""

    def __call__(self, batch: Batch, epoch: int, number: int) -> tuple[Step, Tensor | None]:
        """Train on a batch.

        Args:
            batch: uint8 images, on the device of the network.
            epoch: from 1.
            number: of the batch in the epoch, from 1.

        Returns:
            what the method made of it, and the norm of its gradients; see `Gradients.bound`.

        Raises:
            NotFinite: see `FiniteGuard.check`.
        """
        step, norm = self.differentiate(batch)
        self.guard.check(epoch, number, step, batch.all_indices, norm)
        self.apply()
        return step, norm

    def differentiate(self, batch: Batch) -> tuple[Step, Tensor | None]:
        """Compute a batch's loss and its bounded gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            step = self.method.training_step(batch.with_images(self.normalize))
        self.scaler.scale(step.loss).backward()
        return step, self.gradients.bound()

    def apply(self) -> None:
        """Let the optimiser act."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
