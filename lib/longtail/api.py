"""The Python interface: train, evaluate and load in a few lines; see `longtail` for an example."""

import os
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import load_config
from longtail.distributed import Place, find_place
from longtail.errors import UserError
from longtail.output_folders import RESULTS
from longtail.predicting.trained import Trained, load_trained
from longtail.runs.folder import read_json
from longtail.runs.named import find_run
from longtail.stages.evaluate import validate
from longtail.stages.train import train as train_config
from longtail.user_files import is_folder


def train(cfg: CfgNode, *, gpus: str | int | None = None, resume: str | Path = "auto") -> Path:
    """Train a config.

    Args:
        cfg: Config from `load_config`.
        gpus: "cpu", "0" or "0,1"; None: the first GPU if there is one, else the CPU.
        resume: "auto", "never", or the path of a run directory or checkpoint.

    Returns:
        The run directory.

    Raises:
        UserError: Something in the config or the data is wrong.
    """
    if not isinstance(cfg, CfgNode):
        raise UserError(f"a config is {cfg!r}; it must come from load_config")
    return train_config(cfg, cfg.NAME, place=_place(gpus), resume=str(resume)).path


def evaluate(
    run: str | Path, overrides: list[Any] | None = None, *, split: str = "valid", gpus: str | int | None = None
) -> dict[str, Any]:
    """Evaluate the best checkpoint of a run on its validation or test images.

    Args:
        run: Run directory.
        overrides: KEY, VALUE, ... that override the config of the run.
        split: "valid" or "test".
        gpus: As for `train`.

    Returns:
        {"loss", "ensemble": {"top1", "many", ...}, "experts": [...], ...}; accuracies are fractions.

    Raises:
        UserError: The run or its data are missing.
    """
    cfg = load_config(_config(run), overrides or [])
    if split not in ("valid", "test"):
        raise UserError(f"split is {split!r}; allowed: valid, test")
    folder = validate(cfg, Path(run), place=_place(gpus), split=split)
    results: dict[str, Any] = read_json(folder / RESULTS)
    return results


def load(
    run: str | Path, overrides: list[Any] | None = None, *, checkpoint: str = "", gpus: str | int | None = "cpu"
) -> Trained:
    """Load the trained network of a run, in evaluation mode.

    As a module it maps normalized images to `Output`; `predict` takes image files or arrays:

        longtail.load(run).predict(["a.jpg", "b.jpg"])[0].name

    Args:
        run: Run directory.
        overrides: KEY, VALUE, ... that override the config of the run, for example TEST.LOGIT_ADJUSTMENT.
        checkpoint: Name of a file in its models/; empty: what TEST.MODEL_FILE names, else best_ensemble.pth.
        gpus: "cpu" or "0".

    Raises:
        UserError: The run or the checkpoint is missing.
    """
    chosen = ["TEST.MODEL_FILE", checkpoint] if checkpoint else []
    cfg = load_config(_config(run), [*(overrides or []), *chosen])
    return load_trained(cfg, Path(run), place=_place(gpus))


def _place(gpus: str | int | None) -> Place:
    return find_place(None if gpus is None else str(gpus))


def _config(run: str | Path) -> Path:
    if not isinstance(run, (str, os.PathLike)):
        raise UserError(f"a run is {run!r}; it must be the path of a run directory")
    if not is_folder(run):
        raise UserError(f"{run} is not a run directory: there is no such folder")
    return Path(find_run(run)[1])
