"""Training loss, accuracy and gradient norm of an epoch, kept on the device until they are read."""

from typing import Any

import torch
from torch import Tensor

from longtail.distributed import sum_over_processes
from longtail.methods import Step


class Meter:
    """Sums over the samples of an epoch: loss and its parts, correct predictions of the ensemble, gradient norms.

    Each process sums over its own samples; `over_processes` gives the sums over all of them.
    """

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

    def over_processes(self) -> "Meter":
        """Return the sums over the samples of all processes; every process must call it."""
        total = Meter()
        if self.sums:  # in all processes or in none
            total.sums = {name: value.clone() for name, value in self.sums.items()}
            samples = torch.tensor(self.samples, device=self.sums["loss"].device)
            sum_over_processes([samples, *total.sums.values()])
            total.samples = int(samples)
        return total

    def means(self) -> dict[str, float]:
        """Return the means over the samples so far."""
        return {name: float(value) / self.samples for name, value in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the sums over all processes, for a checkpoint inside an epoch; every process must call it."""
        total = self.over_processes()
        return {"samples": total.samples, "sums": total.sums}

    def load_state_dict(self, state: dict[str, Any], device: torch.device, *, main: bool = True) -> None:
        """Restore saved sums.

        Args:
            state: Of `state_dict`.
            device: Device of this process.
            main: Whether this is process 0, which continues the sums; the others start from zero.
        """
        self.samples = int(state["samples"]) * main
        self.sums = {name: value.to(device) * main for name, value in state["sums"].items()}
