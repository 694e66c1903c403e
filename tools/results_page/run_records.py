"""Records of a run, or of the stages of a recipe, from the folder on disk."""

from dataclasses import replace
from pathlib import Path

from longtail.config import load_config
from longtail.errors import UserError
from longtail.output_folders import CONFIG
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json
from longtail.runs.results import is_finished, last_accuracies
from longtail.user_files import is_file
from tools.results_page.records import Record, make_record, rounded
from tools.run_settings import settings_of


def records_of(path: Path, config: str, *, images: str = "") -> list[Record]:
    """Return the record of a run directory, or those of the newest run of each stage in the folder of a recipe.

    Args:
        path: Run directory, or folder of a recipe.
        config: Composition of data and method, or of data and recipe.
        images: See `Record`.

    Raises:
        UserError: There is nothing to record, or a run cannot be recorded.
    """
    if is_file(path / CONFIG):
        return [make_record(RunDirectory(path), config, images=images)]
    newest = {file.parent.parent.name: RunDirectory(file.parent) for file in sorted(path.glob(f"*/*/{CONFIG}"))}
    records = []
    for stage, run in newest.items():
        if is_file(run.metrics):
            records.append(make_record(run, config, stage=stage, images=images))
        elif is_finished(results := read_json(run.results)) and "checkpoint" in results:
            trained = _trained_run(path, Path(results["checkpoint"]))
            source = make_record(trained, config, stage=trained.path.parent.name, images=images)
            records.append(_evaluation_record(run, source, stage=stage))
    if not records:
        inside = max(path.glob(f"*/{CONFIG}"), default=None)
        hint = f"; did you mean {inside.parent}?" if inside else ""
        raise UserError(f"{path} has nothing to record: it must be a run directory or the folder of a recipe{hint}")
    return records


def _evaluation_record(run: RunDirectory, trained: Record, *, stage: str) -> Record:
    """Return the record of a stage that evaluates a checkpoint of an earlier one, as tau-normalization does.

    Args:
        run: Run directory of the stage, finished.
        trained: Record of the training; its images, precision and environment count for the stage, too.
        stage: Name of the stage.
    """
    results = read_json(run.results)
    return replace(
        trained,
        stage=stage,
        epochs=0,
        reached=0,
        last=rounded(last_accuracies(results)),
        best={},
        hours=round(results["seconds"] / 3600, 3),
        settings={**settings_of(load_config(run.config)), **trained.differs},
        began=run.path.name,
    )


def _trained_run(folder: Path, checkpoint: Path) -> RunDirectory:
    """Return the run of a checkpoint STAGE/RUN/models/FILE in the folder of a recipe, which may have been moved."""
    run = folder.joinpath(*checkpoint.parts[-4:-2])
    if not is_file(run / CONFIG):
        raise UserError(f"{folder}: {run} is missing, the training that a stage evaluates")
    return RunDirectory(run)
