"""Parameter names of the released systems: one table per system."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from longtail.models.released.bag_of_tricks import BAG_OF_TRICKS
from longtail.models.released.cadel import CADEL
from longtail.models.released.names import NameTable
from longtail.models.released.ncl import NCL, NCL_MOCO
from longtail.models.released.ncl import momentum_branch as ncl_momentum_branch
from longtail.models.released.sbcl import SBCL, SBCL_MOCO
from longtail.models.released.sbcl import momentum_branch as sbcl_momentum_branch

WRAPPERS = r"^((module|_orig_mod)\.)+"
TABLES: tuple[NameTable, ...] = (CADEL, NCL_MOCO, NCL, BAG_OF_TRICKS, SBCL, SBCL_MOCO)
Weights = Mapping[str, Tensor | Mapping[str, Tensor]]  # flat, or by network entry as in the files of CADEL

__all__ = ["TABLES", "NameTable", "Weights", "flattened", "momentum_branch", "own_names"]


def flattened(weights: Weights) -> dict[str, Tensor]:
    """Return {name: tensor}: `entry.name` for {entry: {name: tensor}}, without `module.` in the entries."""
    flat = {}
    for name, value in weights.items():
        if isinstance(value, Tensor):
            flat[name] = value
        else:
            flat.update({re.sub(r"^(module\.)*", f"{name}.", inner): tensor for inner, tensor in value.items()})
    return flat


def momentum_branch(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the momentum branch in a released file, by the names of the training method; empty if there is none.

    Args:
        state_dict: Parameters and buffers under the names of NCL or SBCL, with or without `module.`.

    Raises:
        UserError: The queues of NCL's experts differ in shape or pointer.
    """
    return ncl_momentum_branch(state_dict) or sbcl_momentum_branch(state_dict)


def own_names(names: Iterable[str]) -> dict[str, str | None]:
    """Return {name in a file: this project's name, or None if it has none}.

    Prefixes of wrappers (`module.` of DataParallel, `_orig_mod.` of torch.compile) are ignored. This project's names
    are returned unchanged.
    """
    stripped = {name: re.sub(WRAPPERS, "", name) for name in names}
    table = next((table for table in TABLES if any(table.recognizes(name) for name in stripped.values())), None)
    return {name: _own(plain, table) for name, plain in stripped.items()}


def _own(name: str, table: NameTable | None) -> str | None:
    found = table.own(name) if table else None
    return found or (name if name.split(".")[0] in ("experts", "trunk", "branches", "head") else None)
