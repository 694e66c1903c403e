"""Recipe files: stages that build on each other, and the config of each stage.

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

`config` is one file or several joined by commas, or "" for the configs before the recipe alone. Paths are relative to
the folder of the recipe file; short names are looked up under configs/. A recipe may be called with configs before it
(`cifar10_im100,crt`): they are put before the config of every stage, and their names before the name of the recipe.

A stage trains; or generates images, if its config has DATASET.GENERATE_CAM_BASED_DATASET; or evaluates a checkpoint of
an earlier stage; or calibrates a correction on one split and reports another. It can take checkpoints (`best`,
`best_single`, `last` or `epoch_N`) and generated images (`data`) from earlier stages.

A calibration chooses TEST.LOGIT_ADJUSTMENT or TEST.TAU_NORM.TAU from `values`, or computes TEST.TEMPERATURE or
TEST.CLASS_OFFSETS (for the latter, `objective` is macro_f1 or balanced_accuracy). `hold_out` is for data without a test
split: the value is chosen on this fraction of the validation images, and the others are reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import find_config, read_yaml, split_paths
from longtail.distributed import Place
from longtail.errors import UserError
from longtail.registry import nearest
from longtail.runs.directory import check_writable
from longtail.runs.inputs import condition_of, input_files, is_used, kind_of
from longtail.stages.checks import check_abilities, check_names, check_start
from longtail.stages.recipe_stage import (
    Artifact,
    Stage,
    check_keys,
    generating_into,
    read_name,
    read_stage,
    with_own_settings,
    with_settings,
)


@dataclass(frozen=True)
class Recipe:
    """Stages in their order.

    Attributes:
        path: File of the recipe.
        name: Name of the recipe; the folder of its stages is OUTPUT_DIR/<name>.
        output: OUTPUT_DIR.
        stages: Stages, each of which takes files of earlier ones only.
    """

    path: Path
    name: str
    output: str
    stages: tuple[Stage, ...]

    @property
    def folder(self) -> Path:
        """Folder of all outputs."""
        return Path(self.output) / self.name

    def load(self, stage: Stage, taken: Mapping[str, str]) -> CfgNode:
        """Return the config of one of its stages, see `Stage.load`."""
        return stage.load(taken, "OUTPUT_DIR", self.output, "NAME", f"{self.name}/{stage.name}")

    def placeholder(self, stage: Stage) -> CfgNode:
        """Return the config of one of its stages with the recipe's own file, which exists, for each that it takes."""
        return self.load(stage, dict.fromkeys(stage.takes, str(self.path)))


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, place: Place | None = None) -> Recipe:
    """Read a recipe and check all of its stages before anything runs.

    Args:
        source: YAML file or short name of the recipe, optionally after configs of the data, joined by commas.
        overrides: KEY, VALUE, ... for all stages, or STAGE:KEY, VALUE, ... for one; NAME renames the recipe.
        place: Processes and devices that will run it; None: what they can do is not checked.

    Raises:
        UserError: A file is missing, a key or name is unknown, a stage takes what does not exist, or a config is
            refused.
    """
    *data, last = split_paths(source)
    path = find_config(last)
    content = read_yaml(path, "recipe")
    shared, own = _split(overrides)
    with _errors_name(path):
        check_keys(content, ("name", "stages"))
        named = read_name(content.get("name"))
        name = read_name(shared.pop("NAME", "_".join([*(Path(part).stem for part in data), named])))
        entries = content.get("stages")
        if not isinstance(entries, list) or not entries:
            raise UserError("stages must be a list; each needs a name, and one of config, evaluate and calibrate")
    stages: dict[str, Stage] = {}
    for number, entry in enumerate(entries, start=1):
        with _errors_name(path, f"stage {number}"):
            stage = read_stage(path.parent, entry, data=tuple(data), earlier=stages)
            stages[stage.name] = with_own_settings(with_settings(stage, shared), own.pop(stage.name, {}))
    for unknown in own:
        raise UserError(f"override {unknown}:...: there is no such stage{nearest(unknown, stages)}")

    output = shared.get("OUTPUT_DIR")
    configs: dict[str, CfgNode] = {}
    for stage in stages.values():
        with _errors_name(path, f"stage {stage.name}"):
            output = output or stage.load(dict.fromkeys(stage.takes, "")).OUTPUT_DIR
            configs[stage.name] = _check(Recipe(path, name, str(output), (stage,)), configs, place=place)
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
        raise UserError(f"overrides come in pairs KEY VALUE; {overrides[-1]!r} has no value")
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        stage, colon, rest = key.partition(":")
        if colon:
            own.setdefault(stage, {})[rest] = value
        else:
            shared[key] = value
    return shared, own


def _check(recipe: Recipe, earlier: Mapping[str, CfgNode], *, place: Place | None) -> CfgNode:
    """Check and return the config of a recipe's only stage; `earlier` are the configs of the stages before it."""
    (stage,) = recipe.stages
    cfg = recipe.placeholder(stage)
    check_names(generating_into(recipe.folder, cfg))
    check_writable(cfg)
    if stage.evaluates:
        _check_source(stage.evaluates, earlier[stage.evaluates.stage], data=False)
        if stage.calibration:
            stage.calibration.check(cfg)
        return cfg
    check_start(cfg)
    if place and not cfg.DATASET.GENERATE_CAM_BASED_DATASET:
        check_abilities(cfg, place)
    for key, artifact in stage.takes.items():
        if not is_used(cfg, key):
            raise UserError(f"{key} is taken but not used; it needs {condition_of(key)}")
        _check_source(artifact, earlier[artifact.stage], data=kind_of(key) == "images")
    for key, file in input_files(cfg).items():
        if key not in stage.takes and not file.is_file():
            raise UserError(f"{key}: file {file} does not exist, and the stage does not take it from an earlier one")
    return cfg


def _check_source(artifact: Artifact, source: CfgNode, *, data: bool) -> None:
    """Refuse an artifact that the earlier stage will not produce."""
    generates = bool(source.DATASET.GENERATE_CAM_BASED_DATASET)
    if data != (artifact.what == "data"):
        raise UserError(f"{artifact} is taken where {'generated data' if data else 'a checkpoint'} is needed")
    if data != generates:
        raise UserError(f"{artifact}: that stage {'generates images' if generates else 'trains'}")
    if artifact.epoch is None:
        return
    last, step = source.TRAIN.MAX_EPOCH, source.SAVE_STEP
    if artifact.epoch > last or step < 1 or artifact.epoch % step:
        kept = f"checkpoints every {step} epochs, up to {last}" if step >= 1 else "no checkpoints of epochs"
        raise UserError(f"{artifact}: that stage keeps {kept} (SAVE_STEP, TRAIN.MAX_EPOCH)")
