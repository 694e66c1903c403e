"""Recipe files: trainings that build on each other, and how each one's tree is made.

    name: cifar10_im100_crt
    stages:
      - name: baseline
        config: ../tricks/baseline.yaml
      - name: classifier
        config: stages/crt.yaml
        set:
          TRAIN.MAX_EPOCH: 30
        take:
          NETWORK.PRETRAINED_MODEL: last of baseline
      - name: tau_norm
        judge: last of baseline
        set:
          TEST.TAU_NORM.USE_TAU_NORM: True

Paths start at the recipe file's own folder. A stage trains; it generates images where its tree has
DATASET.GENERATE_CAM_BASED_DATASET; or it judges a checkpoint of an earlier stage. What can be taken: `best`,
`best_single`, `last` or `epoch_N`, a checkpoint, and `data`, the generated images.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import load_config, read_yaml
from longtail.engine.inputs import INPUTS, input_files
from longtail.engine.preflight import check_names, check_start
from longtail.engine.run_directory import check_writable
from longtail.errors import UserError
from longtail.registry import nearest

CHECKPOINTS = {"best": "best_ensemble.pth", "best_single": "best_single.pth", "last": "last.pth"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
KEYS = ("name", "config", "judge", "set", "take")


@dataclass(frozen=True)
class Taken:
    """What a stage takes from an earlier one.

    Attributes:
        what: best, best_single, last, epoch_N or data.
        stage: name of the earlier one.
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
        """The name of the checkpoint in the run's models/."""
        return CHECKPOINTS.get(self.what, f"{self.what}.pth")

    def __str__(self) -> str:
        return f"{self.what} of {self.stage}"


@dataclass(frozen=True)
class Stage:
    """One step of a recipe.

    Attributes:
        name: of the stage.
        config: its YAML file.
        settings: KEY, VALUE, KEY, VALUE, ... over it.
        takes: key of the tree -> what is put there.
        judged: the checkpoint that is judged; None: the stage trains or generates.
    """

    name: str
    config: Path
    settings: tuple[Any, ...] = ()
    takes: Mapping[str, Taken] = field(default_factory=dict)
    judged: Taken | None = None

    def load(self, taken: Mapping[str, str], *more: Any) -> CfgNode:
        """Return the tree of the stage.

        Args:
            taken: key -> the file that stands for what is taken.
            more: KEY, VALUE, ... over everything else.
        """
        files = [part for key, file in taken.items() for part in (key, file)]
        return load_config(self.config, [*self.settings, *more, *files])


@dataclass(frozen=True)
class Recipe:
    """Stages in their order.

    Attributes:
        path: of the file.
        name: the folder of its stages is OUTPUT_DIR/<name>.
        output: OUTPUT_DIR.
        stages: of which each takes from earlier ones only.
    """

    path: Path
    name: str
    output: str
    stages: tuple[Stage, ...]

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return Path(self.output) / self.name

    def load(self, stage: Stage, taken: Mapping[str, str]) -> CfgNode:
        """Return the tree of one of its stages, see `Stage.load`."""
        return stage.load(taken, "OUTPUT_DIR", self.output, "NAME", f"{self.name}/{stage.name}")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check all of its stages before anything runs.

    Args:
        path: the YAML file.
        overrides: KEY, VALUE, ... for all stages, or STAGE:KEY, VALUE, ... for one; NAME renames the recipe.

    Raises:
        UserError: a file is missing, a key or name is unknown, a stage takes what is not there, a tree is refused.
    """
    path = Path(path)
    content = read_yaml(path, "recipe")
    shared, own = _split(overrides)
    with _told(path):
        _check_keys(content, ("name", "stages"))
        name = _name(shared.pop("NAME", content.get("name")))
        entries = content.get("stages")
        if not isinstance(entries, list) or not entries:
            raise UserError("stages must be a list; each has a name, and a config or what it judges")
    stages: dict[str, Stage] = {}
    for number, entry in enumerate(entries, start=1):
        with _told(path, f"stage {number}"):
            stage = _stage(path.parent, entry, stages)
            stages[stage.name] = _set(stage, {**shared, **own.pop(stage.name, {})})
    for stranger in own:
        raise UserError(f"override {stranger}:...: there is no such stage{nearest(stranger, stages)}")

    output = shared.get("OUTPUT_DIR")
    trees: dict[str, CfgNode] = {}
    for stage in stages.values():
        with _told(path, f"stage {stage.name}"):
            output = output or stage.load(dict.fromkeys(stage.takes, "")).OUTPUT_DIR
            trees[stage.name] = _check(Recipe(path, name, str(output), (stage,)), trees)
    return Recipe(path, name, str(output), tuple(stages.values()))


@contextmanager
def _told(path: Path, where: str = "") -> Iterator[None]:
    """Say of what is wrong in which recipe, and in which stage, it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"recipe {path}: {where}{': ' if where else ''}{error}") from None


def _split(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the overrides for all stages, and those for single ones by their names."""
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


def _stage(folder: Path, entry: Any, earlier: Mapping[str, Stage]) -> Stage:
    """Read one entry of `stages`."""
    _check_keys(entry, KEYS)
    name = _name(entry.get("name"))
    if name in earlier:
        raise UserError(f"there is an earlier stage {name}")
    if ("config" in entry) == ("judge" in entry):
        raise UserError(f"{name} must have either a config, or what it judges")
    settings, takes = entry.get("set") or {}, entry.get("take") or {}
    for key, value in (("set", settings), ("take", takes)):
        if not isinstance(value, dict):
            raise UserError(f"{name}: {key} must hold KEY: VALUE lines, not {value!r}")
    pairs = tuple(part for pair in settings.items() for part in pair)
    if "judge" in entry:
        if takes:
            raise UserError(f"{name} judges; it cannot take anything")
        judged = _taken(entry["judge"], earlier)
        if judged.what == "data":
            raise UserError(f"{name} judges a checkpoint, not data")
        base = earlier[judged.stage]
        return Stage(name, base.config, (*base.settings, *pairs), base.takes, judged)
    if not isinstance(entry["config"], str):
        raise UserError(f"{name}: config must be the path of a YAML file, not {entry['config']!r}")
    for key in takes:
        if key not in INPUTS:
            raise UserError(
                f"nothing can be taken into {key}; there is: {', '.join(INPUTS)}{nearest(str(key), INPUTS)}"
            )
    taken = {key: _taken(value, earlier) for key, value in takes.items()}
    return Stage(name, folder / entry["config"], pairs, taken)


def _taken(text: Any, earlier: Mapping[str, Stage]) -> Taken:
    """Read `last of baseline`."""
    match = re.fullmatch(r"(\S+) of (\S+)", str(text))
    if not match:
        raise UserError(f"{text!r} names nothing to take; expected such as 'last of STAGE'")
    taken = Taken(match[1], match[2])
    words = (*CHECKPOINTS, "epoch_N", "data")
    if taken.what not in (*CHECKPOINTS, "data") and taken.epoch is None:
        raise UserError(f"{taken}: there is no {taken.what}; there is: {', '.join(words)}{nearest(taken.what, words)}")
    if taken.stage not in earlier:
        there = f"earlier stages: {', '.join(earlier)}" if earlier else "this is the first one"
        raise UserError(f"{taken}: there is no earlier stage {taken.stage}; {there}{nearest(taken.stage, earlier)}")
    return taken


def _set(stage: Stage, overrides: Mapping[str, Any]) -> Stage:
    """Return a stage with more settings over its own."""
    for key in overrides:
        if key == "NAME":
            raise UserError("NAME of a stage cannot be set: it is the recipe's and the stage's")
        if key in stage.takes:
            raise UserError(f"{stage.name} takes {key} from {stage.takes[key].stage}; it cannot be set")
    return replace(stage, settings=(*stage.settings, *(part for pair in overrides.items() for part in pair)))


def _check(recipe: Recipe, earlier: Mapping[str, CfgNode]) -> CfgNode:
    """Return the tree of a recipe's only stage, or refuse it; `earlier` are the trees of the stages before it."""
    (stage,) = recipe.stages
    cfg = recipe.load(stage, dict.fromkeys(stage.takes, str(recipe.path)))  # a file that is there, for those to come
    check_names(generating_into(recipe.folder, cfg))
    check_writable(cfg)
    if stage.judged:
        _check_source(stage.judged, earlier[stage.judged.stage], data=False)
        return cfg
    check_start(cfg)
    for key, taken in stage.takes.items():
        if not INPUTS[key].used(cfg):
            raise UserError(f"{key} is taken but not used; that needs {INPUTS[key].switch}")
        _check_source(taken, earlier[taken.stage], INPUTS[key].data)
    for key, file in input_files(cfg).items():
        if key not in stage.takes and not file.is_file():
            raise UserError(f"{key}: file {file} does not exist, and the stage does not take it from another")
    return cfg


def generating_into(folder: Path, cfg: CfgNode) -> CfgNode:
    """Return a tree that generates into a folder; one that generates nothing stays as it is."""
    if not cfg.DATASET.GENERATE_CAM_BASED_DATASET:
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATASET.CAM_DATA_SAVE_PATH = str(folder / "images")
    cfg.DATASET.CAM_DATA_JSON_SAVE_PATH = str(folder / "generated.json")
    cfg.freeze()
    return cfg


def _check_source(taken: Taken, source: CfgNode, data: bool) -> None:
    """Refuse what the earlier stage will not have."""
    generates = bool(source.DATASET.GENERATE_CAM_BASED_DATASET)
    if data != (taken.what == "data"):
        raise UserError(f"{taken} is taken where {'generated data' if data else 'a checkpoint'} must stand")
    if data != generates:
        raise UserError(f"{taken}: that stage {'generates images' if generates else 'trains'}")
    if taken.epoch is None:
        return
    last, step = source.TRAIN.MAX_EPOCH, source.SAVE_STEP
    if taken.epoch > last or step < 1 or taken.epoch % step:
        kept = f"every {step} epochs of {last}" if step >= 1 else "no epoch"
        raise UserError(f"{taken}: that stage keeps {kept} (SAVE_STEP, TRAIN.MAX_EPOCH)")
