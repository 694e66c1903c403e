"""Builders: config -> components of a training or an evaluation."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.checkpoint_file import read_checkpoint
from longtail.config import expert_backbones
from longtail.data import Loaders, Shard, Splits, build_loaders
from longtail.distributed import Place
from longtail.engine.compiling import compile_experts
from longtail.engine.cuda_graph import build_recorder, expert_streams
from longtail.engine.ema import WeightAverage
from longtail.engine.inference import TrainingSet
from longtail.engine.optim import SharpnessAware, build_optimizer, build_schedule
from longtail.engine.training import Plan, Training
from longtail.errors import UserError
from longtail.evaluation import Evaluator, ensemble_heads, shot_groups
from longtail.losses import Loss, build_loss
from longtail.methods import METHODS, build_method, method_entry
from longtail.models import (
    LoadReport,
    build_model,
    check_finite,
    check_loaded,
    downloaded_weights,
    load_backbone_weights,
    load_released_weights,
    needs_first_stage,
    read_weights,
    start_from,
    start_from_class_means,
    synchronize_batch_norm,
    weights_in,
    wrap,
)
from longtail.runs.random_state import seed_everything
from longtail.runs.results import RunFacts

logger = logging.getLogger(__name__)


def build_training(cfg: CfgNode, splits: Splits, *, place: Place, source: str) -> Training:
    """Build all components of a training.

    Args:
        cfg: Config.
        splits: Data.
        place: Processes, devices and precision.
        source: Path of the config, for results.json.

    Raises:
        UserError: A weights file is missing, damaged or does not fit, or components cannot be combined.
    """
    class_counts = splits.train.class_counts()
    seed_everything(cfg.RAND_SEED, deterministic=cfg.TRAIN.DETERMINISTIC)
    network, weights = build_network(cfg, len(class_counts))
    network = network.to(place.device)
    loaders = build_loaders(
        cfg,
        splits,
        shard=Shard(place.world.rank, place.world.size),
        device=place.device if cfg.DATASET.ON_DEVICE else torch.device("cpu"),
    )
    data = _training_set(splits, loaders, place)
    loss = build_loss(cfg, class_counts, splits.class_names())
    check_sample_weights(cfg, splits, loss)
    method = build_method(cfg, network, loss, data).to(place.device)
    if cfg.METHOD.STATE:
        load_method_state(method, cfg.METHOD.STATE)
    if cfg.TRAIN.SYNCBN:
        synchronize_batch_norm(network, place)
        synchronize_batch_norm(method, place)
    if cfg.TRAIN.COMPILE:
        compile_experts(network)
    half, rho = place.precision == "fp16", cfg.TRAIN.OPTIMIZER.SAM_RHO
    optimizer = build_optimizer(cfg, method.trainable(), fused=not half)
    method.wrap(lambda module: wrap(module, place))
    network.streams = expert_streams(cfg, place, len(network.heads))
    return Training(
        facts=replace(
            _facts(cfg, splits, network, place=place, source=source),
            optimizer_type=type(optimizer).__name__,
            weights=weights,
        ),
        network=network,
        method=method,
        data=data,
        loaders=loaders,
        optimizer=optimizer,
        schedule=build_schedule(cfg),
        scaler=torch.amp.GradScaler(place.device.type, enabled=half),
        new_evaluator=evaluator_maker(cfg, class_counts, experts=len(network.heads), device=place.device),
        plan=build_plan(cfg),
        place=place,
        sharpness=SharpnessAware(optimizer, method.trainable().values(), rho=rho) if rho else None,
        average=WeightAverage(network, cfg.TRAIN.EMA.DECAY) if cfg.TRAIN.EMA.DECAY else None,
        recorder=build_recorder(cfg, method, place),
    )


def _training_set(splits: Splits, loaders: Loaders, place: Place) -> TrainingSet:
    train = splits.train
    return TrainingSet(
        train.class_counts(),
        train.labels,
        ordered_loader=loaders.train_in_order,
        normalize=loaders.normalize,
        place=place,
    )


def _facts(cfg: CfgNode, splits: Splits, network: Any, *, place: Place, source: str) -> RunFacts:
    class_counts = splits.train.class_counts()
    return RunFacts(
        config=source,
        seed=cfg.RAND_SEED,
        epochs=cfg.TRAIN.MAX_EPOCH,
        classes=len(class_counts),
        images=sum(class_counts),
        experts=len(network.heads),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        precision=place.precision,
        architecture=network.description,
        heads=network.head_kinds,
        fingerprint=splits.train.fingerprint(),
        class_counts=class_counts,
        class_names=splits.class_names(),
    )


def build_plan(cfg: CfgNode) -> Plan:
    """Build the plan of a training."""
    return Plan(
        epochs=cfg.TRAIN.MAX_EPOCH,
        evaluate_every=cfg.VALID_STEP,
        save_every=cfg.SAVE_STEP,
        report_every=cfg.SHOW_STEP,
        checkpoint_seconds=cfg.TRAIN.CHECKPOINT_MINUTES * 60,
        peer_seconds=cfg.TRAIN.PEER_TIMEOUT * 60,
        frozen_statistics=cfg.EVAL_MODE,
        clip_norm=cfg.TRAIN.OPTIMIZER.CLIP_NORM,
        select_by=cfg.TEST.SELECT_BY,
    )


def check_selection(cfg: CfgNode, splits: Splits) -> None:
    """Refuse a TEST.SELECT_BY that cannot be computed from the validation images.

    Raises:
        UserError: No validation image belongs to a class of that shot group.
    """
    classes = shot_groups(splits.train.class_counts(), cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT)
    group = classes.get(cfg.TEST.SELECT_BY)
    if group is not None and not torch.isin(splits.valid.labels, torch.tensor(group, dtype=torch.int64)).any():
        raise UserError(
            f"TEST.SELECT_BY is {cfg.TEST.SELECT_BY!r}, but {splits.valid.name} has no images of such classes "
            f"(TEST.MANY_SHOT {cfg.TEST.MANY_SHOT}, TEST.FEW_SHOT {cfg.TEST.FEW_SHOT})"
        )


def check_sample_weights(cfg: CfgNode, splits: Splits, loss: Loss) -> None:
    """Refuse training images with weights for a loss or a method that would ignore them.

    Raises:
        UserError: They would be ignored; the message names the loss or the method, and what to use instead.
    """
    if splits.train.weights is None:
        return
    if not loss.weighs_rows:
        raise UserError(
            f"{splits.train.name} has sample weights, but LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} does not have a loss for "
            "each image; use a loss of one head, or remove the weights"
        )
    if not method_entry(cfg).weighs_samples:
        users = ", ".join(name for name in METHODS if METHODS.get(name).weighs_samples)
        raise UserError(
            f"{splits.train.name} has sample weights, which TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} does not "
            f"use; allowed: {users}"
        )


def evaluator_maker(
    cfg: CfgNode, class_counts: list[int], *, experts: int, device: torch.device
) -> Callable[[], Evaluator]:
    """Return a function that returns an empty evaluator."""
    many, few = cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT
    ensemble = cfg.TEST.ENSEMBLE
    ensemble_heads(ensemble, experts)  # heads that do not exist are refused before the first step
    return lambda: Evaluator(
        len(class_counts), experts, class_counts, many=many, few=few, device=device, ensemble=ensemble
    )


def build_network(cfg: CfgNode, num_classes: int) -> tuple[Any, list[dict[str, Any]]]:
    """Build the network of a training and load the weights from which it starts.

    Returns:
        The network, and a report of each weights file for results.json.

    Raises:
        UserError: A weights file is missing, damaged or does not fit, or fills too little of the network.
    """
    network: Any = build_model(cfg, num_classes)
    reports: list[dict[str, Any]] = []

    def report_loading(path: str, module: nn.Module, report: LoadReport) -> None:
        reports.append(check_loaded(path, module, report, least=cfg.NETWORK.MIN_LOADED))

    if cfg.BACKBONE.PRETRAINED_TAG:
        names = expert_backbones(cfg)
        for number, backbone in backbones_of(network):
            weights = downloaded_weights(names[number], cfg.BACKBONE.PRETRAINED_TAG)
            report = load_backbone_weights(backbone, weights, expert=number)
            report_loading(f"{names[number]}.{cfg.BACKBONE.PRETRAINED_TAG}", backbone, report)
    if cfg.BACKBONE.PRETRAINED_MODEL:
        path = cfg.BACKBONE.PRETRAINED_MODEL
        weights = read_weights(path)
        for number, backbone in backbones_of(network):
            report_loading(path, backbone, load_backbone_weights(backbone, weights, expert=number))
    if cfg.NETWORK.PRETRAINED:
        content = read_checkpoint(cfg.NETWORK.PRETRAINED_MODEL)
        weights = weights_in(content, cfg.NETWORK.PRETRAINED_MODEL)
        with _errors_name(cfg.NETWORK.PRETRAINED_MODEL):
            report = start_from(
                network, weights, head_kinds=content.get("heads"), backbone_only=cfg.NETWORK.LOAD_BACKBONE_ONLY
            )
        report_loading(cfg.NETWORK.PRETRAINED_MODEL, network, report)
    if cfg.RESUME_MODEL and cfg.RESUME_MODE == "state_dict":
        weights = read_trained(cfg, network, cfg.RESUME_MODEL)
        with _errors_name(cfg.RESUME_MODEL):
            report = load_released_weights(network, weights)
        report_loading(cfg.RESUME_MODEL, network, report)
    if cfg.BACKBONE.FREEZE and not reports:
        logger.warning("the backbone is frozen with random weights; BACKBONE.PRETRAINED_MODEL names a weights file")
    return in_layout(cfg, network), reports


def start_heads(cfg: CfgNode, training: Training) -> None:
    """Set the initial class weights of a new training according to CLASSIFIER.START; equal in all processes.

    A network whose weights come from RESUME_MODEL keeps its heads.
    """
    if cfg.CLASSIFIER.START != "class_means" or (cfg.RESUME_MODEL and cfg.RESUME_MODE == "state_dict"):
        return
    network: Any = training.network
    features = training.data.outputs(network).features
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


@contextmanager
def _errors_name(path: str | Path) -> Iterator[None]:
    """Within the block, prefix errors with the path of a file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def describe_data(cfg: CfgNode, splits: Splits) -> str:
    """Return a description of the images in one line."""
    counts = splits.train.class_counts()
    groups = shot_groups(counts, cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT)
    shots = ", ".join(f"{len(groups[name])} {name}" for name in ("many", "medium", "few") if groups.get(name))
    generated = f" and {splits.train.num_generated:,} generated ones" if splits.train.num_generated else ""
    return (
        f"{splits.train.num_original:,} training images{generated} in {len(counts)} classes ({max(counts):,} to "
        f"{min(counts):,}, imbalance {max(counts) / min(counts):.4g}: {shots}), {len(splits.valid):,} validation images"
    )
