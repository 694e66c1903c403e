"""The gradients of a step: how long they are together, and how long they may be."""

import torch
from torch import Tensor


class Gradients:
    """Measures and bounds the gradients of an optimiser's parameters; nothing waits for the device.

    Args:
        optimizer: whose parameters have the gradients.
        scaler: their scale is taken away before they are bounded.
        largest: bound of the norm over all parameters (Pascanu et al., arXiv 1211.5063); 0: none.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, largest: float = 0.0) -> None:
        self.optimizer = optimizer
        self.scaler = scaler
        self.largest = largest
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def bound(self) -> Tensor | None:
        """Shorten the gradients where they are too long.

        Returns:
            the norm that they had; None under an fp16 scaler, for which an overflow is ordinary.
        """
        scaled = self.scaler.is_enabled()
        if scaled and not self.largest:
            return None
        if scaled:
            self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm([one.grad for one in self.parameters if one.grad is not None])
        if self.largest:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.largest, norm)
        return None if scaled else norm
