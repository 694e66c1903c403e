"""One stage of a recipe file: what it trains, evaluates or calibrates, and what it takes from earlier stages."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import changed, load_config, split_paths
from longtail.errors import UserError
from longtail.output_folders import BEST, BEST_SINGLE, LAST
from longtail.registry import nearest
from longtail.runs.inputs import input_keys
from longtail.stages.calibration_spec import CALIBRATION_KEYS, Calibration, read_calibration

CHECKPOINTS = {"best": BEST, "best_single": BEST_SINGLE, "last": LAST}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
GENERATED = "generated.json"  # in the run directory of a stage that generates images
SUMMARY = "summary.json"  # in the folder of the recipe
ACTIONS = ("config", "evaluate", "calibrate")  # every stage has exactly one of them
KEYS = ("name", *ACTIONS, "set", "take", *CALIBRATION_KEYS)


@dataclass(frozen=True)
class Artifact:
    """A file that a stage takes from an earlier one.

    Attributes:
        what: Best, best_single, last, epoch_N or data.
        stage: Name of the earlier stage.
    """

    what: str
    stage: str

    @property
    def epoch(self) -> int | None:
        """The N of epoch_N."""
        match = re.fullmatch(r"epoch_([1-9]\d*)", self.what)
        return int(match[1]) if match else None

    def epoch_in(self, results: Mapping[str, Any]) -> int:
        """Return the epoch of the checkpoint, given results.json of the stage."""
        selected = results.get(self.what) or {}  # of best and best_single
        return int(self.epoch or selected.get("epoch") or results["epochs"])

    @property
    def file(self) -> str:
        """Name of the checkpoint in the run's models/."""
        return CHECKPOINTS.get(self.what, f"{self.what}.pth")

    def __str__(self) -> str:
        return f"{self.what} of {self.stage}"


@dataclass(frozen=True)
class Stage:
    """One entry of a recipe.

    Attributes:
        name: Name of the stage.
        config: Files or short names of its config.
        settings: KEY, VALUE, ... that override the config.
        takes: Key of the config -> artifact that it names.
        evaluates: Checkpoint that is evaluated or calibrated; None: the stage trains or generates.
        calibration: Specification of a calibration; None: the stage does not calibrate.
    """

    name: str
    config: tuple[str, ...]
    settings: tuple[Any, ...] = ()
    takes: Mapping[str, Artifact] = field(default_factory=dict)
    evaluates: Artifact | None = None
    calibration: Calibration | None = None

    @property
    def source(self) -> str:
        """Config as text, for results.json."""
        return ",".join(self.config)

    def load(self, taken: Mapping[str, str], *extra: Any) -> CfgNode:
        """Return the config of the stage.

        Args:
            taken: Key -> file that is taken.
            extra: KEY, VALUE, ... that override everything else.
        """
        files = [part for key, file in taken.items() for part in (key, file)]
        return load_config(self.config, [*self.settings, *extra, *files])


def read_stage(folder: Path, entry: Any, *, data: tuple[str, ...], earlier: Mapping[str, Stage]) -> Stage:
    """Read one entry of `stages`.

    Args:
        folder: Folder of the recipe file.
        entry: The entry.
        data: Configs that are put before its own.
        earlier: Earlier stages by name.

    Raises:
        UserError: A key or name is wrong, or it takes an artifact that does not exist.
    """
    check_keys(entry, KEYS)
    name = read_name(entry.get("name"))
    if name in earlier:
        raise UserError(f"there is an earlier stage {name}")
    if name == SUMMARY:
        raise UserError(f"a stage cannot be called {name}: the recipe writes a file with that name")
    if sum(action in entry for action in ACTIONS) != 1:
        raise UserError(f"{name} must have exactly one of: {', '.join(ACTIONS)}")
    settings = _mapping(entry, "set", name=name)
    if "config" in entry:
        stage = _working_stage(folder, entry, name, data=data, earlier=earlier)
    else:
        stage = _evaluating_stage(entry, name, earlier=earlier)
    return with_own_settings(stage, settings)


def _working_stage(
    folder: Path, entry: Mapping[str, Any], name: str, *, data: tuple[str, ...], earlier: Mapping[str, Stage]
) -> Stage:
    """Read an entry that trains or generates images."""
    if not isinstance(entry["config"], str):
        raise UserError(f"{name}: config must be a YAML file or short names, not {entry['config']!r}")
    takes, keys = _mapping(entry, "take", name=name), input_keys()
    for key in takes:
        if key not in keys:
            raise UserError(f"take cannot set {key}; allowed: {', '.join(keys)}{nearest(str(key), keys)}")
    taken = {key: _artifact(value, earlier) for key, value in takes.items()}
    own = tuple(_located(folder, part) for part in split_paths(entry["config"]) if part)
    if not (data or own):
        raise UserError(f"{name}: config is empty; name configs before the recipe, joined by commas")
    return Stage(name, (*data, *own), takes=taken)


def _evaluating_stage(entry: Mapping[str, Any], name: str, *, earlier: Mapping[str, Stage]) -> Stage:
    """Read an entry that evaluates or calibrates a checkpoint of an earlier stage."""
    action = "evaluate" if "evaluate" in entry else "calibrate"
    if entry.get("take"):
        raise UserError(f"{name}: {action} cannot take anything")
    artifact = _artifact(entry[action], earlier)
    if artifact.what == "data":
        raise UserError(f"{name}: {action} needs a checkpoint, not data")
    base = earlier[artifact.stage]
    if base.evaluates:
        raise UserError(f"{name}: {action} needs a stage that trains; {base.name} does not")
    calibration = read_calibration(entry, name) if action == "calibrate" else None
    return Stage(name, base.config, base.settings, base.takes, artifact, calibration)


def with_own_settings(stage: Stage, settings: Mapping[str, Any]) -> Stage:
    """Return a stage with settings that apply to it alone, see `with_settings`.

    Raises:
        UserError: See `with_settings`, or they contain OUTPUT_DIR.
    """
    if "OUTPUT_DIR" in settings:
        raise UserError("OUTPUT_DIR cannot be set for a single stage: set it for the whole recipe, OUTPUT_DIR VALUE")
    return with_settings(stage, settings)


def with_settings(stage: Stage, settings: Mapping[str, Any]) -> Stage:
    """Return a stage with further settings that override its own.

    Raises:
        UserError: A key is set by the recipe itself.
    """
    for key in settings:
        if key == "NAME":
            raise UserError("NAME cannot be set for a stage: it is <recipe>/<stage>")
        if key in stage.takes:
            raise UserError(f"{stage.name} takes {key} from stage {stage.takes[key].stage}, so it cannot be set")
    return replace(stage, settings=(*stage.settings, *(part for pair in settings.items() for part in pair)))


def _artifact(text: Any, earlier: Mapping[str, Stage]) -> Artifact:
    """Parse an artifact such as `last of baseline`."""
    match = re.fullmatch(r"(\S+) of (\S+)", str(text))
    if not match:
        raise UserError(f"{text!r} is not an artifact; write for example 'last of STAGE'")
    artifact = Artifact(match[1], match[2])
    words = (*CHECKPOINTS, "epoch_N", "data")
    if artifact.what not in (*CHECKPOINTS, "data") and artifact.epoch is None:
        known = ", ".join(words)
        raise UserError(f"{artifact}: there is no {artifact.what}; available: {known}{nearest(artifact.what, words)}")
    if artifact.stage not in earlier:
        stages = f"earlier stages: {', '.join(earlier)}" if earlier else "this is the first one"
        raise UserError(
            f"{artifact}: there is no earlier stage {artifact.stage}; {stages}{nearest(artifact.stage, earlier)}"
        )
    return artifact


def generating_into(folder: Path, cfg: CfgNode) -> CfgNode:
    """Return a config that generates images into a folder; the config itself if it generates none."""
    if not cfg.DATASET.GENERATE_CAM_BASED_DATASET:
        return cfg
    images, listing = str(folder / "images"), str(folder / GENERATED)
    return changed(cfg, "DATASET.CAM_DATA_SAVE_PATH", images, "DATASET.CAM_DATA_JSON_SAVE_PATH", listing)


def check_keys(content: Any, known: Sequence[str]) -> None:
    """Refuse content that is not a mapping with known keys."""
    if not isinstance(content, dict):
        raise UserError(f"expected KEY: VALUE lines ({', '.join(known)}), not {content!r}")
    for key in content:
        if key not in known:
            raise UserError(f"unknown key {key}; available: {', '.join(known)}{nearest(str(key), known)}")


def read_name(value: Any) -> str:
    """Check and return the name of a recipe or stage."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise UserError(f"name is {value!r}; it must consist of letters, digits, '_', '-' and '.'")
    return value


def _mapping(entry: Mapping[str, Any], key: str, *, name: str) -> dict[str, Any]:
    value = entry.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(f"{name}: {key} must hold KEY: VALUE lines, not {value!r}")
    return value


def _located(folder: Path, part: str) -> str:
    """Return the path of a file relative to the recipe's folder, or a short name unchanged."""
    return str(folder / part) if part.endswith((".yaml", ".yml")) else part
