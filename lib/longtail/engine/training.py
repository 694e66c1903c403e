"""A whole training run: from the tree to results.json."""

import logging
from contextlib import ExitStack
from typing import Any

import torch
from yacs.config import CfgNode

from longtail.config import method_name, precision
from longtail.data import Shard, Splits, build_loaders, build_splits
from longtail.engine.assembly import architecture, autocast, build_network, describe_data, judge_maker, schedule
from longtail.engine.checkpoint import seed_everything
from longtail.engine.compiling import check_compilable, compile_experts
from longtail.engine.console import log_to_file
from longtail.engine.continuation import Continuation, find_continuation, read_fitting
from longtail.engine.devices import own_device, parse_devices, usable_precision, wrap
from longtail.engine.distributed import (
    World,
    check_synchronised,
    connected,
    from_main,
    launched_world,
    lost_processes_told,
    synchronise_norms,
)
from longtail.engine.environment import describe
from longtail.engine.optim import build_optimizer
from longtail.engine.preflight import preflight
from longtail.engine.recorded_stepping import build_recorder, check_recordable
from longtail.engine.records import Records
from longtail.engine.run_directory import RunDirectory, create_run
from longtail.engine.trainer import Trainer
from longtail.evaluation import plot_class_counts, plot_confusion, plot_curves, plot_per_class_accuracy
from longtail.losses import build_loss
from longtail.methods import build_method

logger = logging.getLogger(__name__)


def train(cfg: CfgNode, source: str, gpus: str | None = None, resume: str = "auto") -> RunDirectory | None:
    """Train, judge and draw what a tree describes.

    Args:
        cfg: the tree.
        source: what results.json calls the configuration, the path of its YAML file.
        gpus: "cpu", "0", "0,1"; None: the first GPU, or the CPU where there is none.
        resume: "auto", "never", or the path of a run directory or checkpoint.

    Returns:
        the run directory; None in processes that do not write.

    Raises:
        UserError: something in the tree, the data or the checkpoint is wrong; nothing has been written.
        Interrupted: a signal stopped the training; it can be continued.
        ProcessLost: another process of the run has ended; it can be continued.
    """
    world = launched_world()
    devices = parse_devices(gpus)
    device = own_device(devices, world)
    preflight(cfg)
    if cfg.TRAIN.SYNCBN:
        check_synchronised(device, world)
    if cfg.TRAIN.COMPILE:
        check_compilable(method_name(cfg), devices, world)
    check_recordable(cfg, devices, world, usable_precision(precision(cfg), device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with lost_processes_told(world), ExitStack() as stack:
        stack.enter_context(connected(world, device))
        return _train(cfg, source, devices, device, world, resume, stack)


def _train(
    cfg: CfgNode,
    source: str,
    devices: list[torch.device],
    device: torch.device,
    world: World,
    resume: str,
    stack: ExitStack,
) -> RunDirectory | None:
    splits = build_splits(cfg)
    class_counts = splits.train.class_counts()

    seed_everything(cfg.RAND_SEED, cfg.TRAIN.DETERMINISTIC)
    network = build_network(cfg, len(class_counts)).to(device)
    if cfg.TRAIN.SYNCBN:
        synchronise_norms(network, world)
    if cfg.TRAIN.COMPILE:
        compile_experts(network)
    loss = build_loss(cfg, class_counts)
    method = build_method(cfg, wrap(network, devices, device, world), loss).to(device)
    if cfg.TRAIN.SYNCBN:  # what the method holds for itself
        synchronise_norms(method, world)
    recorder = build_recorder(cfg, network, method, device)
    facts = {
        "config": source,
        "seed": cfg.RAND_SEED,
        "epochs": cfg.TRAIN.MAX_EPOCH,
        "classes": len(class_counts),
        "images": sum(class_counts),
        "experts": len(network.experts),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "architecture": architecture(cfg),
        "fingerprint": splits.train.fingerprint(),
        "precision": usable_precision(precision(cfg), device),
    }

    start = find_continuation(cfg, resume, world.restarts > 0) if world.main else Continuation()
    if start.run:
        stack.callback(start.run.unlock)
    checkpoint = from_main(start.checkpoint)
    content = read_fitting(checkpoint, facts) if checkpoint else None
    if from_main(start.run is not None and start.run.finished()):
        logger.info("the run of %s is finished; nothing is left to do", checkpoint)
        return start.run
    place = device if cfg.DATASET.ON_DEVICE else torch.device("cpu")
    loaders = build_loaders(cfg, splits, shard=Shard(world.rank, world.size), device=place)

    run = (start.run or create_run(cfg)) if world.main else None
    if run:
        stack.callback(run.unlock)
        stack.enter_context(log_to_file(run.log))
        _begin(cfg, run, start, splits, facts, devices, world)
        logger.info("sampling: %s", loaders.train.sampler)
        if loaders.bad_images is not None and loaders.bad_images.files:  # met before there was a log to name them in
            logger.warning("passed over so far: %s", ", ".join(sorted(loaders.bad_images.files)))
    half = facts["precision"] == "fp16"
    if half and device.type == "cpu":
        logger.warning("fp16 on a CPU is slow; TRAIN.AMP auto takes what it is fast at")
    trainer = Trainer(
        network,
        method,
        build_optimizer(cfg, network, fused=not half),
        torch.amp.GradScaler(device.type, enabled=half),
        loaders,
        judge_maker(cfg, class_counts, len(network.experts), device),
        schedule(cfg),
        device,
        autocast(facts["precision"], device),
        run,
        Records(run, cfg.TRAIN.TENSORBOARD.ENABLE, content["epoch"] if content else 1) if run else None,
        facts,
        world,
        recorder,
    )
    if content:
        trainer.load(content)
    elif world.size > 1:
        torch.manual_seed(cfg.RAND_SEED + world.rank)  # dropout must not be the same everywhere
    trainer.fit()
    if run:
        _end(cfg, run, trainer, class_counts)
    return run


def _begin(
    cfg: CfgNode,
    run: RunDirectory,
    start: Continuation,
    splits: Splits,
    facts: dict[str, Any],
    devices: list[torch.device],
    world: World,
) -> None:
    """Write and say what is about to be trained, on what."""
    logger.info("run directory %s", run.path)
    if start.checkpoint:
        logger.info("going on from %s%s", start.checkpoint, f" ({start.why_new})" if start.why_new else "")
    else:
        fingerprints = {"train": splits.train.fingerprint(), "valid": splits.valid.fingerprint()}
        run.write_json("environment.json", describe(devices, world.size, fingerprints))
    logger.info("%s", describe_data(cfg, splits))
    logger.info(
        "%s, %s parameters; %s with %s",
        facts["architecture"],
        f"{facts['parameters']:,}",
        cfg.TRAIN.COMBINER.TYPE,
        cfg.LOSS.LOSS_TYPE,
    )
    logger.info(
        "%s, precision %s, effective batch %d (%d process%s)",
        ", ".join(map(str, devices)),
        facts["precision"],
        cfg.TRAIN.BATCH_SIZE * world.size,
        world.size,
        "" if world.size == 1 else "es",
    )


def _end(cfg: CfgNode, run: RunDirectory, trainer: Trainer, class_counts: list[int]) -> None:
    """Draw the figures of a finished run and say how it went."""
    many, few = cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT
    assert trainer.records
    # All at the end: loading matplotlib would delay the first step.
    plot_class_counts(run.figures / "class_counts.png", class_counts, many, few)
    plot_curves(run.figures / "curves.png", trainer.records.history)
    if trainer.judge:
        cm = trainer.judge.confusion("ensemble")
        plot_per_class_accuracy(run.figures / "per_class_accuracy.png", cm, class_counts, many, few)
        plot_confusion(run.figures / "confusion.png", cm, class_counts, many=many, few=few)
    trainer.records.close()
    best = trainer.results.best
    if best:
        top1 = best["ensemble"].get("top1", 0.0)
        logger.info("best ensemble top-1 %.2f %% in epoch %d; %s", 100 * top1, best["epoch"], run.results)
