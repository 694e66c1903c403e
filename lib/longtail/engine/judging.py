"""Judging a trained network and writing down what it does well and badly."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.config import precision
from longtail.data import Loader, Shard, Splits, build_normalize, build_splits, build_valid_loader
from longtail.engine.assembly import autocast, in_layout, judge_maker, read_trained
from longtail.engine.devices import own_device, parse_devices, usable_precision
from longtail.engine.distributed import connected, from_main, launched_world
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
from longtail.models import (
    Network,
    Reread,
    build_model,
    build_readout,
    load_released_weights,
    reads_anew,
)

logger = logging.getLogger(__name__)


class Subject(NamedTuple):
    """What is judged, on what, and by whom.

    Attributes:
        cfg: the tree.
        run: the folder that results go to.
        checkpoint: the file of the weights.
        splits: the images.
        network: in the device's memory, with these weights.
        loader: of this process's share of the validation images.
        device: of the network.
        context: gives the mixed-precision context.
    """

    cfg: CfgNode
    run: RunDirectory
    checkpoint: Path
    splits: Splits
    network: Network
    loader: Loader
    device: torch.device
    context: Callable[[], torch.autocast]

    def new_judge(self) -> Judge:
        """Return an empty judge."""
        return judge_maker(self.cfg, self.splits.train.class_counts(), len(self.network.experts), self.device)()


@contextmanager
def subject(cfg: CfgNode, folder: Path, gpus: str | None) -> Iterator[Subject]:
    """Load what is to be judged, see `validate`; within the block the processes are connected."""
    world = launched_world()
    device = own_device(parse_devices(gpus), world)
    check_names(cfg)
    run = RunDirectory(folder if (folder / "models").is_dir() else parent_of_runs(cfg))
    checkpoint = _checkpoint(cfg, run)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with connected(world, device):
        splits = build_splits(cfg, generated=False)
        network = in_layout(cfg, build_model(cfg, splits.train.num_classes)).to(device)
        report = load_released_weights(network, read_trained(cfg, checkpoint))
        missing = [name for name in report.missing if ".projection." not in name]  # judging does not use those
        if missing:
            raise UserError(f"{checkpoint} lacks {len(missing)} parameters of the network, as {missing[0]}")
        loader = build_valid_loader(cfg, splits.valid, shard=Shard(world.rank, world.size), device=device)
        context = autocast(usable_precision(precision(cfg), device), device)
        yield Subject(cfg, run, checkpoint, splits, network, loader, device, context)


def validate(cfg: CfgNode, folder: Path, gpus: str | None = None) -> Path:
    """Judge a checkpoint on the validation images of a tree.

    Args:
        cfg: the tree, usually the run's own.
        folder: the run directory, whose best_ensemble.pth is judged unless TEST.MODEL_FILE names another file. Where
            it is no run directory, results go to OUTPUT_DIR/NAME and TEST.MODEL_FILE must be a path.
        gpus: "cpu" or the number of a GPU; None: the first GPU, or the CPU where there is none. Several processes
            share the images, and the first writes.

    Returns:
        a new folder in the run directory with results.json and, per expert and for the ensemble, a table of the
        classes (CSV) and the confusion matrix (PNG, NPZ).

    Raises:
        UserError: the checkpoint or the data are missing or do not fit together.
    """
    with subject(cfg, folder, gpus) as it:
        class_counts = it.splits.train.class_counts()
        network: nn.Module = it.network
        if reads_anew(cfg):
            network = Reread(network, build_readout(cfg, it.network, class_counts))
        judge = evaluate(network, it.loader, build_normalize(cfg), it.new_judge(), it.device, it.context)
        return write_on_main(it.run, lambda output: _write(it, judge, output))


def _write(it: Subject, judge: Judge, output: Path) -> None:
    """Say and write down what came out."""
    results, norm = judge.results(), it.cfg.TEST.TAU_NORM
    logger.info("%s on %s (%d images)", it.checkpoint, it.splits.valid.name, len(it.splits.valid))
    for line in summary(results):
        logger.info("  %s", line)
    head = {"checkpoint": str(it.checkpoint)}
    if norm.USE_TAU_NORM:
        head["tau_norm"] = norm.TAU
    if it.cfg.TEST.LOGIT_ADJUSTMENT:
        head["logit_adjustment"] = it.cfg.TEST.LOGIT_ADJUSTMENT
    bad = it.splits.valid.bad_images.summary() if it.splits.valid.bad_images else {}
    RunDirectory(output).write_json("results.json", {**head, **results, **bad})
    _write_details(it.cfg, output, judge, it.splits.train.class_counts())
    logger.info("tables and pictures in %s", output)


def write_on_main(run: RunDirectory, write: Callable[[Path], None]) -> Path:
    """Let the first process write into a new folder of a run, and return the folder in all of them."""
    output = None
    if launched_world().main:
        output = _new_folder(run)
        write(output)
    return Path(from_main(output))


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
