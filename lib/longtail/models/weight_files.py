"""Reading the weights out of checkpoint files of this project and of others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from longtail.checkpoint_file import read_checkpoint
from longtail.errors import UserError


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the parameters out of a checkpoint file.

    Raises:
        UserError: The file is missing, damaged, or holds no weights.
    """
    return weights_in(read_checkpoint(path), path)


def weights_in(content: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Return the parameters in the content of a checkpoint file, see `read_weights`."""
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise UserError(f"{path} holds no weights")
    return weights
