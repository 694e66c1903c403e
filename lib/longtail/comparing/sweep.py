"""Training a config with several seeds and values of keys, one run after another."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.comparing.runs import FOLD, SEED, choosing_keys
from longtail.config import KEYS, flatten, is_recipe, load_config
from longtail.distributed import Place
from longtail.errors import UserError
from longtail.stages.checks import check_training
from longtail.stages.train import train

logger = logging.getLogger(__name__)

Setting = tuple[str, Sequence[Any]]  # key and its values


def sweep_configs(
    source: str, overrides: Sequence[Any] = (), *, seeds: Sequence[int] = (), settings: Sequence[Setting] = ()
) -> list[CfgNode]:
    """Return one config for each combination of values and seeds; the seeds of a combination are consecutive.

    Args:
        source: Config, see `load_config`.
        overrides: KEY, VALUE, ... for all configs.
        seeds: Values of RAND_SEED; empty: that of the config.
        settings: Keys with their values.

    Raises:
        UserError: The source is a recipe, a key is listed twice or as a value or chooses the validation images, or a
            config is invalid.
    """
    if is_recipe(source):
        raise UserError(f"{source} is a recipe; sweep takes a config")
    all_settings = [*settings, *([(SEED, seeds)] if seeds else [])]
    keys = [key for key, _ in all_settings]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(f"{twice} is swept twice; list all of its values once")
    if empty := next((key for key, values in all_settings if not values), None):
        raise UserError(f"{empty} has no values to sweep; expected --set KEY VALUE [VALUE ...]")
    swept = itertools.chain.from_iterable(values for _, values in settings)
    if key := next((value for value in swept if isinstance(value, str) and value in KEYS), None):
        raise UserError(f"{key} is a key, not a value of --set; KEY VALUE of all runs comes before --set")
    combinations = itertools.product(*(list(dict.fromkeys(values)) for _, values in all_settings))
    configs = [
        load_config(source, [*overrides, *itertools.chain.from_iterable(zip(keys, values, strict=True))])
        for values in combinations
    ]
    _check_same_images(configs)
    return configs


def _check_same_images(configs: Sequence[CfgNode]) -> None:
    """Refuse configs that choose different validation images, except by fold."""
    first, *others = [dict(flatten(cfg)) for cfg in configs]
    keys = choosing_keys(first)
    for key, values in itertools.product(keys, others):
        if values[key] != first[key]:
            raise UserError(
                f"{key} chooses the validation images, so the runs of {first[key]!r} and {values[key]!r} cannot be "
                f"compared; {FOLD} can be swept"
            )


def sweep(configs: Sequence[CfgNode], source: str, *, place: Place) -> list[Path]:
    """Train configs one after another; finished runs are kept, stopped ones resumed.

    Args:
        configs: Configs, see `sweep_configs`; all are checked before the first one is trained.
        source: Name of the config, for results.json.
        place: Processes and devices.

    Returns:
        The run directories.

    Raises:
        UserError: A config or its data are invalid.
        Interrupted: A signal stopped a training; the same call resumes it.
    """
    for cfg in configs:
        check_training(cfg, place)
    runs = []
    for number, cfg in enumerate(configs, start=1):
        logger.info("run %d of %d", number, len(configs))
        runs.append(train(cfg, source, place=place).path)
    return runs
