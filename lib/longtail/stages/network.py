"""The network of a training or an evaluation, and the weights and states that it starts from."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.checkpoint_file import read_checkpoint
from longtail.config import expert_backbones
from longtail.engine.training import Training
from longtail.errors import UserError
from longtail.models import (
    LoadReport,
    build_model,
    check_depth,
    check_finite,
    check_loaded,
    load_backbone_weights,
    load_released_weights,
    needs_first_stage,
    pretrained_weights,
    start_from,
    start_from_class_means,
    weights_in,
)
from longtail.output_folders import BEST
from longtail.runs.directory import RunDirectory
from longtail.user_files import is_file

logger = logging.getLogger(__name__)


def build_network(cfg: CfgNode, num_classes: int, class_names: Sequence[str] = ()) -> tuple[Any, list[dict[str, Any]]]:
    """Build the network of a training and load the weights from which it starts.

    Args:
        cfg: Config.
        num_classes: Number of classes C.
        class_names: Names of the classes, (C,); empty: they have none.

    Returns:
        The network, and a report of each weights file for results.json.

    Raises:
        UserError: A weights file is missing, damaged or does not fit, or fills too little of the network; or its heads
            would be taken for other classes.
    """
    network: Any = build_model(cfg, num_classes)
    reports: list[dict[str, Any]] = []

    def report_loading(path: str, module: nn.Module, report: LoadReport) -> None:
        reports.append(check_loaded(path, module, report, least=cfg.NETWORK.MIN_LOADED))

    names, pretrained = expert_backbones(cfg), pretrained_weights(cfg)
    for number, backbone in backbones_of(network):
        for source, weights in pretrained[names[number]]:
            report = load_backbone_weights(backbone, weights, expert=number)
            if cfg.NETWORK.MIN_LOADED:
                check_depth(source, backbone, report)
            report_loading(source, backbone, report)
    if cfg.NETWORK.PRETRAINED:
        content = read_checkpoint(cfg.NETWORK.PRETRAINED_MODEL)
        weights = weights_in(content, cfg.NETWORK.PRETRAINED_MODEL)
        if not cfg.NETWORK.LOAD_BACKBONE_ONLY:
            _check_heads(cfg.NETWORK.PRETRAINED_MODEL, content.get("class_names") or (), class_names)
        with _errors_name(cfg.NETWORK.PRETRAINED_MODEL):
            report = start_from(
                network, weights, head_kinds=content.get("heads"), backbone_only=cfg.NETWORK.LOAD_BACKBONE_ONLY
            )
        report_loading(cfg.NETWORK.PRETRAINED_MODEL, network, report)
    elif cfg.NETWORK.PRETRAINED_MODEL:
        logger.warning("NETWORK.PRETRAINED_MODEL is not read; NETWORK.PRETRAINED True starts from it")
    if cfg.RESUME_MODEL and cfg.RESUME_MODE == "state_dict":
        weights = read_trained(cfg, network, cfg.RESUME_MODEL)
        with _errors_name(cfg.RESUME_MODEL):
            report = load_released_weights(network, weights)
        report_loading(cfg.RESUME_MODEL, network, report)
    return in_layout(cfg, network), reports


def _check_heads(path: str, trained: Sequence[str], names: Sequence[str]) -> None:
    """Refuse the heads of as many, but other classes."""
    if len(trained) != len(names):  # heads of another size start from scratch
        return
    other = [label for label, pair in enumerate(zip(trained, names, strict=True)) if pair[0] != pair[1]]
    if other:
        label = other[0]
        raise UserError(
            f"{path} was trained on other classes: class {label} is {trained[label]!r} there, here {names[label]!r}; "
            "NETWORK.LOAD_BACKBONE_ONLY True starts with new heads"
        )


def start_heads(cfg: CfgNode, training: Training) -> None:
    """Set the initial class weights of a new training according to CLASSIFIER.START; equal in all processes.

    A network whose weights come from RESUME_MODEL keeps its heads.
    """
    if cfg.CLASSIFIER.START != "class_means" or (cfg.RESUME_MODEL and cfg.RESUME_MODE == "state_dict"):
        return
    network: Any = training.network
    features = training.data.outputs(network, logits=False).features
    start_from_class_means(network.heads, features, labels=training.data.labels)
    if training.average:
        training.average.load_state_dict(training.network.state_dict())
    logger.info("heads start from the class means of %s training images", f"{len(training.data.labels):,}")


def backbones_of(network: Any) -> list[tuple[int, nn.Module]]:
    """Return the backbones of a network, each with the number of its expert; a trunk has the number 0."""
    experts = [(number, expert.backbone) for number, expert in enumerate(getattr(network, "experts", []))]
    trunk = getattr(network, "trunk", None)
    return experts if trunk is None else [(0, trunk), *experts]


def in_layout(cfg: CfgNode, network: Any) -> Any:
    """Return the network in the memory layout of TRAIN.CHANNELS_LAST."""
    return network.to(memory_format=torch.channels_last) if cfg.TRAIN.CHANNELS_LAST else network


def read_trained(cfg: CfgNode, network: Any, path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a whole network, see `trained_weights`.

    Raises:
        UserError: The file is missing, damaged, or holds no weights.
    """
    return trained_weights(cfg, network, read_checkpoint(path), path=path)


def trained_weights(cfg: CfgNode, network: Any, content: dict[str, Any], *, path: str | Path) -> dict[str, Tensor]:
    """Return the weights in the content of a checkpoint, and warn if they were trained in another architecture.

    Heads of different kinds have parameters of the same names and shapes, so loading would not detect it.

    Raises:
        UserError: The content holds no weights.
    """
    trained = content.get("architecture")
    if trained not in (None, network.description) and not needs_first_stage(cfg):
        logger.warning("weights of %s were trained as %s; they are used as %s", path, trained, network.description)
    return weights_in(content, path)


def load_method_state(method: nn.Module, path: str) -> None:
    """Load the state of a training method (momentum encoder, queue, ...) from a checkpoint of this project.

    Raises:
        UserError: The checkpoint has none, it does not fit, or a value is infinite or NaN.
    """
    state = read_checkpoint(path).get("method")
    if not isinstance(state, dict):
        raise UserError(f"METHOD.STATE {path} holds no state of a training method; use a last.pth or epoch_N.pth")
    own = method.state_dict()
    shared = {name: value for name, value in state.items() if name in own}
    if not shared:
        raise UserError(
            f"METHOD.STATE {path} holds nothing of this training method; it has: {', '.join(list(state)[:5])}"
        )
    for name, value in shared.items():
        if isinstance(value, Tensor) and value.shape != own[name].shape:
            raise UserError(
                f"METHOD.STATE {path}: {name} is {list(value.shape)}, this method's is {list(own[name].shape)}"
            )
    check_finite(path, shared)
    method.load_state_dict(shared, strict=False)
    logger.info("state of the training method from %s: %d of %d entries", path, len(shared), len(own))


def load_network(cfg: CfgNode, num_classes: int, checkpoint: Path, *, content: dict[str, Any] | None = None) -> Any:
    """Build the network of a config and load all of its weights.

    Args:
        cfg: Config.
        num_classes: Number of classes C.
        checkpoint: File of the weights.
        content: Its content, if it is already read.

    Raises:
        UserError: The checkpoint lacks parameters, or does not fit.
    """
    network = in_layout(cfg, build_model(cfg, num_classes))
    content = read_checkpoint(checkpoint) if content is None else content
    report = load_released_weights(network, trained_weights(cfg, network, content, path=checkpoint))
    missing = [name for name in report.missing if ".projection." not in name]  # evaluation does not use those
    if missing:
        raise UserError(f"{checkpoint} lacks {len(missing)} parameters of the network, such as {missing[0]}")
    return network


def find_checkpoint(cfg: CfgNode, run: RunDirectory) -> Path:
    """Return the checkpoint that TEST.MODEL_FILE names, best_ensemble.pth if it is empty.

    Raises:
        UserError: There is no such file.
    """
    name = cfg.TEST.MODEL_FILE or BEST
    for path in (run.models / name, Path(name)):
        if is_file(path):
            return path
    raise UserError(
        f"checkpoint {name} is neither in {run.models} nor a file; TEST.MODEL_FILE names the checkpoint to evaluate"
    )


@contextmanager
def _errors_name(path: str | Path) -> Iterator[None]:
    """Within the block, prefix errors with the path of a file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
