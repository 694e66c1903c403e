"""Finding the checkpoint to resume from, and checking that it fits."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

from yacs.config import CfgNode

from longtail.checkpoint_file import is_intact, read_checkpoint
from longtail.errors import UserError
from longtail.runs.directory import RunDirectory, differing_keys, run_to_resume
from longtail.runs.results import RunFacts
from longtail.user_files import check_path

logger = logging.getLogger(__name__)

STATE = {  # entries of a checkpoint that resuming needs
    *("architecture", "epoch", "batch", "model", "method", "optimizer", "scaler"),
    *("meter", "results", "random", "seconds"),
}


class ResumePoint(NamedTuple):
    """The state and directory from which a run starts.

    Attributes:
        checkpoint: Checkpoint to resume from; None: start from scratch.
        run: Directory in which the run resumes, locked; None: create a new one.
        reason: Why a new directory is created although there is a checkpoint, for the log.
        damaged: Newer checkpoints of the run that are damaged or lost.
    """

    checkpoint: Path | None = None
    run: RunDirectory | None = None
    reason: str = ""
    damaged: tuple[Path, ...] = ()


def find_resume_point(cfg: CfgNode, resume: str, *, launch: str = "") -> ResumePoint:
    """Find the state from which a run resumes.

    Args:
        cfg: Config.
        resume: "auto": the newest run of the same config (if it is finished, nothing is trained), else RESUME_MODEL;
            "never"; or the path of a run directory or checkpoint. A run resumes in its own directory if its newest
            checkpoint is used with the same config; otherwise it continues in a new directory, and no file is
            overwritten. With "auto", damaged checkpoints are skipped.
        launch: This launch, if torchrun has restarted it after losing a process: the run that it had started is
            resumed, regardless of `resume`. Empty: it was not restarted.

    Raises:
        UserError: There is nothing at that path, or the run is being trained by another process.
    """
    if resume == "auto" or launch:
        run = run_to_resume(cfg, "" if resume == "auto" else launch)
        if run:
            return ResumePoint(run.last, run) if run.finished() else _newest_intact(run)
    if resume == "never":
        return ResumePoint()
    if resume == "auto":
        if not cfg.RESUME_MODEL or cfg.RESUME_MODE == "state_dict":
            return ResumePoint()
        resume = cfg.RESUME_MODEL
    return _point_at(cfg, resume)


def _newest_intact(run: RunDirectory) -> ResumePoint:
    """Return the newest intact checkpoint of a run; if there is none, the newest one, which is refused when read."""
    checkpoints = run.checkpoints()
    intact = next((file for file in checkpoints if is_intact(file)), None)
    if intact is None:
        return ResumePoint(checkpoints[0], run)
    newer = checkpoints[: checkpoints.index(intact)]
    lost = [] if run.last in checkpoints else [run.last]
    return ResumePoint(intact, run, damaged=(*lost, *newer))


def _point_at(cfg: CfgNode, resume: str) -> ResumePoint:
    """Return the resume point of a path."""
    check_path(resume, "--resume")
    path = Path(resume)
    checkpoint = RunDirectory(path).last if path.is_dir() else path
    if not checkpoint.is_file():
        what = "a run directory with models/last.pth, or a checkpoint file"
        raise UserError(f"cannot resume from {resume}: expected auto, never, {what}")
    run = RunDirectory(checkpoint.resolve().parent.parent)
    if not run.config.is_file():
        return ResumePoint(checkpoint, None, "it is not in a run directory")
    if checkpoint.name != run.last.name:
        return ResumePoint(checkpoint, None, f"{checkpoint.name} is not the run's newest state")
    keys = differing_keys(cfg, run)
    if keys:
        shown = ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
        return ResumePoint(checkpoint, None, f"the run had other values of {shown}")
    if not run.lock():
        raise UserError(f"cannot resume from {resume}: another process is training this run")
    return ResumePoint(checkpoint, run)


def load_compatible(path: Path, facts: RunFacts) -> dict[str, Any]:
    """Read a checkpoint and check that it fits this network and these data.

    Args:
        path: Checkpoint.
        facts: Facts of the run to resume.

    Raises:
        UserError: It is not the checkpoint of a run, or has other classes, another architecture or other training
            or validation images: the best epoch would be chosen among results on both.
    """
    content = read_checkpoint(path)
    if not content.keys() >= STATE:
        raise UserError(
            f"{path} does not hold the complete state of a run; to start from its weights set NETWORK.PRETRAINED True "
            "and NETWORK.PRETRAINED_MODEL"
        )
    wanted = facts.to_json()
    known = {"valid_fingerprint": wanted["valid_fingerprint"], **content}  # older versions did not write it
    if content["epoch"] > facts.epochs + 1:
        done = content["epoch"] - 1
        raise UserError(f"{path} was trained for {done} epochs, more than TRAIN.MAX_EPOCH, {facts.epochs}")
    for key, words in (
        ("optimizer_type", "an optimizer {}"),
        ("classes", "{} classes"),
        ("architecture", "the architecture {}"),
        ("fingerprint", "training images with the fingerprint {}"),
        ("valid_fingerprint", "validation images with the fingerprint {}"),
    ):
        if known.get(key) != wanted[key]:
            has, needs = words.format(known.get(key)), words.format(wanted[key])
            raise UserError(
                f"cannot resume from {path}: it has {has}, this run has {needs}; --resume never starts a new run"
            )
    return content


def resumed_batch(content: dict[str, Any], per_step: int) -> int:
    """Return the number of finished batches of the epoch; batch size and number of processes may have changed.

    Args:
        content: Content of the checkpoint.
        per_step: Samples per step now, over all processes.
    """
    samples = content.get("samples", content["batch"] * per_step)
    batch, again = divmod(samples, per_step)
    if batch != content["batch"]:
        logger.warning(
            "the checkpoint was written after %d samples of the epoch in %d steps; with %d samples per step the run "
            "resumes after step %d%s",
            samples,
            content["batch"],
            per_step,
            batch,
            f", {again} samples are trained again" if again else "",
        )
    return int(batch)
