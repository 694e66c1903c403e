"""Training loss, accuracy and gradient norm of an epoch, kept on the device until they are read."""

from typing import Any

import torch
from torch import Tensor

from longtail.methods import Step


class Meter:
    """Sums over the samples of an epoch: loss and its parts, correct predictions of the ensemble, gradient norms."""

    def __init__(self) -> None:
        self.samples = 0
        self.sums: dict[str, Tensor] = {}

    def update(self, step: Step, norm: Tensor | None = None) -> None:
        """Add one step, without a host sync.

        Args:
            step: Result of the method.
            norm: Norm of its gradients before clipping; None: unknown.
        """
        rows = len(step.targets)
        with torch.no_grad():
            predicted = step.logits.float().mean(0).argmax(1)
            correct = (predicted == step.targets).float()
            if step.mixed:
                correct = torch.lerp((predicted == step.mixed.targets).float(), correct, step.mixed.lam)
            values = {"loss": step.loss.detach() * rows, "top1": correct.sum()}
            values |= {f"loss/{name}": part * rows for name, part in step.parts.items()}
            if norm is not None:
                values["gradient_norm"] = norm * rows
            for name, value in values.items():
                value = value.double()
                self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.samples += rows

    def means(self) -> dict[str, float]:
        """Return the means over the samples so far."""
        return {name: float(value) / self.samples for name, value in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the sums, for a checkpoint inside an epoch."""
        return {"samples": self.samples, "sums": dict(self.sums)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore saved sums."""
        self.samples = int(state["samples"])
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
