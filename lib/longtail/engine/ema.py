"""Exponential moving average of the weights of a network."""

from typing import Any

from torch import nn


class WeightAverage:
    """A copy of a network whose weights follow it: w <- d w + (1 - d) network, evaluated instead of the network.

    The decay d increases from 0 in the first steps to its full value (timm's warm-up), so that short trainings are not
    dominated by the initial weights. Batch-norm statistics are averaged like weights; integer buffers are copied.

    Args:
        network: Network to follow.
        decay: Full value of d.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        from timm.utils.model_ema import ModelEmaV3  # takes seconds; other runs do not need it

        self._average = ModelEmaV3(network, decay=decay, use_warmup=True, foreach=True)
        self._average.module.requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        """The averaged network, in evaluation mode."""
        network: nn.Module = self._average.module
        return network

    def update(self, network: nn.Module, step: int) -> None:
        """Follow the network.

        Args:
            network: Network to follow.
            step: Number of optimizer steps so far, from 1.
        """
        self._average.update(network, step=step)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights."""
        return dict(self.network.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore saved weights."""
        self.network.load_state_dict(state)
