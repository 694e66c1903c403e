"""Norm of the gradients, and clipping."""

import torch
from torch import Tensor


class GradientClipping:
    """Measures and clips the gradients of an optimizer's parameters, without a host sync.

    Args:
        optimizer: Optimizer of the parameters.
        scaler: Gradient scaler; the scale is removed before clipping.
        max_norm: Largest norm over all parameters (Pascanu et al., arXiv 1211.5063); 0: no clipping.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, *, max_norm: float = 0.0
    ) -> None:
        self.optimizer = optimizer
        self.scaler = scaler
        self.max_norm = max_norm
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def clip(self) -> Tensor | None:
        """Scale the gradients down if their norm is too large.

        Returns:
            Their norm before clipping; None with an fp16 scaler, where an overflow is normal.
        """
        scaled = self.scaler.is_enabled()
        if scaled and not self.max_norm:
            return None
        if scaled:
            self.scaler.unscale_(self.optimizer)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.max_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.max_norm, norm)
        return None if scaled else norm
