"""The stage that evaluates a trained network and writes down its results."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from torch import nn
from yacs.config import CfgNode

from longtail.data import Loader, Normalize, Shard, Splits, build_normalize, build_splits, build_valid_loader
from longtail.distributed import Place, from_main, gather_to_all
from longtail.engine.inference import evaluate
from longtail.errors import UserError
from longtail.evaluation import (
    Evaluator,
    SampleRecorder,
    Samples,
    join_samples,
    plot_confusion,
    plot_per_class_accuracy,
    summary,
    write_confusion_npz,
    write_per_class,
    write_samples,
)
from longtail.models import PostHocClassifier, build_adjusted_heads, build_model, load_released_weights, uses_post_hoc
from longtail.runs.directory import RunDirectory, parent_of_runs
from longtail.runs.folder import LockedFolder
from longtail.stages.build import evaluator_maker, in_layout, read_trained
from longtail.stages.checks import check_network_and_data

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSetup:
    """Everything needed for an evaluation.

    Attributes:
        run: Folder for the results.
        checkpoint: File of the weights.
        splits: Data.
        network: Network with these weights, on the device.
        loader: Loader of this process's shard of the validation images.
        normalize: uint8 images to the network's input.
        new_evaluator: Returns an empty evaluator.
        place: Processes, devices and precision.
    """

    run: RunDirectory
    checkpoint: Path
    splits: Splits
    network: Any
    loader: Loader
    normalize: Normalize
    new_evaluator: Callable[[], Evaluator]
    place: Place

    def class_counts(self) -> list[int]:
        """Return the training images per class, (C,)."""
        return self.splits.train.class_counts()

    def loader_of(self, cfg: CfgNode, split: str) -> Loader:
        """Return a loader of this process's shard of a split, "valid" or "test"."""
        images = getattr(self.splits, split)
        shard = Shard(self.place.world.rank, self.place.world.size)
        return build_valid_loader(cfg, images, shard=shard, device=self.place.device)


@contextmanager
def evaluation_setup(cfg: CfgNode, folder: Path, *, place: Place) -> Iterator[EvaluationSetup]:
    """Load what is needed for an evaluation, see `validate`; within the block the processes are connected."""
    place = place.with_precision(cfg.TRAIN.AMP)
    check_network_and_data(cfg)
    run = RunDirectory(folder if (folder / "models").is_dir() else parent_of_runs(cfg))
    checkpoint = _checkpoint(cfg, run)
    with place.connected():
        splits = build_splits(cfg, generated=False)
        network = load_network(cfg, splits.train.num_classes, checkpoint).to(place.device)
        counts = splits.train.class_counts()
        yield EvaluationSetup(
            run,
            checkpoint,
            splits,
            network,
            build_valid_loader(cfg, splits.valid, shard=Shard(place.world.rank, place.world.size), device=place.device),
            build_normalize(cfg),
            evaluator_maker(cfg, counts, experts=len(network.heads), device=place.device),
            place,
        )


def load_network(cfg: CfgNode, num_classes: int, checkpoint: Path) -> Any:
    """Build the network of a config and load all of its weights.

    Raises:
        UserError: The checkpoint lacks parameters, or does not fit.
    """
    network = in_layout(cfg, build_model(cfg, num_classes))
    report = load_released_weights(network, read_trained(cfg, network, checkpoint))
    missing = [name for name in report.missing if ".projection." not in name]  # evaluation does not use those
    if missing:
        raise UserError(f"{checkpoint} lacks {len(missing)} parameters of the network, as {missing[0]}")
    return network


def validate(cfg: CfgNode, folder: Path, *, place: Place) -> Path:
    """Evaluate a checkpoint on the validation images of a config.

    Args:
        cfg: Config, usually the run's own.
        folder: Run directory, whose best_ensemble.pth is evaluated unless TEST.MODEL_FILE names another file. If it is
            not a run directory, results go to OUTPUT_DIR/NAME and TEST.MODEL_FILE must be a path.
        place: Processes and devices. Several processes share the images, and the first one writes.

    Returns:
        A new folder in the run directory with results.json, samples.npz (the prediction for every image) and, per
        expert and for the ensemble, a table of the classes (CSV) and the confusion matrix (PNG, NPZ).

    Raises:
        UserError: The checkpoint or the data are missing or do not fit together.
    """
    with evaluation_setup(cfg, folder, place=place) as setup:
        network: nn.Module = setup.network
        if uses_post_hoc(cfg):
            heads = build_adjusted_heads(cfg, setup.network.heads, class_counts=setup.class_counts())
            network = PostHocClassifier(setup.network, heads)
        evaluator = setup.new_evaluator()
        recorder = SampleRecorder(evaluator.members)
        evaluate(network, setup.loader, evaluator, normalize=setup.normalize, place=setup.place, recorder=recorder)
        samples = join_samples(gather_to_all(recorder.samples()))
        return write_on_main(setup, lambda output: _write(cfg, setup, evaluator, samples=samples, output=output))


def write_on_main(setup: EvaluationSetup, write: Callable[[Path], None]) -> Path:
    """Let the first process write into a new folder of a run, and return the folder in all of them."""
    output = None
    if setup.place.main:
        output = _new_folder(setup.run)
        write(output)
    return Path(str(from_main(output)))


def _write(cfg: CfgNode, setup: EvaluationSetup, evaluator: Evaluator, *, samples: Samples, output: Path) -> None:
    """Log and write the results."""
    results, norm, valid = evaluator.results(), cfg.TEST.TAU_NORM, setup.splits.valid
    logger.info("%s on %s (%d images)", setup.checkpoint, valid.name, len(valid))
    for line in summary(results):
        logger.info("  %s", line)
    head: dict[str, Any] = {"checkpoint": str(setup.checkpoint), "ensemble_of": list(evaluator.members)}
    if norm.USE_TAU_NORM:
        head["tau_norm"] = norm.TAU
    if cfg.TEST.LOGIT_ADJUSTMENT:
        head["logit_adjustment"] = cfg.TEST.LOGIT_ADJUSTMENT
    bad = valid.bad_images.summary() if valid.bad_images else {}
    _write_details(cfg, output, evaluator, class_counts=setup.class_counts())
    write_samples(output / "samples.npz", samples)
    LockedFolder(output).write_json("results.json", {**head, **results, **bad})  # last: the folder is complete
    logger.info("tables and figures in %s", output)


def _write_details(cfg: CfgNode, folder: Path, evaluator: Evaluator, *, class_counts: list[int]) -> None:
    """Write tables and figures of the ensemble and of every expert."""
    many, few = cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT
    which: list[tuple[str, int | Literal["ensemble"]]] = [("ensemble", "ensemble")]
    which += [(f"expert{number + 1}", number) for number in range(evaluator.experts)]
    for name, index in which:
        cm = evaluator.confusion(index)
        write_per_class(folder / f"per_class_{name}.csv", cm, class_counts=class_counts, many=many, few=few)
        write_confusion_npz(folder / f"confusion_{name}.npz", cm, class_counts=class_counts)
        plot_confusion(folder / f"confusion_{name}.png", cm, class_counts=class_counts, many=many, few=few)
    ensemble = evaluator.confusion("ensemble")
    plot_per_class_accuracy(folder / "per_class_accuracy.png", ensemble, class_counts=class_counts, many=many, few=few)


def _checkpoint(cfg: CfgNode, run: RunDirectory) -> Path:
    """Return the file to evaluate."""
    name = cfg.TEST.MODEL_FILE or "best_ensemble.pth"
    for path in (run.models / name, Path(name)):
        if path.is_file():
            return path
    raise UserError(
        f"checkpoint {name} is neither in {run.models} nor a file; TEST.MODEL_FILE names the one to evaluate"
    )


def _new_folder(run: RunDirectory) -> Path:
    folder = run.path / "evaluation" / datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
    return folder
