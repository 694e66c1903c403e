"""Where a run computes: the CPU, one GPU, or several."""

from typing import Any

import torch
from torch import nn

from longtail.engine.distributed import World
from longtail.errors import UserError
from longtail.models import Output


def parse_devices(gpus: str | None) -> list[torch.device]:
    """Return the devices named by a command line.

    Args:
        gpus: "cpu", "0" or "0,1"; None: the first GPU where there is one, else the CPU.

    Raises:
        UserError: the text is not of that form, or a GPU is not there.
    """
    count = torch.cuda.device_count()
    if gpus is None:
        return [torch.device("cuda", 0) if count else torch.device("cpu")]
    if gpus.strip() == "cpu":
        return [torch.device("cpu")]
    there = f"this machine has {count} GPUs" + (f" (0 to {count - 1})" if count else "; cpu is allowed")
    indices = [part.strip() for part in gpus.split(",")]
    if not all(index.isdigit() for index in indices) or len(set(indices)) < len(indices):
        raise UserError(f"GPUs {gpus!r}: expected cpu, or different numbers such as 0 or 0,1; {there}")
    for index in indices:
        if int(index) >= count:
            raise UserError(f"GPU {index} is not there: {there}")
    return [torch.device("cuda", int(index)) for index in indices]


def own_device(devices: list[torch.device], world: World) -> torch.device:
    """Return the device of this process.

    Raises:
        UserError: this machine's processes are more than its GPUs.
    """
    if world.size == 1 or devices[0].type == "cpu":
        return devices[0]
    if world.local_rank >= len(devices):
        raise UserError(f"process {world.local_rank} of this machine has no GPU of its own: {len(devices)} were named")
    return devices[world.local_rank]


def usable_precision(wanted: str, device: torch.device) -> str:
    """Return off, bf16 or fp16 for what the tree wants; auto is bf16 where the device computes in it, else off.

    A processor without such instructions emulates bf16 many times slower than it computes in float32.
    """
    if wanted != "auto":
        return wanted
    return "bf16" if _computes_in_bf16(device) else "off"


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class _ParallelExperts(nn.DataParallel):
    """DataParallel for networks whose outputs have the batch in their second dimension."""

    def gather(self, outputs: Any, output_device: int | torch.device) -> Output:
        fields: list[Any] = [  # those that were not asked for are None on every device
            None if tensors[0] is None else torch.cat([tensor.to(output_device) for tensor in tensors], dim=1)
            for tensors in zip(*outputs, strict=True)
        ]
        return Output(*fields)


def wrap(network: nn.Module, devices: list[torch.device], device: torch.device, world: World) -> nn.Module:
    """Wrap a network for the devices of this process: nothing, DataParallel or DistributedDataParallel."""
    if world.size > 1:
        ids = [device.index] if device.type == "cuda" else None
        # Batch-norm statistics of training stay with their process; process 0's are shared before judging.
        return nn.parallel.DistributedDataParallel(
            network, device_ids=ids, gradient_as_bucket_view=True, broadcast_buffers=False
        )
    if len(devices) > 1:
        return _ParallelExperts(network, [each.index for each in devices])
    return network
