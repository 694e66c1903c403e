"""The stage that evaluates a trained network and writes its results."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from yacs.config import CfgNode

from longtail.checkpoint_file import read_checkpoint
from longtail.config import changed
from longtail.data import (
    Loader,
    Normalize,
    Shard,
    Splits,
    build_normalize,
    build_splits,
    build_test_policy,
    build_valid_loader,
)
from longtail.data.sources import check_same_names
from longtail.distributed import Place, gather_to_all, main_only
from longtail.engine.bad_images import share_bad_images
from longtail.engine.inference import evaluate
from longtail.errors import UserError
from longtail.evaluation import (
    Classes,
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
from longtail.models import Views
from longtail.output_folders import RESULTS, SAMPLES
from longtail.runs.directory import RunDirectory, differing_values, parent_of_runs
from longtail.runs.folder import LockedFolder, read_json
from longtail.stages.build import evaluator_maker
from longtail.stages.calibration_spec import STRENGTHS
from longtail.stages.checks import check_network_and_data
from longtail.stages.corrections import applied_corrections, build_views, corrected, with_views
from longtail.stages.network import find_checkpoint, load_network
from longtail.user_files import is_file, is_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSetup:
    """The components of an evaluation.

    Attributes:
        run: Folder for the results.
        checkpoint: File of the weights.
        splits: Data; the evaluated images are the validation images.
        class_counts: Images per class that the network was trained on, (C,).
        network: Network with these weights, on the device.
        loader: Loader of this process's shard of the validation images, or of the test images if they are evaluated.
        normalize: uint8 images to the network's input.
        views: The network's input to the views of TEST.TTA.
        new_evaluator: Returns an empty evaluator.
        place: Processes, devices and precision.
        split: Evaluated images, "valid" or "test".
    """

    run: RunDirectory
    checkpoint: Path
    splits: Splits
    class_counts: list[int]
    network: Any
    loader: Loader
    normalize: Normalize
    views: Views
    new_evaluator: Callable[[], Evaluator]
    place: Place
    split: str = "valid"

    def loader_of(self, cfg: CfgNode, split: str) -> Loader:
        """Return a loader of this process's shard of a split, "valid" or "test"."""
        images = getattr(self.splits, split)
        shard = Shard(self.place.world.rank, self.place.world.size)
        return build_valid_loader(cfg, images, shard=shard, device=self.place.device, policy=build_test_policy(cfg))


@contextmanager
def evaluation_setup(cfg: CfgNode, folder: Path, *, place: Place, split: str = "valid") -> Iterator[EvaluationSetup]:
    """Load the components of an evaluation, see `validate`; within the block the processes are connected."""
    place = place.with_precision(cfg.TRAIN.AMP)
    check_network_and_data(cfg)
    run = RunDirectory(folder if is_folder(folder / "models") else parent_of_runs(cfg))
    checkpoint = find_checkpoint(cfg, run)
    with place.connected(60 * cfg.TRAIN.PEER_TIMEOUT):
        splits, normalize = _evaluating(build_splits(cfg, generated=False), split), build_normalize(cfg)
        content = read_checkpoint(checkpoint)
        check_same_names(content.get("class_names") or (), splits.class_names(), str(checkpoint), splits.valid.name)
        if not cfg.DATASET.USE_CAM_BASED_DATASET:  # generated images are not read here
            check_held_out(splits, content, checkpoint)
        network = load_network(cfg, splits.train.num_classes, checkpoint, content=content).to(place.device)
        counts = content.get("class_counts") or splits.train.class_counts()  # other keys may hold out other images
        shard = Shard(place.world.rank, place.world.size)
        policy = build_test_policy(cfg)
        loader = build_valid_loader(cfg, splits.valid, shard=shard, device=place.device, policy=policy)
        with contextlib.closing(loader):
            yield EvaluationSetup(
                run,
                checkpoint,
                splits,
                counts,
                network,
                loader,
                normalize,
                build_views(cfg, normalize),
                evaluator_maker(cfg, counts, experts=len(network.heads), device=place.device),
                place,
                split,
            )


def _evaluating(splits: Splits, split: str) -> Splits:
    """Return the splits with those of a name, "valid" or "test", as the validation images.

    Raises:
        UserError: There are no test images.
    """
    if split == "valid":
        return splits
    if splits.test is None:
        raise UserError(
            f"{splits.train.name} has no test images; DATASET.TEST_JSON names a list of them, and training with "
            "DATASET.HOLD_OUT.TEST holds out some of your own images"
        )
    return splits._replace(valid=splits.test)


def check_held_out(splits: Splits, content: dict[str, Any], checkpoint: Path) -> None:
    """Refuse images that were held out of other training images than those of a checkpoint: it may have seen them.

    Raises:
        UserError: The training images have changed.
    """
    trained = content.get("fingerprint")
    if splits.valid.held_out and trained not in (None, splits.train.fingerprint()):
        raise UserError(
            f"{checkpoint} was trained on other images than {splits.train.name} has now, so that others are held out, "
            "which it may have been trained on; DATASET.VALID_JSON names images to evaluate"
        )


def validate(cfg: CfgNode, folder: Path, *, place: Place, split: str = "valid") -> Path:
    """Evaluate a checkpoint on the validation or test images of a config.

    Args:
        cfg: Config, usually the run's own.
        folder: Run directory, whose best_ensemble.pth is evaluated unless TEST.MODEL_FILE names another file. If it is
            not a run directory, results go to OUTPUT_DIR/NAME and TEST.MODEL_FILE must be a path.
        place: Processes and devices. The images are divided between the processes, and process 0 writes.
        split: "valid" or "test".

    Returns:
        A new folder in the run directory with results.json, samples.npz (the prediction for every image) and, per
        expert and for the ensemble, a table of the classes (CSV) and the confusion matrix (PNG, NPZ).

    Raises:
        UserError: The checkpoint or the data are missing, or do not match.
    """
    with evaluation_setup(cfg, folder, place=place, split=split) as setup:
        network = with_views(corrected(cfg, setup.network, class_counts=setup.class_counts), setup.views)
        evaluator = setup.new_evaluator()
        recorder = SampleRecorder(evaluator.members)
        head = _head(cfg, setup, members=evaluator.members) | _chosen_here(cfg, setup, folder)
        evaluate(network, setup.loader, evaluator, normalize=setup.normalize, place=setup.place, recorder=recorder)
        samples = join_samples(gather_to_all(recorder.samples()))
        return write_on_main(setup, lambda output: _write(cfg, setup, evaluator, head, samples=samples, output=output))


def write_on_main(setup: EvaluationSetup, write: Callable[[Path], None]) -> Path:
    """Call `write` with a new folder of a run in process 0, and return the folder in all processes.

    Before that, the bad images of all processes are shared.

    Raises:
        UserError: There are more than DATASET.BAD_IMAGE_LIMIT allows.
    """
    if (bad := setup.splits.valid.bad_images) is not None:
        share_bad_images(bad)
        bad.check()

    def work() -> Path:
        output = _new_folder(setup.run)
        write(output)
        return output

    return main_only(work)


def _head(cfg: CfgNode, setup: EvaluationSetup, *, members: Sequence[int]) -> dict[str, Any]:
    """Return the entries of results.json that say what is evaluated, and how."""
    changes = {"changed": differing_values(cfg, setup.run)} if is_file(setup.run.config) else {}
    return {
        "checkpoint": str(setup.checkpoint),
        "split": setup.split,
        "ensemble_of": list(members),
        "class_names": setup.splits.class_names(),
        **applied_corrections(cfg),
        **changes,
    }


def _chosen_here(cfg: CfgNode, setup: EvaluationSetup, folder: Path) -> dict[str, Any]:
    """Return the entry "calibration" of results.json if the evaluated images chose a value of a calibrated config.

    Args:
        cfg: Config.
        setup: Components of the evaluation.
        folder: Folder of calibrated.yaml, whose results.json describes the calibration.
    """
    results = read_json(folder / RESULTS)
    choice = results.get("calibration") if isinstance(results, dict) else None
    if not choice or cfg != changed(cfg, *STRENGTHS.get(choice["key"], ()), choice["key"], choice["value"]):
        return {}
    same = choice["fit_on"] == setup.split  # of calibrations of older versions
    if "fit_images" in choice:
        same = choice["fit_images"] == setup.splits.valid.fingerprint()
    known = ("key", "fit_on", "hold_out")
    return {"calibration": {name: choice[name] for name in known} | {"same_split": True}} if same else {}


def _write(
    cfg: CfgNode, setup: EvaluationSetup, evaluator: Evaluator, head: dict[str, Any], *, samples: Samples, output: Path
) -> None:
    """Log and write the results."""
    results, valid = evaluator.results(), setup.splits.valid
    tta = f", TEST.TTA {cfg.TEST.TTA}" if cfg.TEST.TTA != "none" else ""
    logger.info("%s on %s (%d images%s)", setup.checkpoint, valid.name, len(valid), tta)
    for line in summary(results):
        logger.info("  %s", line)
    if choice := head.get("calibration"):
        part = f"{100 * choice['hold_out']:g} % of these images" if choice["hold_out"] else "these images"
        logger.warning("%s was chosen on %s, which overstates the result", choice["key"], part)
    names = setup.splits.class_names()
    bad = valid.bad_images.summary() if valid.bad_images else {}
    _write_details(cfg, output, evaluator, class_counts=setup.class_counts, names=names or None)
    write_samples(output / SAMPLES, samples)
    LockedFolder(output).write_json(RESULTS, {**head, **results, **bad})  # last: the folder is complete
    logger.info("tables and figures in %s", output)


def _write_details(
    cfg: CfgNode, folder: Path, evaluator: Evaluator, *, class_counts: list[int], names: list[str] | None
) -> None:
    """Write tables and figures of the ensemble and of every expert."""
    classes = Classes(class_counts, names or (), many=cfg.TEST.MANY_SHOT, few=cfg.TEST.FEW_SHOT)
    which: list[tuple[str, int | Literal["ensemble"]]] = [("ensemble", "ensemble")]
    if evaluator.experts > 1:  # a single one is the ensemble
        which += [(f"expert{number + 1}", number) for number in range(evaluator.experts)]
    for name, index in which:
        write_per_class(folder / f"per_class_{name}.csv", evaluator.per_class(index), classes)
        if not evaluator.has_confusion:
            continue
        cm = evaluator.confusion(index)
        write_confusion_npz(folder / f"confusion_{name}.npz", cm, class_counts=class_counts)
        plot_confusion(folder / f"confusion_{name}.png", cm, classes)
    plot_per_class_accuracy(folder / "per_class_accuracy.png", evaluator.per_class("ensemble"), classes)


def _new_folder(run: RunDirectory) -> Path:
    folder = run.path / "evaluation" / datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
    return folder
