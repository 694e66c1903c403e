"""Finding the checkpoint to resume from, and checking that it fits."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

from yacs.config import CfgNode

from longtail.checkpoint_file import is_whole, read_checkpoint
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
    """Where a run starts from.

    Attributes:
        checkpoint: File to resume from; None: start from scratch.
        run: Directory to resume in, locked; None: create a new one.
        reason: Why a new directory is created although there is a checkpoint, for the log.
        damaged: Newer checkpoints of the run that are damaged or lost.
    """

    checkpoint: Path | None = None
    run: RunDirectory | None = None
    reason: str = ""
    damaged: tuple[Path, ...] = ()


def find_resume_point(cfg: CfgNode, resume: str, *, restarted: bool = False) -> ResumePoint:
    """Decide what a run resumes from.

    Args:
        cfg: Config.
        resume: "auto": the newest unfinished run of the same config, else the newest finished one (of which nothing is
            left to do), else RESUME_MODEL; "never"; or the path of a run directory or checkpoint. A run resumes in its
            own directory if its newest checkpoint is continued under the same config; otherwise its state continues in
            a new directory, and nothing of it is overwritten. With "auto", a damaged checkpoint is passed over for the
            newest one that is whole.
        restarted: This launch has already started a run and then lost a process: that run is resumed whatever `resume`
            says.

    Raises:
        UserError: There is nothing at that path, or the run is being trained by another process.
    """
    if resume == "auto" or restarted:
        run = run_to_resume(cfg)
        if run:
            return ResumePoint(run.last, run) if run.finished() else _newest_whole(run)
    if resume == "never":
        return ResumePoint()
    if resume == "auto":
        if not cfg.RESUME_MODEL or cfg.RESUME_MODE == "state_dict":
            return ResumePoint()
        resume = cfg.RESUME_MODEL
    return _point_at(cfg, resume)


def _newest_whole(run: RunDirectory) -> ResumePoint:
    """Return the newest checkpoint of a run that is whole; if there is none, last.pth, which is refused when read."""
    checkpoints = run.checkpoints()
    whole = next((file for file in checkpoints if is_whole(file)), None)
    if whole is None:
        return ResumePoint(checkpoints[0], run)
    newer = checkpoints[: checkpoints.index(whole)]
    lost = [] if run.last in checkpoints else [run.last]
    return ResumePoint(whole, run, damaged=(*lost, *newer))


def _point_at(cfg: CfgNode, resume: str) -> ResumePoint:
    """Return the resume point of a path."""
    check_path(resume, "--resume")
    path = Path(resume)
    checkpoint = path / "models" / "last.pth" if path.is_dir() else path
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
    """Read a checkpoint and check that it belongs to this network and these data.

    Args:
        path: Checkpoint.
        facts: Of the run that is to be resumed.

    Raises:
        UserError: It is not the checkpoint of a run, or has other classes, another architecture or other training
            images.
    """
    content = read_checkpoint(path)
    if not content.keys() >= STATE:
        raise UserError(
            f"{path} does not hold the whole state of a run; to start from its weights set NETWORK.PRETRAINED True and "
            "NETWORK.PRETRAINED_MODEL"
        )
    wanted = facts.to_json()
    if content["epoch"] > facts.epochs + 1:
        done = content["epoch"] - 1
        raise UserError(f"{path} has trained {done} epochs; TRAIN.MAX_EPOCH is {facts.epochs}, fewer than that")
    for key, words in (
        ("optimizer_type", "an optimizer {}"),
        ("classes", "{} classes"),
        ("architecture", "the architecture {}"),
        ("fingerprint", "training images with the fingerprint {}"),
    ):
        if content.get(key) != wanted[key]:
            has, needs = words.format(content.get(key)), words.format(wanted[key])
            raise UserError(
                f"cannot resume from {path}: it has {has}, this run has {needs}; --resume never starts a new run"
            )
    return content


def resumed_batch(content: dict[str, Any], per_step: int) -> int:
    """Return the batches of the epoch that are done, where the checkpoint may be of another batch size or world.

    Args:
        content: Of the checkpoint.
        per_step: Samples that one step takes now, over all processes.
    """
    samples = content.get("samples", content["batch"] * per_step)
    batch, again = divmod(samples, per_step)
    if batch != content["batch"]:
        logger.warning(
            "the checkpoint has done %d samples of the epoch in %d steps; with %d samples per step it resumes after "
            "step %d%s",
            samples,
            content["batch"],
            per_step,
            batch,
            f", {again} samples are trained again" if again else "",
        )
    return int(batch)
