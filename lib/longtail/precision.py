"""Computing in float32 where the precision of half types is too low."""

import contextlib

import torch
from torch import Tensor


def in_float32(values: Tensor) -> Tensor:
    """Return values in float32 or wider: half precision cannot hold a softmax over many classes."""
    return values if values.dtype == torch.float64 else values.float()


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Within the block, compute in the dtype of the tensors; a device without mixed precision (meta) does so anyway."""
    available = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if available else contextlib.nullcontext()
