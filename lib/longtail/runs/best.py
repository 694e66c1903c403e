"""The checkpoints of the best epochs of a run that is resumed: they must be those that its results name."""

import logging
import shutil
from pathlib import Path
from typing import Any

from longtail.checkpoint_file import read_checkpoint
from longtail.distributed import from_main
from longtail.errors import UserError
from longtail.files import atomic_write
from longtail.output_folders import BEST, BEST_SINGLE
from longtail.runs.results import Results
from longtail.runs.run import Run
from longtail.user_files import translating

logger = logging.getLogger(__name__)


def restore_best(run: Run, results: Results) -> None:
    """Copy the best checkpoints so far into a new directory; forget a best epoch whose checkpoint is lost.

    They lie beside the checkpoint from which the run is resumed, unless the run went on after it or they were lost.
    Then an epoch that follows is the best. Every process must call it.

    Args:
        run: Run, whose directory exists.
        results: Restored results.
    """
    if not run.checkpoint:
        return
    if not from_main(run.directory is None or _restored(run, BEST, results.best)):
        results.best = None
    if not from_main(run.directory is None or _restored(run, BEST_SINGLE, results.best_single)):
        results.best_single = None


def _restored(run: Run, name: str, best: dict[str, Any] | None) -> bool:
    """Return whether the directory of a run has the checkpoint of its best epoch, after copying it if it is new."""
    if best is None:
        return True
    assert run.directory and run.checkpoint
    path = run.checkpoint.parent / name
    content = _content(path)
    if content.get("epoch") != best["epoch"]:
        logger.warning(
            "%s is not that of epoch %d, the best one so far; the best of the epochs from now on is kept",
            path,
            best["epoch"],
        )
        return False
    copy = run.directory.models / name
    if copy.resolve() != path.resolve():
        with translating(copy, "checkpoint"), open(path, "rb") as source, atomic_write(copy) as target:
            shutil.copyfileobj(source, target)
    return True


def _content(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint; {} if there is none, or it is damaged."""
    try:
        return read_checkpoint(path)
    except UserError:
        return {}
