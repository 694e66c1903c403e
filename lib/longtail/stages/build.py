"""Builders: config -> components of a training or an evaluation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Loaders, Shard, Splits, build_loaders
from longtail.distributed import Place
from longtail.engine.compiling import compile_experts
from longtail.engine.cuda_graph import build_recorder, expert_streams, graph_mode
from longtail.engine.ema import WeightAverage
from longtail.engine.inference import TrainingSet
from longtail.engine.optim import SharpnessAware, build_optimizer, build_schedule, check_repeatable
from longtail.engine.training import Plan, Training
from longtail.evaluation import Evaluator, ensemble_heads
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import synchronize_batch_norm, wrap
from longtail.runs.random_state import seed_everything
from longtail.runs.results import RunFacts
from longtail.stages.network import build_network, load_method_state
from longtail.stages.splits import check_sample_weights


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
    network, weights = build_network(cfg, len(class_counts), splits.class_names())
    network = network.to(place.device)
    loaders = build_loaders(
        cfg,
        splits,
        shard=Shard(place.world.rank, place.world.size),
        device=place.device,
    )
    data = _training_set(splits, loaders, place)
    loss = build_loss(cfg, class_counts, splits.class_names())
    check_sample_weights(cfg, splits, loss)
    check_repeatable(cfg, loss)
    method = build_method(cfg, network, loss, data).to(place.device)
    if cfg.METHOD.STATE:
        load_method_state(method, cfg.METHOD.STATE)
    _prepare_modules(cfg, network, method, place=place)
    half, rho = place.precision == "fp16", cfg.TRAIN.OPTIMIZER.SAM_RHO
    optimizer = build_optimizer(cfg, method.trainable(), fused=not half)
    method.wrap(lambda module: wrap(module, place))  # after the optimizer, which groups parameters by their own names
    average = WeightAverage(network, cfg.TRAIN.EMA.DECAY) if cfg.TRAIN.EMA.DECAY else None
    mode = graph_mode(cfg, method, place)
    network.streams = expert_streams(mode, place, len(network.heads))  # after the average: streams cannot be copied
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
        average=average,
        recorder=build_recorder(mode, place),
    )


def _prepare_modules(cfg: CfgNode, network: nn.Module, method: nn.Module, *, place: Place) -> None:
    """Change the modules of network and method in place; before anything refers to their parameters."""
    if cfg.TRAIN.SYNCBN:
        synchronize_batch_norm(network, place)
        synchronize_batch_norm(method, place)
    if cfg.TRAIN.COMPILE:  # after the modules have been replaced
        compile_experts(network)


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
        valid_fingerprint=splits.valid.fingerprint(),
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
        frozen_statistics=cfg.EVAL_MODE,
        clip_norm=cfg.TRAIN.OPTIMIZER.CLIP_NORM,
        select_by=cfg.TEST.SELECT_BY,
        must_record=cfg.TRAIN.CUDA_GRAPH != "auto",
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
