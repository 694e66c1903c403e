"""Reading the weights out of checkpoint files of this project and of others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from longtail.checkpoint_file import read_checkpoint
from longtail.errors import UserError
from longtail.models.released import flattened

_WEIGHTS = (Tensor, Mapping)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the parameters out of a checkpoint file.

    Raises:
        UserError: The file is missing, damaged, or holds no weights.
    """
    return weights_in(read_checkpoint(path), path)


def weights_in(content: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Return the parameters in the content of a checkpoint file, see `read_weights`."""
    for key in ("state_dict_best", "state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = flattened({name: value for name, value in content[key].items() if isinstance(value, _WEIGHTS)})
            break
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise UserError(f"{path} holds no weights")
    return weights
