"""Reading weights from checkpoint files of this project and of others."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from longtail.checkpoint_file import read_checkpoint
from longtail.errors import UserError
from longtail.models.released import flattened

_WEIGHTS = (Tensor, Mapping)
# Names that this project and common trainers use for the entry with the weights; the first one that a file has is used.
ENTRIES = (
    "average",  # of TRAIN.EMA, which is evaluated in place of "model"
    *("state_dict_best", "state_dict", "model", "model_state_dict", "net", "network", "teacher", "student"),
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
)

logger = logging.getLogger(__name__)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the parameters from a checkpoint file.

    Raises:
        UserError: The file is missing, damaged, or holds no weights.
    """
    return weights_in(read_checkpoint(path), path)


def weights_in(content: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Return the parameters in the content of a checkpoint file, see `read_weights`."""
    entries = [key for key in ENTRIES if isinstance(content.get(key), dict)]
    if len(entries) > 1:
        logger.info("weights of %s: entry %s is used; also there: %s", path, entries[0], ", ".join(entries[1:]))
    if entries:
        entry = content[entries[0]]
        content = flattened({name: value for name, value in entry.items() if isinstance(value, _WEIGHTS)})
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        shown = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise UserError(f"{path} holds no weights; its entries are: {shown}; expected one of {', '.join(ENTRIES)}")
    return weights
