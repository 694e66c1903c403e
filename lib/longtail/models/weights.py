"""Loading weights into networks and backbones, with a report of what was loaded."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from longtail.errors import UserError
from longtail.models.heads import SecondStageHead
from longtail.models.loading_report import LoadReport
from longtail.models.position_embedding import fitted
from longtail.models.released import WRAPPERS, Weights, flattened, momentum_branch, own_names

logger = logging.getLogger(__name__)


def load_released_weights(model: nn.Module, state_dict: Weights) -> LoadReport:
    """Set the parameters of a network from those of a file, by name.

    Position embeddings for another image size are resampled.

    Args:
        model: Network.
        state_dict: Parameters under the names of a released system or of this project, see `longtail.models.released`;
            those of CADEL by network entry, {entry: {name: tensor}}.

    Returns:
        What was loaded, missing and unexpected. Nothing is loaded if an error is raised.

    Raises:
        UserError: A shape differs (another number of classes or architecture), or no name is known.
    """
    found, unexpected = _matching(model, flattened(state_dict))
    model.load_state_dict(found, strict=False)
    return LoadReport(list(found), [name for name in model.state_dict() if name not in found], unexpected)


def start_from(
    model: nn.Module,
    state_dict: Weights,
    *,
    head_kinds: Sequence[str] | None = None,
    backbone_only: bool = False,
) -> LoadReport:
    """Start a training from the weights of an earlier one.

    A head is initialized from scratch if its kind or its number of classes differs from the file's, if it is the head
    of a second stage that does not inherit, or with `backbone_only`.

    Args:
        model: Network.
        state_dict: As for `load_released_weights`.
        head_kinds: Kinds of the heads in the file; None: not known, they are compared by their parameter names.
        backbone_only: Load only the backbones.

    Returns:
        As `load_released_weights`; parameters of heads that start from scratch are `new` instead of `missing`.

    Raises:
        UserError: As `load_released_weights`, or the file has no linear head for a head that starts from one.
    """
    weights = flattened(state_dict)
    fresh = tuple(f"{path}." for path in _fresh_heads(model, weights, head_kinds, backbone_only))
    found, unexpected = _matching(model, weights, without=fresh)
    missing = [name for name in model.state_dict() if name not in found]
    starts = {f"{path}.{part}" for path, head in _second_stage_heads(model) for part in head.renamed.values()}
    for name in missing:
        if name in starts and not name.startswith(fresh):
            raise UserError(f"the weights have no linear head from which the network's {name} could start")
    model.load_state_dict(found, strict=False)
    own = (*fresh, *(f"{path}." for path, _ in _second_stage_heads(model)))
    new = [name for name in missing if name.startswith(own)]
    return LoadReport(list(found), [name for name in missing if name not in new], unexpected, new)


def load_backbone_weights(backbone: nn.Module, state_dict: Weights, *, expert: int = 0) -> LoadReport:
    """Set the parameters of a backbone from an ImageNet-style file, or from a checkpoint of this project or of CADEL.

    Position embeddings for another image size are resampled. Parameters of other shapes are skipped.

    Args:
        backbone: Backbone to fill.
        state_dict: Parameters under the names of torchvision or timm, with any prefix (`module.`, `encoder_q.`,
            `model.`, ...), or those of a network of this project or of CADEL. A classifier is skipped, and so is the
            decoder of a masked autoencoder.
        expert: Number of the expert whose backbone is taken from a network of several; 0 is taken if it has fewer.

    Raises:
        UserError: No parameter fits.
    """
    wanted = backbone.state_dict()
    named = _without_wrapper(_backbone_names(flattened(state_dict), expert), wanted)
    stripped = {name: fitted(backbone, name, value) if name in wanted else value for name, value in named.items()}
    found = {name: value for name, value in stripped.items() if name in wanted and value.shape == wanted[name].shape}
    if not found:
        raise UserError(
            f"none of the {len(stripped)} names in the weights matches the backbone ({next(iter(wanted))}, ...)"
        )
    backbone.load_state_dict(found, strict=False)
    reshaped = [name for name in stripped if name in wanted and name not in found]
    missing = [name for name in wanted if name not in stripped]
    unexpected = [name for name in stripped if name not in wanted]
    shapes = [f"{name} {list(stripped[name].shape)} instead of {list(wanted[name].shape)}" for name in reshaped]
    return LoadReport(list(found), missing, unexpected, reshaped=shapes)


def load_momentum_branch(
    method: nn.Module, state_dict: Mapping[str, Tensor], *, queue_must_fit: bool = True
) -> LoadReport:
    """Set key encoder and queue of a contrastive method from a released file.

    Args:
        method: Has the submodules `key_encoder` and `queue`.
        state_dict: Parameters and buffers under the names of NCL or SBCL, with or without `module.`.
        queue_must_fit: Refuse a queue of another shape; False: skip it.

    Returns:
        What was loaded, missing and unexpected, in the method's names.

    Raises:
        UserError: The file has no momentum branch, or a shape differs; nothing is loaded then.
    """
    branch = momentum_branch(state_dict)
    if not branch:
        expected = "backbone_MA.*, classifier_MA.*, MOCO.* (NCL), or encoder_k.*, queue (SBCL)"
        raise UserError(f"the weights have no momentum branch; expected {expected}")
    state = method.state_dict()
    wanted = {name: value for name, value in state.items() if name.startswith(("key_encoder.", "queue."))}
    keys, reshaped = branch.get("queue.keys"), []
    if not queue_must_fit and keys is not None and keys.shape != wanted["queue.keys"].shape:
        branch = {name: value for name, value in branch.items() if not name.startswith("queue.")}
        reshaped.append(f"queue.keys {list(keys.shape)} instead of {list(wanted['queue.keys'].shape)}")
    found = {name: value for name, value in branch.items() if name in wanted}
    for name, value in found.items():
        _check_shape(name, value, own=name, wanted=wanted[name])
    method.load_state_dict(found, strict=False)
    missing = [name for name in wanted if name not in found]
    return LoadReport(list(found), missing, [name for name in branch if name not in wanted], reshaped=reshaped)


def _backbone_names(weights: Mapping[str, Tensor], expert: int) -> dict[str, Tensor]:
    """Return weights under the names that they have inside the backbone of an expert; other names are kept."""
    own = {name: found or name for name, found in own_names(weights).items()}
    inside = {name: new if re.match(r"experts\.\d+\.backbone\.|trunk\.", new) else name for name, new in own.items()}
    numbers = {match[1] for name in inside.values() if (match := re.match(r"experts\.(\d+)\.", name))}
    chosen = str(expert) if str(expert) in numbers else "0"
    prefix = rf"^(module\.|_orig_mod\.|experts\.{chosen}\.backbone\.|backbone\.|trunk\.)+"
    return {re.sub(prefix, "", inside[name]): value for name, value in weights.items()}


def _without_wrapper(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights without the prefix that most of the wanted names have, such as `encoder_q.` (MoCo) or `model.`.

    Names with other prefixes are kept. Of prefixes with equally many names, the first one in the file is chosen.
    """
    counts = {"": 0}
    for name in weights:
        parts = name.split(".")
        for depth in range(min(len(parts), 4)):
            prefix = "".join(f"{part}." for part in parts[:depth])
            if name.removeprefix(prefix) in wanted:
                counts[prefix] = counts.get(prefix, 0) + 1
    best = max(counts, key=lambda prefix: counts[prefix])
    if not best:
        return weights
    logger.info("weights: the names begin with %s, which is removed", best)
    taken = {name.removeprefix(best): value for name, value in weights.items() if name.startswith(best)}
    return {**{name: value for name, value in weights.items() if not name.startswith(best)}, **taken}


def _matching(
    model: nn.Module, state_dict: Mapping[str, Tensor], *, without: tuple[str, ...] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights of a file that fit a model, by the model's names, and the names that it does not have.

    Args:
        model: Network.
        state_dict: Parameters under any known names.
        without: Prefixes of the model's parameters that are skipped.
    """
    wanted = model.state_dict()
    heads = _second_stage_heads(model)
    renamed = {f"{path}.{old}": f"{path}.{new}" for path, head in heads for old, new in head.renamed.items()}
    renamed.update(_trunk_names(model))
    found: dict[str, Tensor] = {}
    unexpected = []
    for name, own in own_names(state_dict).items():
        plain = re.sub(WRAPPERS, "", name)
        own = own or (plain if plain in wanted else None)  # networks of other shapes are not in the tables
        own = renamed.get(own, own) if own else None
        if own and without and own.startswith(without):
            continue
        if own is None or own not in wanted:
            unexpected.append(name)
            continue
        value = fitted(model, own, state_dict[name])
        _check_shape(name, value, own=own, wanted=wanted[own])
        found[own] = value
    if not found:
        known = (
            "backbone.*, classifier.* (NCL, Bag of Tricks), feat_model.* (CADEL), encoder.* or encoder_q.* (SBCL), "
            "experts.* or trunk.*"
        )
        raise UserError(f"none of the {len(state_dict)} names in the weights is known; expected {known}")
    return found, unexpected


def _trunk_names(model: nn.Module) -> dict[str, str]:
    """Return {name in the first of whole experts: name in the trunk} of experts that share one; else {}."""
    names = model.state_dict() if hasattr(model, "experts") else ()
    return {name.replace("trunk.", "experts.0.backbone.", 1): name for name in names if name.startswith("trunk.")}


def _fresh_heads(
    model: nn.Module, state_dict: Mapping[str, Tensor], kinds: Sequence[str] | None, backbone_only: bool
) -> list[str]:
    """Return the paths of the heads that are initialized from scratch."""
    stages = dict(_second_stage_heads(model))
    paths = {id(module): path for path, module in model.named_modules()}
    fresh = [path for path, head in stages.items() if not head.inherits]
    in_file = {own: state_dict[name] for name, own in own_names(state_dict).items() if own}
    for number, head in enumerate(getattr(model, "heads", [])):
        path = paths[id(head)]
        parts = {name.removeprefix(f"{path}."): part for name, part in in_file.items() if name.startswith(f"{path}.")}
        if backbone_only or (
            path not in stages and not _same_head(model, head, parts=parts, kinds=kinds, number=number)
        ):
            fresh.append(path)
    return fresh


def _same_head(
    model: nn.Module, head: nn.Module, *, parts: Mapping[str, Tensor], kinds: Sequence[str] | None, number: int
) -> bool:
    """Return whether a head in a file, with these parameters, has the kind and number of classes of the model's."""
    own = head.state_dict()
    if any(name in own and own[name].shape[:1] != part.shape[:1] for name, part in parts.items()):
        return False
    if kinds is not None:
        return number < len(kinds) and kinds[number] == getattr(model, "head_kinds", kinds)[number]
    return not parts or set(parts) == set(own)


def _second_stage_heads(model: nn.Module) -> Iterator[tuple[str, SecondStageHead]]:
    """Yield (path, head) of the heads of a second stage in a model."""
    return ((path, module) for path, module in model.named_modules() if isinstance(module, SecondStageHead))


def _check_shape(name: str, value: Tensor, *, own: str, wanted: Tensor) -> None:
    if value.shape != wanted.shape:
        raise UserError(
            f"weights do not fit: {name} is {list(value.shape)}, the network's {own} is {list(wanted.shape)}"
        )
