"""Learning rates on the device, for steps of a CUDA graph: numbers would be recorded as constants."""

import contextlib
from collections.abc import Iterator

import torch


class DeviceRates:
    """The learning rates of an optimizer's groups, as tensors.

    Args:
        optimizer: Optimizer that accepts tensors as learning rates.
        device: Device of its parameters.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.optimizer = optimizer
        self.rates = [torch.zeros((), device=device) for _ in optimizer.param_groups]

    def update(self) -> None:
        """Copy the current rates to the device."""
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Within the block, the optimizer reads its rates from the device."""
        numbers = [group["lr"] for group in self.optimizer.param_groups]
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            group["lr"] = rate
        try:
            yield
        finally:
            for number, group in zip(numbers, self.optimizer.param_groups, strict=True):
                group["lr"] = number
