"""Loading weights: the parameter names of NCL and Bag of Tricks, and those of this project.

| file                        | backbone of expert k   | head of expert k    | projection head of expert k |
|-----------------------------|------------------------|---------------------|-----------------------------|
| this project                | experts.k.backbone.*   | experts.k.head.*    | experts.k.projection.*      |
| NCL                         | backbone.k.*           | classifier.k.*      |                             |
| NCL with the MoCo branch    | backbone.k.*           | classifier_ce.k.*   | classifier.k.*              |
| Bag of Tricks (one expert)  | backbone.*             | classifier.*        |                             |

The momentum branch is the training method's (`momentum_branch`):

| this project                         | NCL with the MoCo branch                 |
|--------------------------------------|------------------------------------------|
| key_encoder.experts.k.backbone.*     | backbone_MA.k.*                          |
| key_encoder.experts.k.projection.*   | classifier_MA.k.*                        |
| queue.keys (E, K, P)                 | MOCO.k.queue (P, K), one per expert      |
| queue.pointer ()                     | MOCO.k.queue_ptr (1,), all the same      |

All may carry a leading `module.`, left by DataParallel. The head of a second stage (cRT, LWS) says under which names it
takes over a linear head.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from longtail.errors import UserError
from longtail.models.heads import SecondStageHead


class LoadReport(NamedTuple):
    """What loading did, in this project's parameter names.

    Attributes:
        loaded: parameters and buffers that were set.
        missing: those of the model that the file does not have; they keep their values.
        unexpected: those of the file that the model does not have, under the file's names.
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]


def own_name(name: str, moco: bool) -> str | None:
    """Return this project's name of a released parameter, None where it has none.

    Args:
        name: without `module.`.
        moco: whether the file has a MoCo branch, in which `classifier` is the projection head.
    """
    if moco:
        projection = re.fullmatch(r"classifier\.(\d+)\.(.+)", name)
        if projection:
            return projection.expand(r"experts.\1.projection.\2")
    if name.startswith("experts."):
        return name
    head = "classifier_ce" if moco else "classifier"
    for pattern, own in (
        (r"backbone\.(\d+)\.(.+)", r"experts.\1.backbone.\2"),
        (rf"{head}\.(\d+)\.(.+)", r"experts.\1.head.\2"),
        (r"backbone\.(.+)", r"experts.0.backbone.\1"),
        (rf"{head}\.(.+)", r"experts.0.head.\1"),
    ):
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(own)
    return None


def load_released_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Set the parameters of a network from those of a released one, by name.

    Args:
        model: a `Network`.
        state_dict: parameters under the names of NCL, of Bag of Tricks or of this project.

    Returns:
        what was loaded, missing and unexpected. Nothing is loaded where an error is raised.

    Raises:
        UserError: a shape differs (another number of classes or architecture), or no name is known.
    """
    found, unexpected = _own(model, state_dict)
    model.load_state_dict(found, strict=False)
    return LoadReport(list(found), [name for name in model.state_dict() if name not in found], unexpected)


def start_from(model: nn.Module, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Start a training from the weights of an earlier one; the head of a second stage says what it takes over.

    Args:
        model: a `Network`.
        state_dict: as for `load_released_weights`.

    Returns:
        as `load_released_weights`; what such a head starts anew is not missing, what it leaves is not unexpected.

    Raises:
        UserError: as `load_released_weights`, or there is no linear head for one that starts from it.
    """
    heads = dict(_second_stage_heads(model))
    found, unexpected = _own(model, state_dict, [path for path, head in heads.items() if not head.inherits])
    missing = [name for name in model.state_dict() if name not in found]
    starts = {f"{path}.{part}" for path, head in heads.items() for part in head.renamed.values()}
    for name in missing:
        if name in starts:
            raise UserError(f"the weights hold no linear head that fills the network's {name}")
    model.load_state_dict(found, strict=False)
    anew = tuple(f"{path}." for path in heads)
    return LoadReport(list(found), [name for name in missing if not name.startswith(anew)], unexpected)


def _own(
    model: nn.Module, state_dict: Mapping[str, Tensor], without: Iterable[str] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """Return what a model can take from a file, by the model's names, and the names it does not know.

    Args:
        model: a `Network`.
        state_dict: parameters under any known names.
        without: paths of modules whose parameters are left aside.
    """
    names = {name: re.sub(r"^(module\.)+", "", name) for name in state_dict}
    moco = any(name.startswith("classifier_ce.") for name in names.values())
    wanted = model.state_dict()
    heads = _second_stage_heads(model)
    renamed = {f"{path}.{old}": f"{path}.{new}" for path, head in heads for old, new in head.renamed.items()}
    aside = tuple(f"{path}." for path in without)
    found: dict[str, Tensor] = {}
    unexpected = []
    for name, stripped in names.items():
        own = own_name(stripped, moco)
        own = renamed.get(own, own) if own else None
        if own and own.startswith(aside):
            continue
        if own is None or own not in wanted:
            unexpected.append(name)
            continue
        _check_shape(name, state_dict[name], own, wanted[own])
        found[own] = state_dict[name]
    if not found:
        known = "backbone.*, classifier.* (NCL, Bag of Tricks) or experts.*"
        raise UserError(f"none of the {len(names)} names in the weights is known; expected {known}")
    return found, unexpected


def _second_stage_heads(model: nn.Module) -> Iterator[tuple[str, SecondStageHead]]:
    """Yield the heads of a second stage with their paths in a model."""
    return ((path, module) for path, module in model.named_modules() if isinstance(module, SecondStageHead))


def _check_shape(name: str, value: Tensor, own: str, wanted: Tensor) -> None:
    if value.shape != wanted.shape:
        raise UserError(
            f"weights do not fit: {name} is {list(value.shape)}, the network's {own} is {list(wanted.shape)}"
        )


def load_momentum_branch(method: nn.Module, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Set key encoder and queue of a contrastive method from a released NCL file.

    Args:
        method: has the submodules `key_encoder` and `queue`.
        state_dict: parameters and buffers under the names of NCL, with or without `module.`.

    Returns:
        what was loaded, missing and unexpected, in the method's names.

    Raises:
        UserError: the file has no momentum branch, or a shape differs; nothing is loaded then.
    """
    branch = momentum_branch(state_dict)
    if not branch:
        raise UserError("the weights have no momentum branch; expected backbone_MA.*, classifier_MA.*, MOCO.*")
    state = method.state_dict()
    wanted = {name: value for name, value in state.items() if name.startswith(("key_encoder.", "queue."))}
    found = {name: value for name, value in branch.items() if name in wanted}
    for name, value in found.items():
        _check_shape(name, value, name, wanted[name])
    method.load_state_dict(found, strict=False)
    missing = [name for name in wanted if name not in found]
    return LoadReport(list(found), missing, [name for name in branch if name not in wanted])


def momentum_branch(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the momentum branch of a released NCL file under this project's names, empty where there is none.

    Args:
        state_dict: parameters and buffers under the names of NCL, with or without `module.`.

    Returns:
        "key_encoder.experts.k.*", "queue.keys" (E, K, P) and "queue.pointer" (), for the state of the training method.

    Raises:
        UserError: the queues of the experts differ in shape or pointer.
    """
    released = {re.sub(r"^(module\.)+", "", name): value for name, value in state_dict.items()}
    branch = {}
    for name, value in released.items():
        match = re.fullmatch(r"(backbone|classifier)_MA\.(\d+)\.(.+)", name)
        if match:
            part = "backbone" if match[1] == "backbone" else "projection"
            branch[f"key_encoder.experts.{match[2]}.{part}.{match[3]}"] = value
    queues = [value for name, value in _numbered(released, r"MOCO\.(\d+)\.queue")]
    pointers = [int(value) for name, value in _numbered(released, r"MOCO\.(\d+)\.queue_ptr")]
    if queues:
        if len({queue.shape for queue in queues}) > 1 or len(set(pointers)) > 1:
            raise UserError("weights do not fit: the MoCo queues of the experts differ in shape or pointer")
        branch["queue.keys"] = torch.stack([queue.t() for queue in queues])
        branch["queue.pointer"] = torch.tensor(pointers[0] if pointers else 0)
    return branch


def _numbered(weights: Mapping[str, Tensor], pattern: str) -> list[tuple[int, Tensor]]:
    """Return the entries whose name matches, with the number in it, in its order."""
    matches = [(re.fullmatch(pattern, name), value) for name, value in weights.items()]
    return sorted(((int(match[1]), value) for match, value in matches if match), key=lambda pair: pair[0])


def load_backbone_weights(backbone: nn.Module, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Set the parameters of a backbone from an ImageNet-style file; its classifier is left aside.

    Args:
        backbone: what to fill.
        state_dict: names as in torchvision, with or without `module.` and `backbone.`.

    Raises:
        UserError: no parameter fits.
    """
    wanted = backbone.state_dict()
    stripped = {re.sub(r"^(module\.|backbone\.)+", "", name): value for name, value in state_dict.items()}
    found = {name: value for name, value in stripped.items() if name in wanted and value.shape == wanted[name].shape}
    if not found:
        raise UserError(
            f"none of the {len(stripped)} names in the weights fits the backbone ({next(iter(wanted))}, ...)"
        )
    backbone.load_state_dict(found, strict=False)
    missing = [name for name in wanted if name not in found]
    return LoadReport(list(found), missing, [name for name in stripped if name not in found])


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the parameters out of a checkpoint file of this project or of a released system.

    Released checkpoints hold NumPy scalars beside the weights; those few types are allowed, nothing else is.

    Raises:
        UserError: the file is missing, damaged, or holds no weights.
    """
    return weights_in(read_checkpoint(path), path)


def weights_in(content: dict[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Return the parameters in the content of a checkpoint file, see `read_weights`."""
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise UserError(f"{path} holds no weights")
    return weights


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running code from it.

    Raises:
        UserError: the file is missing or damaged, or holds more than tensors and plain values.
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
