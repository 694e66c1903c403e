"""The Python interface: train, evaluate and load in a few lines; see `longtail` for an example."""

from pathlib import Path
from typing import Any

from torch import nn
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.data import build_splits
from longtail.distributed import find_place
from longtail.errors import UserError
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json
from longtail.stages.evaluate import load_network, validate
from longtail.stages.train import train as train_config


def train(cfg: CfgNode, *, gpus: str | None = None, resume: str = "auto") -> Path:
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
    run = train_config(cfg, cfg.NAME, place=find_place(gpus), resume=resume)
    assert run is not None  # None in processes of torchrun that do not write
    return run.path


def evaluate(run: str | Path, overrides: list[Any] | None = None, *, gpus: str | None = None) -> dict[str, Any]:
    """Evaluate the best checkpoint of a run on its validation images.

    Args:
        run: Run directory.
        overrides: KEY, VALUE, ... over the config of the run.
        gpus: As for `train`.

    Returns:
        {"loss", "ensemble": {"top1", "many", ...}, "experts": [...], ...}; accuracies are fractions.

    Raises:
        UserError: The run or its data are missing.
    """
    cfg = load_config(_config(run), overrides or [])
    folder = validate(cfg, Path(run), place=find_place(gpus))
    results: dict[str, Any] = read_json(folder / "results.json")
    return results


def load(run: str | Path, checkpoint: str = "best_ensemble.pth") -> nn.Module:
    """Load the trained network of a run, on the CPU and in evaluation mode.

    Args:
        run: Run directory.
        checkpoint: Name of a file in its models/.

    Raises:
        UserError: The run or the checkpoint is missing.
    """
    cfg = load_config(_config(run))
    num_classes = build_splits(cfg, generated=False).train.num_classes
    network: nn.Module = load_network(cfg, num_classes, Path(run) / "models" / checkpoint)
    return network.eval()


def _config(run: str | Path) -> Path:
    path = RunDirectory(Path(run)).config
    if not path.is_file():
        raise UserError(f"{run} is not a run directory: it has no config.yaml")
    return path
