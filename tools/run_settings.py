"""Settings of runs: the keys that change what is computed and are not at their defaults.

Records keep them, so that a record is not taken for one of a config that was changed since.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from yacs.config import CfgNode

from longtail.config import KEYS, flatten, is_recipe, load_config
from longtail.errors import UserError
from longtail.stages.recipe_file import load_recipe

Settings = Mapping[str, Any]

# May differ between runs of one config: locations, speed, the seed.
FREE = ("NAME", "RAND_SEED", "VALID_STEP", "DATASET.DATASET", "DATASET.CACHE", "DATASET.DOWNLOAD", "TEST.BATCH_SIZE")


def settings_of(cfg: CfgNode) -> Settings:
    """Return the settings of a config: key -> value, as JSON has it."""
    return {
        name: _plain(value)
        for name, value in flatten(cfg)
        if value != KEYS[name].default and KEYS[name].result and _counts(name, cfg)
    }


def asked_settings(source: str, overrides: Sequence[Any] = ()) -> Mapping[str, Settings]:
    """Return the settings of every stage of a recipe by its name; of another composition under the name "".

    Args:
        source: Composition, for example cifar10_im100,crt.
        overrides: KEY, VALUE, ...

    Raises:
        UserError: The composition is invalid.
    """
    if not is_recipe(source):
        return {"": settings_of(load_config(source, overrides))}
    recipe = load_recipe(source, overrides)
    return {each.name: settings_of(recipe.load(each, dict.fromkeys(each.takes, "taken"))) for each in recipe.stages}


@cache
def stage_settings(source: str, stage: str) -> Settings:
    """Return the settings that a composition, or a stage of a recipe, asks for.

    Raises:
        UserError: The composition or the stage does not exist.
    """
    stages = asked_settings(source)
    if stage not in stages:
        raise UserError(f"{source} has no stage {stage!r}; available: {', '.join(stages)}")
    return stages[stage]


def differences(settings: Settings, asked: Settings) -> dict[str, Any]:
    """Return the keys in which the settings of a run differ from those of its composition, with the values of the run.

    Args:
        settings: Settings of the run.
        asked: Settings of the composition.
    """
    of_run, wanted = ({**_defaults(settings, asked), **each} for each in (settings, asked))
    return {name: value for name, value in of_run.items() if value != wanted[name]}


def digest(settings: Mapping[str, Settings]) -> str:
    """Return twelve hexadecimal digits that identify the settings of all stages."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _defaults(*settings: Settings) -> dict[str, Any]:
    """Return the default of every key in some settings; None of a key that does not exist any more."""
    names = dict.fromkeys(name for each in settings for name in each)
    return {name: _plain(KEYS[name].default) if name in KEYS else None for name in names}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _counts(name: str, cfg: CfgNode) -> bool:
    """Return whether another value of a key makes a run another experiment."""
    if name in FREE or KEYS[name].file:
        return False
    if name.startswith("DATASET.IMBALANCECIFAR.") and cfg.DATASET.DATASET == "annotations":
        return False
    section = name.split(".")
    other_loss = section[0] == "LOSS" and len(section) == 3 and section[1] not in (cfg.LOSS.LOSS_TYPE,)
    return not (other_loss and not section[1].startswith("MULTI"))
