"""Running a recipe: its stages one after the other, skipping what is finished and continuing what is not.

Nothing is remembered beside the run directories: a stage is finished when it has a finished run of the same tree that
began from the same files, byte for byte (inputs.json). Another checkpoint of an earlier stage thus makes a later stage
begin anew.
"""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.engine.cam_generation import generate
from longtail.engine.devices import own_device, parse_devices
from longtail.engine.distributed import World, connected, from_main, launched_world, lost_processes_told, main_alone
from longtail.engine.inputs import input_records, record
from longtail.engine.judging import validate
from longtail.engine.recipe_file import Recipe, Stage, Taken, generating_into, load_recipe
from longtail.engine.run_directory import RunDirectory, create_run, runs_of
from longtail.engine.training import train
from longtail.errors import UserError
from longtail.evaluation import GROUPS, results_table

logger = logging.getLogger(__name__)


def run_recipe(path: str, gpus: str | None = None, resume: str = "auto", overrides: Sequence[str] = ()) -> Path:
    """Run the stages of a recipe and sum them up.

    Args:
        path: the recipe file.
        gpus: as for `train`.
        resume: "auto": go on with what there is; "never": run every stage anew.
        overrides: KEY, VALUE, ... for all stages, or STAGE:KEY, VALUE, ... for one.

    Returns:
        the summary, OUTPUT_DIR/<recipe>/summary.json.

    Raises:
        UserError: the recipe or one of its stages is wrong, or another process runs it.
        Interrupted: a signal stopped a training; the same command goes on.
    """
    if resume not in ("auto", "never"):
        raise UserError(f"a recipe goes on by itself: --resume must be auto or never, not {resume}")
    world = launched_world()
    recipe = load_recipe(path, overrides)
    device = own_device(parse_devices(gpus), world)
    with lost_processes_told(world), connected(world, device), _locked(recipe, world):
        runs: dict[str, Path] = {}
        for number, stage in enumerate(recipe.stages, start=1):
            logger.info("stage %d of %d: %s", number, len(recipe.stages), stage.name)
            runs[stage.name] = _run(recipe, stage, runs, gpus, resume)
            if world.main:
                _sum_up(recipe, runs)
        if world.main:
            for line in results_table([_row(name, run) for name, run in runs.items()]).splitlines():
                logger.info("  %s", line)
            logger.info("accuracies of the last epochs; %s", recipe.folder / "summary.json")
    return recipe.folder / "summary.json"


@contextmanager
def _locked(recipe: Recipe, world: World) -> Iterator[None]:
    """Within the block, hold the lock of the recipe's folder."""
    folder = RunDirectory(recipe.folder)
    if world.main:
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


def _run(recipe: Recipe, stage: Stage, runs: dict[str, Path], gpus: str | None, resume: str) -> Path:
    """Run a stage, unless it is finished, and return its run directory; every process takes part."""
    if stage.judged:
        return _judge(recipe, stage, stage.judged, runs, gpus, resume)
    cfg = recipe.load(stage, _taken(stage, runs))
    if cfg.DATASET.GENERATE_CAM_BASED_DATASET:
        return Path(main_alone(lambda: _generate(cfg, stage, gpus, resume)))
    finished = from_main(_newest(cfg, resume))
    if finished:
        logger.info("finished in %s", finished)
        return Path(finished)
    run = train(cfg, str(stage.config), gpus, resume)
    return Path(from_main(str(run.path) if run else None))


def _newest(cfg: CfgNode, resume: str) -> str | None:
    """Return the newest run of a tree that has saved something, if it is finished."""
    if not launched_world().main or resume == "never":
        return None
    run = next((run for run in runs_of(cfg) if run.last.is_file()), None)
    return str(run.path) if run and run.finished() else None


def _taken(stage: Stage, runs: dict[str, Path]) -> dict[str, str]:
    """Return the files that stand for what a stage takes, by their keys."""
    return {key: str(_file(taken, runs)) for key, taken in stage.takes.items()}


def _file(taken: Taken, runs: dict[str, Path]) -> Path:
    """Return the file that stands for what is taken."""
    run = RunDirectory(runs[taken.stage])
    file = Path(_results(run)["data"]) if taken.what == "data" else run.models / taken.file
    if not file.is_file():
        raise UserError(f"{taken}: {file} does not exist")
    return file


def _judge(recipe: Recipe, stage: Stage, judged: Taken, runs: dict[str, Path], gpus: str | None, resume: str) -> Path:
    """Judge the checkpoint of an earlier stage, in a run directory of this one."""
    checkpoint = _file(judged, runs)
    cfg = recipe.load(stage, {**_taken(stage, runs), "TEST.MODEL_FILE": str(checkpoint.absolute())})
    claimed = None
    if launched_world().main:
        run = _claim(cfg, resume, {"TEST.MODEL_FILE": record(checkpoint)})
        claimed = str(run.path), run.results.is_file()
    path, finished = from_main(claimed)
    run = RunDirectory(Path(path))
    if finished:
        logger.info("finished in %s", run.path)
        return run.path
    began = time.monotonic()
    folder = validate(cfg, run.path, gpus)
    if launched_world().main:
        source = _results(RunDirectory(runs[judged.stage]))
        epoch = judged.epoch or source[judged.what]["epoch"]
        judgement = _results(RunDirectory(folder))
        outcome = {"epoch": epoch, "ensemble": judgement["ensemble"], "experts": judgement["experts"]}
        head = {"config": str(stage.config), "seed": cfg.RAND_SEED, "checkpoint": str(checkpoint), "epochs": 0}
        seconds = round(time.monotonic() - began, 1)
        run.write_json("results.json", {**head, "seconds": seconds, "best": outcome, "last": outcome})
    return run.path


def _generate(cfg: CfgNode, stage: Stage, gpus: str | None, resume: str) -> str:
    """Generate the images of a stage, in a run directory of its own; the same one until they are complete."""
    run = _claim(cfg, resume, {})
    if run.results.is_file():
        logger.info("finished in %s", run.path)
        return str(run.path)
    began = time.monotonic()
    data = generate(generating_into(run.path, cfg), gpus)
    head = {"config": str(stage.config), "seed": cfg.RAND_SEED, "data": str(data), "epochs": 0}
    run.write_json("results.json", {**head, "seconds": round(time.monotonic() - began, 1)})
    return str(run.path)


def _claim(cfg: CfgNode, resume: str, more: dict[str, dict[str, str]]) -> RunDirectory:
    """Return the newest run directory of a tree that began from the same files, or a new one.

    Args:
        cfg: the tree.
        resume: "never": a new one.
        more: files beside those that the tree makes use of, as `record` tells them.
    """
    for run in runs_of(cfg) if resume == "auto" else ():
        if all(run.input(key) == file["sha256"] for key, file in more.items()):
            return run
    run = create_run(cfg)
    run.write_json(run.inputs.name, {**input_records(cfg), **more})
    run.unlock()  # the lock of the recipe's folder is enough
    return run


def _sum_up(recipe: Recipe, runs: dict[str, Path]) -> None:
    """Write summary.json: the stages that are finished, what they began from and how they ended."""
    stages = []
    for name, path in runs.items():
        run = RunDirectory(path)
        results = {key: value for key, value in _results(run).items() if key != "config"}
        inputs = json.loads(run.inputs.read_text()) if run.inputs.is_file() else {}
        stages.append({"stage": name, "run": str(path), "inputs": inputs, **results})
    content = {"recipe": str(recipe.path), "name": recipe.name, "stages": stages}
    RunDirectory(recipe.folder).write_json("summary.json", content)


def _row(name: str, path: Path) -> dict[str, Any]:
    """Return the line of a stage in the table."""
    results = _results(RunDirectory(path))
    accuracies = (results.get("last") or {}).get("ensemble", {})
    shown = {key: accuracies.get(key) for key in ("top1", *GROUPS)}
    return {"stage": name, **shown, "epochs": results["epochs"], "seconds": round(results["seconds"]), "run": str(path)}


def _results(run: RunDirectory) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.results.read_text())
    return content
