"""Checkpoint files: written whole or not at all, read without running code from them."""

from pathlib import Path
from typing import Any

import torch

from longtail.errors import UserError
from longtail.files import atomic_write

VERSION = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: File; an older one is replaced.
        content: Tensors and plain values, so that `torch.load(weights_only=True)` reads them.

    Raises:
        UserError: The disk is full or not writable; an older file of that name is untouched.
    """
    try:
        with atomic_write(path) as file:
            torch.save({"version": VERSION, **content}, file)
    except (OSError, RuntimeError) as error:  # torch wraps a failed write in a RuntimeError
        raise UserError(f"checkpoint {path} cannot be written: {str(error).splitlines()[0]}") from None


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running code from it.

    Released checkpoints hold NumPy scalars beside the weights; these few types are allowed.

    Raises:
        UserError: The file is missing or damaged, or holds more than tensors and plain values.
    """
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist") from None
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"checkpoint {path} cannot be read: {reason}") from None
    if not isinstance(content, dict):
        raise UserError(f"checkpoint {path} holds a {type(content).__name__}, not a dictionary of weights")
    return content


def _numpy_scalars() -> list[Any]:
    import numpy as np

    rebuild: Any = np.float64(0).__reduce__()[0]  # NumPy's private function that restores a scalar
    old = (rebuild, "numpy.core.multiarray.scalar")  # where NumPy 1 kept it
    types: list[Any] = [np.dtype, rebuild, old]
    return types + [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32)]
