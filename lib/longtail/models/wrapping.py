"""Wrapping of modules for several devices: DataParallel, DistributedDataParallel, synchronized batch norm."""

import inspect
from typing import Any

import torch
from torch import nn

from longtail.distributed import Place
from longtail.models.output import Output


class ParallelModule(nn.DataParallel[nn.Module]):
    """DataParallel that also gathers an `Output`, whose tensors have the batch in their second dimension."""

    def gather(self, outputs: Any, output_device: int | torch.device) -> Any:
        """Gather the outputs of all devices."""
        if not isinstance(outputs[0], Output):
            return super().gather(outputs, output_device)
        return Output(*(_gather_field(tensors, output_device) for tensors in zip(*outputs, strict=True)))


def _gather_field(values: tuple[Any, ...], device: int | torch.device) -> Any:
    """Gather one field of `Output`: None, a tensor (E, B, ...) of each device, or a tuple of tensors (B, ...)."""
    if values[0] is None:  # not computed on any device
        return None
    if isinstance(values[0], tuple):
        return tuple(torch.cat([tensor.to(device) for tensor in heads]) for heads in zip(*values, strict=True))
    return torch.cat([tensor.to(device) for tensor in values], dim=1)


def wrap(module: nn.Module, place: Place) -> nn.Module:
    """Wrap a module for the devices of this process: nothing, DataParallel or DistributedDataParallel."""
    if place.world.size > 1:
        if not any(parameter.requires_grad for parameter in module.parameters()):
            return module  # DistributedDataParallel refuses a module without gradients
        ids = [place.device.index] if place.device.type == "cuda" else None
        # Each process keeps its batch-norm statistics in training; those of process 0 are broadcast before evaluation.
        options: dict[str, Any] = {_buffer_option(): False}
        return nn.parallel.DistributedDataParallel(module, device_ids=ids, gradient_as_bucket_view=True, **options)
    if len(place.devices) > 1:
        return ParallelModule(module, [device.index for device in place.devices])
    return module


def _buffer_option() -> str:
    """Return the option that shares buffers in every step; newer versions of torch warn about its old name."""
    options = inspect.signature(nn.parallel.DistributedDataParallel.__init__).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in options else "broadcast_buffers"


def unwrap(module: Any) -> nn.Module:
    """Return the module inside DataParallel or DistributedDataParallel, or the module itself."""
    inner: nn.Module = (
        module.module if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)) else module
    )
    return inner


def synchronize_batch_norm(module: nn.Module, place: Place) -> None:
    """Let the batch norms inside a module use the statistics of all processes (SyncBN), in place.

    Parameters stay the same objects under the same names. In one process there is nothing to synchronize.
    """
    if place.world.size > 1:
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
