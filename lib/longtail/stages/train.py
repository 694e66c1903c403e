"""The stage that trains: from a config to results.json."""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from longtail.data import Splits, build_splits
from longtail.distributed import Place, from_main, main_only
from longtail.engine.trainer import Trainer
from longtail.engine.training import Training
from longtail.errors import UserError
from longtail.evaluation import Classes, plot_class_counts, plot_confusion, plot_curves, plot_per_class_accuracy
from longtail.methods import Draw
from longtail.output_folders import ENVIRONMENT, RESULTS
from longtail.runs.best import restore_best
from longtail.runs.directory import RunDirectory
from longtail.runs.environment import describe, resumed
from longtail.runs.folder import read_json
from longtail.runs.loggers import read_history
from longtail.runs.outputs import output_records
from longtail.runs.results import sealed
from longtail.runs.run import Run, open_run
from longtail.stages.build import build_training
from longtail.stages.checks import check_training, training_warnings
from longtail.stages.dry_run import dry_run
from longtail.stages.network import start_heads
from longtail.stages.splits import check_selection, describe_data
from longtail.threads import describe_threads, use_threads

logger = logging.getLogger(__name__)


def train(cfg: CfgNode, source: str, *, place: Place, resume: str = "auto") -> RunDirectory:
    """Train, evaluate and draw the figures of a config.

    Args:
        cfg: Config.
        source: Path of the config, for results.json.
        place: Processes and devices.
        resume: "auto", "never", or the path of a run directory or checkpoint.

    Returns:
        The run directory.

    Raises:
        UserError: The config, the data or the checkpoint is invalid; nothing has been written.
        Interrupted: A signal stopped the training; it can be resumed.
        ProcessLost: Another process of the run has exited; it can be resumed.
    """
    place = place.with_precision(cfg.TRAIN.AMP)
    check_training(cfg, place)
    with place.connected(60 * cfg.TRAIN.PEER_TIMEOUT), open_run(cfg, place, resume) as run:
        if run.finished:
            main_only(lambda: check_same_images(cfg, run.directory))
            logger.info(
                "already finished in %s; --resume never starts a new run",
                run.directory.path if run.directory else "",
            )
        else:
            splits = build_splits(cfg)
            check_selection(cfg, splits)
            training = build_training(cfg, splits, place=place, source=source)
            with contextlib.closing(training.loaders):
                _train(run, splits, training)
        return RunDirectory(Path(from_main(str(run.directory.path if run.directory else ""))))


def _train(run: Run, splits: Splits, training: Training) -> None:
    """Train from the beginning or a checkpoint, and draw the figures."""
    cfg, place = run.cfg, training.place
    use_threads(_environment_of(run).get("threads"))
    dry_run(cfg, training)
    checkpoint = run.read_checkpoint(training.facts)
    trainer = Trainer(training, run)
    if checkpoint:
        trainer.load(checkpoint)
    else:
        start_heads(cfg, training)
        if place.world.size > 1:
            torch.manual_seed(cfg.RAND_SEED + place.world.rank)  # dropout must differ between processes
    run.begin(trainer.epoch)
    restore_best(run, trainer.results)
    _announce(run, splits, training, epoch=trainer.epoch)
    trainer.fit()
    _report(run, trainer)


def _environment_of(run: Run) -> dict[str, Any]:
    """Return environment.json of the run that is resumed; {} if none is."""
    content = read_json(RunDirectory(run.checkpoint.parent.parent).environment) if run.checkpoint else None
    return content if isinstance(content, dict) else {}


def check_same_images(cfg: CfgNode, run: RunDirectory | None) -> None:
    """Refuse a finished run that was trained on other images than those that its config names now.

    Raises:
        UserError: They have changed.
    """
    if not run:
        return
    trained = read_json(run.environment)
    try:
        splits = build_splits(cfg)
    except UserError:  # they are no longer there
        return
    now = {"train": splits.train.fingerprint(), "valid": splits.valid.fingerprint()}
    if isinstance(trained, dict) and trained.get("data", now) != now:
        raise UserError(
            f"the same training is finished in {run.path}, but its images have changed since; --resume never "
            "trains with those of now"
        )


def _announce(run: Run, splits: Splits, training: Training, *, epoch: int) -> None:
    """Write environment.json, and log what is about to be trained."""
    if not run.directory:
        return
    cfg, facts, place = run.cfg, training.facts, training.place
    logger.info("run directory %s", run.directory.path)
    if run.checkpoint:
        reason = f" ({run.point.reason})" if run.point.reason else ""
        for file in run.point.damaged:
            logger.warning("%s is damaged or lost; resuming from an older checkpoint of the run", file)
        logger.info("resuming from %s%s", run.checkpoint, reason)
    environment = describe(place, {"train": facts.fingerprint, "valid": facts.valid_fingerprint})
    before = _environment_of(run)
    run.write_json(ENVIRONMENT, resumed(before, environment, epoch) if before else environment)
    logger.info("%s", describe_data(cfg, splits))
    logger.info(
        "%s, %s parameters; %s with %s",
        facts.architecture,
        f"{facts.parameters:,}",
        cfg.TRAIN.COMBINER.TYPE,
        cfg.LOSS.LOSS_TYPE,
    )
    logger.info(
        "%s, precision %s%s, effective batch %d (%d process%s)",
        ", ".join(map(str, place.devices)),
        facts.precision,
        ", recorded steps" if training.recorder else "",
        cfg.TRAIN.BATCH_SIZE * place.world.size,
        place.world.size,
        "" if place.world.size == 1 else "es",
    )
    logger.info("%s", describe_threads(torch.get_num_threads()))
    logger.info("sampling: %s", training.loaders.train.sampler)
    bad = training.loaders.bad_images
    if bad is not None and bad.files:  # found before the log was open
        logger.warning("skipped so far: %s", ", ".join(sorted(bad.files)))
    for warning in training_warnings(cfg, training.method.loss):
        logger.warning("%s", warning)
    if facts.precision == "fp16" and place.device.type == "cpu":
        logger.warning("fp16 is slow on a CPU; TRAIN.AMP auto uses bf16 if the hardware supports it")


def _report(run: Run, trainer: Trainer) -> None:
    """Draw the figures of a finished run, and log its best result."""
    drawings = trainer.training.method.figures(trainer.training.data)  # all processes take part
    main_only(lambda: _write_report(run, trainer, drawings))


def _write_report(run: Run, trainer: Trainer, drawings: Mapping[str, Draw]) -> None:
    """Write figures and results in process 0."""
    assert run.directory
    classes = Classes(
        trainer.training.data.class_counts,
        trainer.training.facts.class_names,
        many=run.cfg.TEST.MANY_SHOT,
        few=run.cfg.TEST.FEW_SHOT,
    )
    folder = run.directory.make_figures()
    # All figures at the end: loading matplotlib would delay the first step.
    plot_class_counts(folder / "class_counts.png", classes)
    plot_curves(folder / "curves.png", read_history(run.directory.metrics))
    if trainer.evaluator:
        plot_per_class_accuracy(folder / "per_class_accuracy.png", trainer.evaluator.per_class("ensemble"), classes)
        if trainer.evaluator.has_confusion:
            plot_confusion(folder / "confusion.png", trainer.evaluator.confusion("ensemble"), classes)
    for name, draw in drawings.items():
        draw(folder / name)
    best = trainer.results.best
    if best:
        top1, rule = best["ensemble"].get("top1", 0.0), run.cfg.TEST.SELECT_BY
        by = "" if rule == "top1" else f" (best {rule})"
        logger.info(
            "best ensemble top-1 %.2f %% in epoch %d%s; %s", 100 * top1, best["epoch"], by, run.directory.results
        )
    outputs = output_records(run.directory)
    run.write_json(RESULTS, sealed({**trainer.outcome(), "outputs": outputs}))  # last: marks the run as finished
