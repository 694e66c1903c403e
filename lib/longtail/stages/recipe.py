"""Running a recipe: its stages one after the other; finished ones are skipped, stopped ones are resumed.

The only state is in the run directories: a stage is finished if there is a finished run of the same config, and of the
same calibration, that started from exactly the same files (inputs.json). So if a checkpoint of an earlier stage
changes, later stages that use it run again. Evaluations of images that have changed run again; trainings are refused.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.data import build_splits
from longtail.distributed import Place, from_main, main_only
from longtail.errors import UserError
from longtail.evaluation import GROUPS, results_table
from longtail.files import sha256
from longtail.output_folders import RESULTS
from longtail.runs.directory import RunDirectory, create_run, runs_of
from longtail.runs.folder import LockedFolder, read_json
from longtail.runs.inputs import differing_files, input_records, record
from longtail.runs.named import CALIBRATED
from longtail.runs.outputs import changed_outputs, damaged_outputs
from longtail.runs.results import digest_of, evaluation_outcome, last_accuracies, sealed
from longtail.stages.calibrate import calibrate
from longtail.stages.evaluate import validate
from longtail.stages.generate import generate
from longtail.stages.recipe_file import Recipe, load_recipe
from longtail.stages.recipe_stage import GENERATED, SUMMARY, Artifact, Stage, generating_into
from longtail.stages.train import check_same_images, train

logger = logging.getLogger(__name__)

LEFT_OUT = ("config", "class_counts", "class_names", "checksum")  # entries of results.json that the summary omits


@dataclass
class Execution:
    """A recipe that is being run.

    Attributes:
        recipe: The recipe.
        place: Processes and devices.
        resume: "auto": resume existing runs; "never": run every stage from scratch.
        runs: Run directories of the stages so far.
    """

    recipe: Recipe
    place: Place
    resume: str
    runs: dict[str, Path] = field(default_factory=dict)

    def file(self, artifact: Artifact) -> Path:
        """Return the file of an artifact of an earlier stage."""
        run = RunDirectory(self.runs[artifact.stage])
        file = run.path / GENERATED if artifact.what == "data" else run.models / artifact.file
        if not file.is_file():
            raise UserError(f"{artifact}: {file} does not exist; --resume never runs all stages again")
        return file

    def load(self, stage: Stage, *extra: str) -> CfgNode:
        """Return the config of a stage, with the files that it takes; `extra` holds KEY, VALUE, ..."""
        taken = {key: str(self.file(artifact)) for key, artifact in stage.takes.items()}
        return self.recipe.load(stage, {**taken, **dict(zip(extra[::2], extra[1::2], strict=True))})


def run_recipe(source: str, *, place: Place, resume: str = "auto", overrides: Sequence[str] = ()) -> Path:
    """Run the stages of a recipe and summarize them.

    Args:
        source: Recipe, see `load_recipe`.
        place: Processes and devices.
        resume: "auto": resume existing runs; "never": run every stage from scratch.
        overrides: KEY, VALUE, ... for all stages, or STAGE:KEY, VALUE, ... for one.

    Returns:
        The summary, OUTPUT_DIR/<recipe>/summary.json.

    Raises:
        UserError: The recipe or one of its stages is invalid, or another process runs it.
        Interrupted: A signal stopped a training; the same command resumes.
    """
    if resume not in ("auto", "never"):
        raise UserError(f"recipes resume automatically: --resume must be auto or never, not {resume}")
    recipe = load_recipe(source, overrides, place=place)
    execution = Execution(recipe, place, resume)
    minutes = max(recipe.placeholder(stage).TRAIN.PEER_TIMEOUT for stage in recipe.stages)
    with place.connected(60 * minutes), _locked(recipe, place):
        for number, stage in enumerate(recipe.stages, start=1):
            logger.info("stage %d of %d: %s", number, len(recipe.stages), stage.name)
            execution.runs[stage.name] = _action(execution, stage)(execution, stage)
            if place.main:
                _summarize(execution)
        if place.main:
            rows = [_row(name, run) for name, run in execution.runs.items()]
            for line in results_table(rows).splitlines():
                logger.info("  %s", line)
            logger.info("accuracies of the last epochs; %s", recipe.folder / SUMMARY)
    return recipe.folder / SUMMARY


@contextlib.contextmanager
def _locked(recipe: Recipe, place: Place) -> Iterator[None]:
    """Within the block, hold the lock of the recipe's folder."""
    folder = LockedFolder(recipe.folder)
    if place.main:
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder.path} cannot be written: {error.strerror}") from None
        if not folder.lock():
            raise UserError(f"another process is running the recipe in {folder.path}")
    try:
        yield
    finally:
        folder.unlock()


def _action(execution: Execution, stage: Stage) -> Callable[[Execution, Stage], Path]:
    """Return the function that runs a stage: evaluate or calibrate a checkpoint, generate images, or train."""
    if stage.evaluates:
        return _evaluate
    generates = execution.load(stage).DATASET.GENERATE_CAM_BASED_DATASET
    return _generate if generates else _train


def _train(execution: Execution, stage: Stage) -> Path:
    """Train, unless a finished run exists; return the run directory in every process."""
    cfg = execution.load(stage)
    finished = main_only(lambda: _finished(execution, cfg))  # hashes files
    if finished:
        logger.info("finished in %s", finished)
        return Path(finished)
    resume = "never" if finished is not None else execution.resume
    return train(cfg, stage.source, place=execution.place, resume=resume).path


def _finished(execution: Execution, cfg: CfgNode) -> str | None:
    """Return the newest run of a config, if it is finished; "" if it must be trained again from scratch.

    That is the case if files of a finished run are lost or have changed, or files that an unfinished one needs.
    """
    if execution.resume == "never":
        return None
    run = next((run for run in runs_of(cfg) if run.checkpoints() or run.finished()), None)
    if run is None:
        return None
    changed = changed_outputs(run) if run.finished() else damaged_outputs(run)
    if changed:
        names = ", ".join(changed)
        logger.warning("%s has changed since it was written: %s; the stage is trained again", run.path, names)
        return ""
    if not run.finished():
        return None
    check_same_images(cfg, run)
    return str(run.path)


def _evaluate(execution: Execution, stage: Stage) -> Path:
    """Evaluate or calibrate the checkpoint of an earlier stage, in the run directory of this stage."""
    assert stage.evaluates
    checkpoint = execution.file(stage.evaluates)
    cfg = execution.load(stage, "TEST.MODEL_FILE", str(checkpoint.absolute()))
    path = main_only(lambda: str(_claim(cfg, execution.resume, _evaluation_records(cfg, stage, checkpoint)).path))
    run = RunDirectory(Path(path))
    if from_main(run.finished()):
        logger.info("finished in %s", run.path)
        return run.path
    started = time.monotonic()
    if stage.calibration:
        folder = calibrate(cfg, run.path, stage.calibration, place=execution.place)
    else:
        folder = validate(cfg, run.path, place=execution.place)
    if execution.place.main:
        evaluation = read_json(folder / RESULTS)
        head = {"config": stage.source, "seed": cfg.RAND_SEED, "checkpoint": str(checkpoint)}
        if stage.calibration:
            run.write_text(CALIBRATED, (folder / CALIBRATED).read_text(encoding="utf-8"))
            head["calibration"] = evaluation["calibration"]
        epoch = stage.evaluates.epoch_in(read_json(RunDirectory(execution.runs[stage.evaluates.stage]).results))
        outcome = evaluation_outcome(head, epoch=epoch, evaluation=evaluation, seconds=time.monotonic() - started)
        run.write_json(RESULTS, outcome)
    return run.path


def _evaluation_records(cfg: CfgNode, stage: Stage, checkpoint: Path) -> dict[str, Any]:
    """Return records of everything besides the config on which the results of `_evaluate` depend."""
    records: dict[str, Any] = {"TEST.MODEL_FILE": record(checkpoint), "calibration": None}
    if stage.calibration:
        records["calibration"] = {"sha256": digest_of(asdict(stage.calibration))}
    with contextlib.suppress(UserError):  # the images are no longer there
        splits = build_splits(cfg, generated=False)
        images = [split.fingerprint() for split in (splits.valid, splits.test) if split]
        records["images"] = {"sha256": digest_of(images)}
    return records


def _generate(execution: Execution, stage: Stage) -> Path:
    """Generate the images of a stage in its run directory, which is reused until they are complete."""
    cfg = execution.load(stage)

    def work() -> str:
        run = _claim(cfg, execution.resume, {})
        started = time.monotonic()
        if not run.finished() or changed_outputs(run):  # only the list: images have their own digests
            (run.path / GENERATED).unlink(missing_ok=True)
        data = generate(generating_into(run.path, cfg), place=execution.place)  # only what is missing or changed
        if not run.finished():
            head = {"config": stage.source, "seed": cfg.RAND_SEED, "data": str(data), "epochs": 0}
            outputs = {GENERATED: sha256(data)}
            seconds = round(time.monotonic() - started, 1)
            run.write_json(RESULTS, sealed({**head, "seconds": seconds, "outputs": outputs}))
        return str(run.path)

    return Path(main_only(work))


def _claim(cfg: CfgNode, resume: str, extra: Mapping[str, Any]) -> RunDirectory:
    """Return the newest run directory of a config that started from the same files, or a new one.

    Args:
        cfg: Config.
        resume: "never": a new one.
        extra: Records in addition to those of the files that the config uses, see `record`; None: there must be none.
    """
    for run in runs_of(cfg) if resume == "auto" else ():
        if not differing_files(read_json(run.inputs), extra):
            return run
    run = create_run(cfg)
    known = {name: entry for name, entry in extra.items() if entry}
    run.write_json(run.inputs.name, {**input_records(cfg), **known})
    run.unlock()  # the lock of the recipe's folder is enough
    return run


def _summarize(execution: Execution) -> None:
    """Write summary.json: the finished stages, their inputs and their results."""
    recipe, stages = execution.recipe, []
    for name, path in execution.runs.items():
        run = RunDirectory(path)
        results = {key: value for key, value in read_json(run.results).items() if key not in LEFT_OUT}
        stages.append({"stage": name, "run": str(path), "inputs": read_json(run.inputs) or {}, **results})
    content = {"recipe": str(recipe.path), "name": recipe.name, "stages": stages}
    LockedFolder(recipe.folder).write_json(SUMMARY, content)


def _row(name: str, path: Path) -> dict[str, Any]:
    """Return the row of a stage in the table."""
    results = read_json(RunDirectory(path).results)
    accuracies = last_accuracies(results)
    shown = {key: accuracies.get(key) for key in ("top1", *GROUPS)}
    durations = {"epochs": results.get("epochs", 0), "seconds": round(results.get("seconds", 0))}
    return {"stage": name, **shown, **durations, "run": str(path)}
