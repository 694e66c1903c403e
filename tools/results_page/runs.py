"""What trainings came to, read from their run directories."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.engine.run_directory import RunDirectory
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How one finished training, or one stage of a recipe, ended.

    Attributes:
        name: NAME of its configuration, or the recipe's name.
        stage: of the recipe; empty: not of a recipe.
        trees: what was run, of a recipe the stages up to this one, by their names ("" without a recipe).
        seed: RAND_SEED.
        best: top-1 error of the best epoch, in percent.
        last: top-1 error of the last epoch, in percent.
        images: training images, without generated ones; None: the run does not say.
        began: date and time, as text that sorts.
    """

    name: str
    stage: str
    trees: dict[str, CfgNode]
    seed: int
    best: float
    last: float
    images: int | None
    began: str

    @property
    def cfg(self) -> CfgNode:
        """The tree that led to the result."""
        return self.trees[self.stage]


def read_runs(folder: Path) -> list[Outcome]:
    """Return every finished training below a folder; what cannot be read is named in the log.

    A recipe's stages are those that its summary.json lists: they belong together.
    """
    outcomes = []
    for path in sorted(folder.rglob("results.json")):
        run = RunDirectory(path.parent)
        if not run.config.is_file():  # a judgement
            continue
        try:
            cfg = load_config(run.config)
        except UserError as error:
            logger.warning("left out: %s", error)
            continue
        if run.finished() and "/" not in cfg.NAME:
            outcomes.append(_outcome(cfg.NAME, "", {"": cfg}, _json(path), None, run.path.name))
    for path in sorted(folder.rglob("summary.json")):
        outcomes.extend(_of_recipe(path))
    return outcomes


def _of_recipe(path: Path) -> Iterator[Outcome]:
    """Yield the outcome of every stage that was judged."""
    summary = _json(path)
    trees: dict[str, CfgNode] = {}
    images = None
    for stage in summary["stages"]:
        name = stage["stage"]
        run = path.parent / name / Path(stage["run"]).name  # wherever the folder lies now
        try:
            trees[name] = load_config(run / "config.yaml")
        except UserError as error:
            logger.warning("left out: %s of %s: %s", name, path, error)
            return
        images = stage.get("images", images)
        if stage.get("last"):
            yield _outcome(summary["name"], name, dict(trees), stage, images, run.name)


def _outcome(
    name: str, stage: str, trees: dict[str, CfgNode], results: dict[str, Any], images: int | None, began: str
) -> Outcome:
    best, last = (100 * (1 - results[which]["ensemble"]["top1"]) for which in ("best", "last"))
    return Outcome(name, stage, trees, results["seed"], best, last, results.get("images", images), began)


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content
