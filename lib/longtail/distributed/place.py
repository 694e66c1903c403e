"""The processes, devices and precision of a run."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from longtail.distributed.launch import launched_world
from longtail.distributed.processes import (
    SINGLE_PROCESS,
    World,
    connected,
    reporting_lost_processes,
)
from longtail.errors import UserError

DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Place:
    """Processes, devices and precision of a run; parsed once per command.

    Attributes:
        world: This process among those of the run.
        devices: Devices named on the command line.
        device: Device of this process.
        precision: off, bf16 or fp16.
    """

    world: World = SINGLE_PROCESS
    devices: tuple[torch.device, ...] = (CPU,)
    device: torch.device = CPU
    precision: str = "off"

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.world.main

    def with_precision(self, wanted: str) -> "Place":
        """Return the place with the precision of a config: off, bf16, fp16 or auto.

        auto is bf16 if the device has instructions for it, else off: a processor without them emulates bf16, which is
        many times slower than float32.
        """
        if wanted == "auto":
            wanted = "bf16" if _computes_in_bf16(self.device) else "off"
        return replace(self, precision=wanted)

    def autocast(self) -> torch.autocast:
        """Return the mixed-precision context."""
        dtype = DTYPES[self.precision]
        return torch.autocast(self.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    @contextlib.contextmanager
    def connected(self, timeout: float) -> Iterator[None]:
        """Within the block, the processes are connected, and the loss of one is reported in one line.

        Args:
            timeout: Seconds after which a process that does not respond is considered lost.

        Raises:
            ProcessLost: Another process has exited, or does not respond.
        """
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        with (
            reporting_lost_processes(self.world, timeout=timeout),
            connected(self.world, self.device, timeout=timeout),
        ):
            yield


def find_place(gpus: str | None = None) -> Place:
    """Return the place described by a command line and the environment of torchrun.

    Args:
        gpus: "cpu", "0" or "0,1"; None: the first GPU if there is one, else the CPU; of several processes, all GPUs.

    Raises:
        UserError: `gpus` is malformed, a GPU does not exist, or this machine has more processes than GPUs.
    """
    world = launched_world()
    if gpus is None and world.size > 1:
        gpus = ",".join(map(str, range(torch.cuda.device_count()))) or "cpu"
    devices = parse_devices(gpus)
    return Place(world, tuple(devices), _own_device(devices, world))


def parse_devices(gpus: str | None) -> list[torch.device]:
    """Return the devices named on a command line, see `find_place`."""
    count = torch.cuda.device_count()
    if gpus is None:
        return [torch.device("cuda", 0) if count else CPU]
    if gpus.strip() == "cpu":
        return [CPU]
    available = f"this machine has {count} GPUs" + (f" (0 to {count - 1})" if count else "; cpu is allowed")
    parts = [part.strip() for part in gpus.split(",")]
    indices = [int(part) for part in parts if part.isdecimal() and len(part) < 9]
    if len(set(indices)) < len(parts):
        raise UserError(f"GPUs {gpus!r}: expected cpu, or different numbers such as 0 or 0,1; {available}")
    for index in indices:
        if index >= count:
            raise UserError(f"GPU {index} does not exist: {available}")
    return [torch.device("cuda", index) for index in indices]


def _own_device(devices: list[torch.device], world: World) -> torch.device:
    """Return the device of this process."""
    if world.size == 1 or devices[0].type == "cpu":
        return devices[0]
    if world.local_rank >= len(devices):
        raise UserError(
            f"there is no GPU for process {world.local_rank} of this machine: the command names {len(devices)}"
        )
    return devices[world.local_rank]


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.9
        return torch.cpu._is_avx512_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
