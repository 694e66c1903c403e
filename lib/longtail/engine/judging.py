"""Judging a trained network and writing down what it does well and badly."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Literal

from yacs.config import CfgNode

from longtail.config import precision
from longtail.data import build_normalize, build_splits, build_valid_loader
from longtail.engine.assembly import autocast, build_network, judge_maker
from longtail.engine.devices import parse_devices, usable_precision
from longtail.engine.evaluator import evaluate
from longtail.engine.preflight import check_names
from longtail.engine.run_directory import RunDirectory, parent_of_runs
from longtail.errors import UserError
from longtail.evaluation import (
    Judge,
    plot_confusion,
    plot_per_class_accuracy,
    summary,
    write_confusion_npz,
    write_per_class,
)
from longtail.models import load_released_weights, read_weights

logger = logging.getLogger(__name__)


def validate(cfg: CfgNode, folder: Path, gpus: str | None = None) -> Path:
    """Judge a checkpoint on the validation images of a tree.

    Args:
        cfg: the tree, usually the run's own.
        folder: the run directory, whose best_ensemble.pth is judged unless TEST.MODEL_FILE names another file. Where
            it is no run directory, results go to OUTPUT_DIR/NAME and TEST.MODEL_FILE must be a path.
        gpus: "cpu" or the number of a GPU; None: the first GPU, or the CPU where there is none.

    Returns:
        a new folder in the run directory with results.json and, per expert and for the ensemble, a table of the
        classes (CSV) and the confusion matrix (PNG, NPZ).

    Raises:
        UserError: the checkpoint or the data are missing or do not fit together.
    """
    device = parse_devices(gpus)[0]
    check_names(cfg)
    run = RunDirectory(folder if (folder / "models").is_dir() else parent_of_runs(cfg))
    checkpoint = _checkpoint(cfg, run)
    splits = build_splits(cfg)
    class_counts = splits.train.class_counts()
    network = build_network(cfg, len(class_counts)).to(device)
    report = load_released_weights(network, read_weights(checkpoint))
    missing = [name for name in report.missing if ".projection." not in name]  # judging does not use those
    if missing:
        raise UserError(f"{checkpoint} lacks {len(missing)} parameters of the network, as {missing[0]}")
    loader = build_valid_loader(cfg, splits.valid)
    context = autocast(usable_precision(precision(cfg), device), device)
    judge = judge_maker(cfg, class_counts, len(network.experts), device)()
    evaluate(network, loader, build_normalize(cfg), judge, device, context)

    results = judge.results()
    logger.info("%s on %s (%d images)", checkpoint, splits.valid.name, len(splits.valid))
    for line in summary(results):
        logger.info("  %s", line)
    output = _new_folder(run)
    bad = splits.valid.bad_images.summary() if splits.valid.bad_images else {}
    RunDirectory(output).write_json("results.json", {"checkpoint": str(checkpoint), **results, **bad})
    _write_details(cfg, output, judge, class_counts)
    logger.info("tables and pictures in %s", output)
    return output


def _checkpoint(cfg: CfgNode, run: RunDirectory) -> Path:
    """Return the file to judge."""
    name = cfg.TEST.MODEL_FILE or "best_ensemble.pth"
    for path in (run.models / name, Path(name)):
        if path.is_file():
            return path
    raise UserError(f"checkpoint {name} is neither in {run.models} nor a file; TEST.MODEL_FILE says which to judge")


def _new_folder(run: RunDirectory) -> Path:
    folder = run.path / "evaluation" / datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
    return folder


def _write_details(cfg: CfgNode, folder: Path, judge: Judge, class_counts: list[int]) -> None:
    many, few = cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT
    which: list[tuple[str, int | Literal["ensemble"]]] = [("ensemble", "ensemble")]
    which += [(f"expert{number + 1}", number) for number in range(judge.experts)]
    for name, index in which:
        cm = judge.confusion(index)
        write_per_class(folder / f"per_class_{name}.csv", cm, class_counts, many=many, few=few)
        write_confusion_npz(folder / f"confusion_{name}.npz", cm, class_counts)
        plot_confusion(folder / f"confusion_{name}.png", cm, class_counts, many=many, few=few)
    ensemble = judge.confusion("ensemble")
    plot_per_class_accuracy(folder / "per_class_accuracy.png", ensemble, class_counts, many, few)
