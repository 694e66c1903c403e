"""Whether a run is what the gallery's configuration asks for, and on which images it was."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from longtail.engine.inputs import INPUTS
from longtail.engine.recipe_file import load_recipe
from longtail.engine.run_directory import IRRELEVANT
from longtail.gallery.runs import Outcome
from longtail.gallery.source import DataSet
from yacs.config import CfgNode

from longtail.config import dataset_parts, load_config

# What a run may have otherwise: where things lie, how fast it goes, and its seed.
FREE = (
    *IRRELEVANT,
    *INPUTS,
    "NAME",
    "RAND_SEED",
    "DATASET.ROOT",
    "DATASET.TRAIN_JSON",
    "DATASET.VALID_JSON",
    "DATASET.DOWNLOAD",
    "DATASET.CACHE",
    "DATASET.CAM_DATA_SAVE_PATH",
    "TRAIN.AMP",
    "TRAIN.APEX",
    "TRAIN.CHANNELS_LAST",
    "TRAIN.DETERMINISTIC",
    "TRAIN.DISTRIBUTED",
    "TRAIN.SYNCBN",
    "TEST.BATCH_SIZE",
    "TEST.MANY_SHOT",
    "TEST.FEW_SHOT",
)


@cache
def trees_of(file: Path) -> dict[str, CfgNode]:
    """Return the tree of a configuration under "", or those of a recipe's stages under their names."""
    if file.parent.name != "recipes":
        return {"": load_config(file)}
    recipe = load_recipe(file)
    return {stage.name: recipe.load(stage, dict.fromkeys(stage.takes, "taken")) for stage in recipe.stages}


def images_of(cfg: CfgNode, asked: CfgNode) -> str:
    """Say which images a run was on, where the configuration can be run on several kinds."""
    parts = dataset_parts(cfg)
    if dataset_parts(asked).source == "annotations":
        return f"judged on {Path(cfg.DATASET.VALID_JSON).name}"
    if parts.source != "annotations":
        return "Cao"
    return "annotation files" + (", normalised as Cui's" if parts.normalization == "imagenet" else "")


def departures(outcome: Outcome, asked: dict[str, CfgNode], data: DataSet) -> list[str]:
    """Return in what a run departs from what was asked for, as KEY=value, STAGE:KEY=value or words; empty: in nothing.

    Args:
        outcome: of the run.
        asked: the trees of the configuration.
        data: the data set that it is for.
    """
    found = [
        f"{stage}{':' if stage else ''}{key}={value}"
        for stage, tree in outcome.trees.items()
        for key, value in (_changed(tree, asked[stage]) if stage in asked else [("NAME", tree.NAME)])
    ]
    if outcome.images is None and dataset_parts(outcome.cfg).source == "annotations":
        found.append("number of training images unknown")
    if outcome.images not in (data.images, None):
        found.append(f"{outcome.images:,} training images")
    return found


def _changed(tree: CfgNode, asked: CfgNode) -> Iterator[tuple[str, Any]]:
    """Yield the keys with another value, and that value; of the data set's name, only what it does not stand for."""
    wanted = dict(_leaves(asked))
    for key, value in _leaves(tree):
        if value != wanted[key] and key not in FREE and key != "DATASET.DATASET":
            yield key, value
    if images_of(tree, asked).startswith("judged") and dataset_parts(tree) != dataset_parts(asked):
        yield "DATASET.DATASET", tree.DATASET.DATASET


def _leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
