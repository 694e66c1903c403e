"""Recipe files: stages that build on each other, and how the config of each is made.

    name: crt
    stages:
      - name: baseline
        config: ce
      - name: classifier
        config: crt_classifier
        set:
          TRAIN.MAX_EPOCH: 30
        take:
          NETWORK.PRETRAINED_MODEL: last of baseline
      - name: tau_norm
        evaluate: last of baseline
        set:
          TEST.TAU_NORM.USE_TAU_NORM: True
      - name: adjusted
        calibrate: last of baseline
        over: TEST.LOGIT_ADJUSTMENT
        values: [0, 0.5, 1.0, 1.5]
        fit_on: valid
        report_on: test
        hold_out: 0.2

What can be chosen: TEST.LOGIT_ADJUSTMENT and TEST.TAU_NORM.TAU, from `values`; TEST.TEMPERATURE and TEST.CLASS_OFFSETS,
which are computed (`objective: macro_f1` or `balanced_accuracy` for the latter).
`hold_out` is for data without a test split: this fraction of the validation images chooses, the rest is reported.
`config` is one file or several joined by commas, or "" for the configs before the recipe alone; paths start at the
recipe file's own folder, short names are looked up under configs/. A recipe may be called with configs before it, as
`cifar10_im100,crt`: they are put before the config of every stage, and their names before its own. A stage trains; it
generates images if its config has DATASET.GENERATE_CAM_BASED_DATASET; it evaluates a checkpoint of an earlier stage; or
it calibrates a correction on one split and reports another. What can be taken: `best`, `best_single`, `last` or
`epoch_N`, a checkpoint, and `data`, the generated images.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import changed, find_config, load_config, read_yaml, split_paths
from longtail.errors import UserError
from longtail.registry import nearest
from longtail.runs.directory import check_writable
from longtail.runs.inputs import condition_of, input_files, input_keys, is_used, kind_of
from longtail.stages.calibration_spec import CALIBRATION_KEYS, Calibration, read_calibration
from longtail.stages.checks import check_names, check_start

CHECKPOINTS = {"best": "best_ensemble.pth", "best_single": "best_single.pth", "last": "last.pth"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
GENERATED = "generated.json"  # in the run directory of a stage that generates images
SUMMARY = "summary.json"  # beside the folders of the stages
ACTIONS = ("config", "evaluate", "calibrate")  # exactly one of them is in every stage
KEYS = ("name", *ACTIONS, "set", "take", *CALIBRATION_KEYS)


@dataclass(frozen=True)
class Artifact:
    """What a stage takes from an earlier one.

    Attributes:
        what: best, best_single, last, epoch_N or data.
        stage: Name of the earlier stage.
    """

    what: str
    stage: str

    @property
    def epoch(self) -> int | None:
        """The N of epoch_N."""
        match = re.fullmatch(r"epoch_([1-9]\d*)", self.what)
        return int(match[1]) if match else None

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
        config: Its config: files or short names.
        settings: KEY, VALUE, KEY, VALUE, ... over it.
        takes: Key of the config -> what its file is.
        evaluates: Checkpoint that is evaluated or calibrated; None: the stage trains or generates.
        calibration: What is calibrated; None: nothing.
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
            extra: KEY, VALUE, ... over everything else.
        """
        files = [part for key, file in taken.items() for part in (key, file)]
        return load_config(self.config, [*self.settings, *extra, *files])


@dataclass(frozen=True)
class Recipe:
    """Stages in their order.

    Attributes:
        path: File of the recipe.
        name: The folder of its stages is OUTPUT_DIR/<name>.
        output: OUTPUT_DIR.
        stages: Each takes from earlier ones only.
    """

    path: Path
    name: str
    output: str
    stages: tuple[Stage, ...]

    @property
    def folder(self) -> Path:
        """Folder of everything that is written."""
        return Path(self.output) / self.name

    def load(self, stage: Stage, taken: Mapping[str, str]) -> CfgNode:
        """Return the config of one of its stages, see `Stage.load`."""
        return stage.load(taken, "OUTPUT_DIR", self.output, "NAME", f"{self.name}/{stage.name}")


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check all of its stages before anything runs.

    Args:
        source: YAML file or short name of the recipe, after the configs of the data, if any, and commas.
        overrides: KEY, VALUE, ... for all stages, or STAGE:KEY, VALUE, ... for one; NAME renames the recipe.

    Raises:
        UserError: A file is missing, a key or name is unknown, a stage takes what does not exist, or a config is
            refused.
    """
    *data, last = split_paths(source)
    path = find_config(last)
    content = read_yaml(path, "recipe")
    shared, own = _split(overrides)
    with _errors_name(path):
        _check_keys(content, ("name", "stages"))
        named = _name(content.get("name"))
        name = _name(shared.pop("NAME", "_".join([*(Path(part).stem for part in data), named])))
        entries = content.get("stages")
        if not isinstance(entries, list) or not entries:
            raise UserError("stages must be a list; each has a name, and a config or what it evaluates")
    stages: dict[str, Stage] = {}
    for number, entry in enumerate(entries, start=1):
        with _errors_name(path, f"stage {number}"):
            stage = _stage(path.parent, entry, data=tuple(data), earlier=stages)
            settings = own.pop(stage.name, {})
            _check_output(settings)
            stages[stage.name] = _set(stage, {**shared, **settings})
    for unknown in own:
        raise UserError(f"override {unknown}:...: there is no such stage{nearest(unknown, stages)}")

    output = shared.get("OUTPUT_DIR")
    configs: dict[str, CfgNode] = {}
    for stage in stages.values():
        with _errors_name(path, f"stage {stage.name}"):
            output = output or stage.load(dict.fromkeys(stage.takes, "")).OUTPUT_DIR
            configs[stage.name] = _check(Recipe(path, name, str(output), (stage,)), configs)
    return Recipe(path, name, str(output), tuple(stages.values()))


@contextmanager
def _errors_name(path: Path, where: str = "") -> Iterator[None]:
    """Within the block, prefix errors with recipe and stage."""
    try:
        yield
    except UserError as error:
        raise UserError(f"recipe {path}: {where}{': ' if where else ''}{error}") from None


def _split(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the overrides for all stages, and those for single ones by stage name."""
    if len(overrides) % 2:
        raise UserError(f"overrides come in pairs KEY VALUE; {overrides[-1]!r} has no partner")
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        stage, colon, rest = key.partition(":")
        if colon:
            own.setdefault(stage, {})[rest] = value
        else:
            shared[key] = value
    return shared, own


def _check_keys(content: Any, known: Sequence[str]) -> None:
    if not isinstance(content, dict):
        raise UserError(f"expected KEY: VALUE lines ({', '.join(known)}), not {content!r}")
    for key in content:
        if key not in known:
            raise UserError(f"unknown key {key}; there is: {', '.join(known)}{nearest(str(key), known)}")


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise UserError(f"name is {value!r}; it must consist of letters, digits, '_', '-' and '.'")
    return value


def _stage(folder: Path, entry: Any, *, data: tuple[str, ...], earlier: Mapping[str, Stage]) -> Stage:
    """Read one entry of `stages`; `data` are the configs before its own."""
    _check_keys(entry, KEYS)
    name = _name(entry.get("name"))
    if name in earlier:
        raise UserError(f"there is an earlier stage {name}")
    if name == SUMMARY:
        raise UserError(f"a stage cannot be called {name}: the recipe writes a file of that name")
    if sum(action in entry for action in ACTIONS) != 1:
        raise UserError(f"{name} must have exactly one of: {', '.join(ACTIONS)}")
    settings, takes = _mapping(entry, "set", name=name), _mapping(entry, "take", name=name)
    _check_output(settings)
    _check_free(name, settings, {})
    pairs = tuple(part for pair in settings.items() for part in pair)
    if "config" not in entry:
        return _evaluating_stage(entry, name, earlier=earlier, settings=pairs)
    if not isinstance(entry["config"], str):
        raise UserError(f"{name}: config must be a YAML file or short names, not {entry['config']!r}")
    keys = input_keys()
    for key in takes:
        if key not in keys:
            raise UserError(f"nothing can be taken into {key}; there is: {', '.join(keys)}{nearest(str(key), keys)}")
    taken = {key: _artifact(value, earlier) for key, value in takes.items()}
    _check_free(name, settings, taken)
    own = tuple(_located(folder, part) for part in split_paths(entry["config"]) if part)
    if not (data or own):
        raise UserError(f"{name}: config is empty, so configs must be named before the recipe, joined by commas")
    return Stage(name, (*data, *own), pairs, taken)


def _check_free(name: str, settings: Mapping[str, Any], takes: Mapping[str, Artifact]) -> None:
    """Refuse settings of keys that the recipe itself sets."""
    for key in settings:
        if key == "NAME":
            raise UserError("NAME of a stage cannot be set: it is the recipe's and the stage's")
        if key in takes:
            raise UserError(f"{name} takes {key} from {takes[key].stage}; it cannot be set")


def _check_output(settings: Mapping[str, Any]) -> None:
    if "OUTPUT_DIR" in settings:
        raise UserError("OUTPUT_DIR of a stage cannot be set: all stages have that of the recipe, OUTPUT_DIR VALUE")


def _mapping(entry: Mapping[str, Any], key: str, *, name: str) -> dict[str, Any]:
    value = entry.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(f"{name}: {key} must hold KEY: VALUE lines, not {value!r}")
    return value


def _located(folder: Path, part: str) -> str:
    """Return a path relative to the recipe's folder; a short name stays as it is."""
    return str(folder / part) if part.endswith((".yaml", ".yml")) else part


def _evaluating_stage(
    entry: Mapping[str, Any], name: str, *, earlier: Mapping[str, Stage], settings: tuple[Any, ...]
) -> Stage:
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
    return Stage(name, base.config, (*base.settings, *settings), base.takes, artifact, calibration)


def _artifact(text: Any, earlier: Mapping[str, Stage]) -> Artifact:
    """Read `last of baseline`."""
    match = re.fullmatch(r"(\S+) of (\S+)", str(text))
    if not match:
        raise UserError(f"{text!r} names nothing to take; expected such as 'last of STAGE'")
    artifact = Artifact(match[1], match[2])
    words = (*CHECKPOINTS, "epoch_N", "data")
    if artifact.what not in (*CHECKPOINTS, "data") and artifact.epoch is None:
        known = ", ".join(words)
        raise UserError(f"{artifact}: there is no {artifact.what}; there is: {known}{nearest(artifact.what, words)}")
    if artifact.stage not in earlier:
        stages = f"earlier stages: {', '.join(earlier)}" if earlier else "this is the first one"
        raise UserError(
            f"{artifact}: there is no earlier stage {artifact.stage}; {stages}{nearest(artifact.stage, earlier)}"
        )
    return artifact


def _set(stage: Stage, overrides: Mapping[str, Any]) -> Stage:
    """Return a stage with more settings over its own."""
    _check_free(stage.name, overrides, stage.takes)
    return replace(stage, settings=(*stage.settings, *(part for pair in overrides.items() for part in pair)))


def _check(recipe: Recipe, earlier: Mapping[str, CfgNode]) -> CfgNode:
    """Return the config of a recipe's only stage, or refuse it; `earlier` are the configs of the stages before it."""
    (stage,) = recipe.stages
    cfg = recipe.load(stage, dict.fromkeys(stage.takes, str(recipe.path)))  # an existing file, for those to come
    check_names(generating_into(recipe.folder, cfg))
    check_writable(cfg)
    if stage.evaluates:
        _check_source(stage.evaluates, earlier[stage.evaluates.stage], data=False)
        if stage.calibration:
            stage.calibration.check(cfg)
        return cfg
    check_start(cfg)
    for key, artifact in stage.takes.items():
        if not is_used(cfg, key):
            raise UserError(f"{key} is taken but not used; that needs {condition_of(key)}")
        _check_source(artifact, earlier[artifact.stage], data=kind_of(key) == "images")
    for key, file in input_files(cfg).items():
        if key not in stage.takes and not file.is_file():
            raise UserError(f"{key}: file {file} does not exist, and the stage does not take it from another")
    return cfg


def generating_into(folder: Path, cfg: CfgNode) -> CfgNode:
    """Return a config that generates into a folder; one that generates nothing stays as it is."""
    if not cfg.DATASET.GENERATE_CAM_BASED_DATASET:
        return cfg
    images, listing = str(folder / "images"), str(folder / GENERATED)
    return changed(cfg, "DATASET.CAM_DATA_SAVE_PATH", images, "DATASET.CAM_DATA_JSON_SAVE_PATH", listing)


def _check_source(artifact: Artifact, source: CfgNode, *, data: bool) -> None:
    """Refuse what the earlier stage will not have."""
    generates = bool(source.DATASET.GENERATE_CAM_BASED_DATASET)
    if data != (artifact.what == "data"):
        raise UserError(f"{artifact} is taken where {'generated data' if data else 'a checkpoint'} must be")
    if data != generates:
        raise UserError(f"{artifact}: that stage {'generates images' if generates else 'trains'}")
    if artifact.epoch is None:
        return
    last, step = source.TRAIN.MAX_EPOCH, source.SAVE_STEP
    if artifact.epoch > last or step < 1 or artifact.epoch % step:
        kept = f"every {step} epochs of {last}" if step >= 1 else "no epoch"
        raise UserError(f"{artifact}: that stage keeps {kept} (SAVE_STEP, TRAIN.MAX_EPOCH)")
