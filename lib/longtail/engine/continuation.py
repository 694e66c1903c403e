"""Which earlier training a run goes on from, and whether it may."""

from pathlib import Path
from typing import Any, NamedTuple

from yacs.config import CfgNode

from longtail.engine.run_directory import RunDirectory, differing_keys, unfinished_run
from longtail.errors import UserError
from longtail.models import read_checkpoint


class Continuation(NamedTuple):
    """Where a run starts from.

    Attributes:
        checkpoint: the file to go on from; None: start anew.
        run: the folder to go on in, locked; None: make a new one.
        why_new: why a new folder is made although there is a checkpoint, for the log.
    """

    checkpoint: Path | None = None
    run: RunDirectory | None = None
    why_new: str = ""


def find_continuation(cfg: CfgNode, resume: str, restarted: bool = False) -> Continuation:
    """Decide what a run goes on from.

    Args:
        cfg: the tree.
        resume: "auto": the newest unfinished run of the same tree, or RESUME_MODEL; "never"; or the path of a run
            directory or checkpoint. A run goes on in its own folder when its newest checkpoint is continued under the
            same tree; otherwise its state goes on in a new folder and nothing of it is overwritten.
        restarted: this launch has begun a run and then lost a process: whatever `resume` says, that run goes on.

    Raises:
        UserError: there is nothing at that path, or the run is being trained by another process.
    """
    if resume == "auto" or restarted:
        run = unfinished_run(cfg)
        if run:
            return Continuation(run.last, run)
    if resume == "never":
        return Continuation()
    if resume == "auto":
        if not cfg.RESUME_MODEL or cfg.RESUME_MODE == "state_dict":
            return Continuation()
        resume = cfg.RESUME_MODEL
    path = Path(resume)
    checkpoint = path / "models" / "last.pth" if path.is_dir() else path
    if not checkpoint.is_file():
        what = "a run directory with models/last.pth, or a checkpoint file"
        raise UserError(f"cannot resume from {resume}: expected auto, never, {what}")
    run = RunDirectory(checkpoint.resolve().parent.parent)
    if not run.config.is_file():
        return Continuation(checkpoint, None, "it does not lie in a run directory")
    if checkpoint.name != run.last.name:
        return Continuation(checkpoint, None, f"{checkpoint.name} is not the run's newest state")
    keys = differing_keys(cfg, run)
    if keys:
        shown = ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
        return Continuation(checkpoint, None, f"the run had other values of {shown}")
    if not run.lock():
        raise UserError(f"cannot resume from {resume}: another process is training this run")
    return Continuation(checkpoint, run)


def read_fitting(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint and check that it belongs to this network and these data.

    Args:
        path: of the checkpoint.
        facts: "classes", "architecture" and "fingerprint" of the run that is to go on.

    Raises:
        UserError: it is no checkpoint of a run, or of other classes, another architecture or other training images.
    """
    content = read_checkpoint(path)
    if "optimizer" not in content or "architecture" not in content:
        raise UserError(f"{path} holds weights only; to start from them set NETWORK.PRETRAINED and PRETRAINED_MODEL")
    for key, words in (
        ("classes", "{} classes"),
        ("architecture", "the architecture {}"),
        ("fingerprint", "training images with the fingerprint {}"),
    ):
        if content[key] != facts[key]:
            has, wanted = words.format(content[key]), words.format(facts[key])
            raise UserError(f"cannot resume from {path}: it has {has}, this run has {wanted}")
    return content
