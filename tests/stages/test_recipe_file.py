"""Recipe files: how they are read, and that every error in them is reported in one line before anything runs."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from longtail.distributed import Place
from longtail.errors import UserError
from longtail.stages.calibration_spec import Calibration
from longtail.stages.recipe import run_recipe
from longtail.stages.recipe_file import load_recipe
from tests.helpers.training import CPU

GOOD = """
name: two
stages:
  - name: first
    config: first.yaml
  - name: second
    config: second.yaml
    set:
      TRAIN.MAX_EPOCH: 4
    take:
      NETWORK.PRETRAINED_MODEL: epoch_2 of first
  - name: evaluated
    evaluate: best of second
    set:
      TEST.LOGIT_ADJUSTMENT: 0.5
  - name: calibrated
    calibrate: last of second
    over: TEST.TAU_NORM.TAU
    values: [0, 0.5]
    report_on: valid
    same_split: True
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes recipe files next to the configs of two stages."""
    base = f"DATASET: {{DATASET: digits_lt}}\nBACKBONE: {{TYPE: tiny}}\nOUTPUT_DIR: {tmp_path / 'output'}\n"
    (tmp_path / "first.yaml").write_text(base + "TRAIN: {MAX_EPOCH: 3}\nSAVE_STEP: 2\n")
    (tmp_path / "second.yaml").write_text("_BASE_: first.yaml\nNETWORK: {PRETRAINED: True}\nCLASSIFIER: {TYPE: cRT}\n")
    (tmp_path / "images.yaml").write_text(
        "_BASE_: first.yaml\nDATASET: {GENERATE_CAM_BASED_DATASET: True}\nNETWORK: {PRETRAINED: True}\n"
    )

    def make(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    return make


def test_each_stage_has_its_config_and_folder(write: Write, tmp_path: Path) -> None:
    recipe = load_recipe(write(GOOD))
    names = ["first", "second", "evaluated", "calibrated"]
    assert [stage.name for stage in recipe.stages] == names
    assert recipe.folder == tmp_path / "output" / "two"
    configs = [recipe.load(stage, dict.fromkeys(stage.takes, "a.pth")) for stage in recipe.stages]
    assert [cfg.NAME for cfg in configs] == [f"two/{name}" for name in names]
    first, second, evaluated, calibrated = configs
    assert (first.TRAIN.MAX_EPOCH, second.TRAIN.MAX_EPOCH) == (3, 4)
    assert (second.CLASSIFIER.TYPE, second.NETWORK.PRETRAINED_MODEL) == ("cRT", "a.pth")
    # What evaluates has the config of what it evaluates.
    assert (evaluated.CLASSIFIER.TYPE, evaluated.TEST.LOGIT_ADJUSTMENT) == ("cRT", 0.5)
    assert calibrated.CLASSIFIER.TYPE == "cRT"
    assert str(recipe.stages[1].takes["NETWORK.PRETRAINED_MODEL"]) == "epoch_2 of first"
    assert recipe.stages[3].calibration == Calibration("TEST.TAU_NORM.TAU", (0.0, 0.5), "valid", "valid")


def test_overrides_are_for_all_stages_or_for_one(write: Write) -> None:
    overrides = ["TRAIN.MAX_EPOCH", "2", "second:TRAIN.MAX_EPOCH", "5", "NAME", "renamed", "OUTPUT_DIR", "elsewhere"]
    recipe = load_recipe(write(GOOD), overrides)
    configs = [recipe.load(stage, dict.fromkeys(stage.takes, "a.pth")) for stage in recipe.stages]
    assert [cfg.TRAIN.MAX_EPOCH for cfg in configs] == [2, 5, 2, 2]
    assert str(recipe.folder) == "elsewhere/renamed"


def test_configs_before_the_recipe_precede_the_config_of_every_stage(write: Write, tmp_path: Path) -> None:
    path = write("name: alone\nstages: [{name: a, config: second.yaml, set: {NETWORK.PRETRAINED: False}}]")
    (tmp_path / "second.yaml").write_text("TRAIN: {MAX_EPOCH: 7}\n")
    data = tmp_path / "data.yaml"
    data.write_text("_BASE_: first.yaml\nSAVE_STEP: 5\n")
    recipe = load_recipe(f"{data},{path}")
    cfg = recipe.load(recipe.stages[0], {})
    assert (cfg.TRAIN.MAX_EPOCH, cfg.SAVE_STEP, cfg.NAME) == (7, 5, "data_alone/a")


def stage(text: str) -> str:
    return "name: r\nstages:\n" + textwrap.indent(textwrap.dedent(text), "  ")


def calibrating(text: str) -> str:
    return stage(FIRST + f"- {{name: b, calibrate: last of first, {text}}}")


FIRST = "- {name: first, config: first.yaml}\n"
IMAGES = FIRST + "- {name: images, config: images.yaml, take: {NETWORK.PRETRAINED_MODEL: last of first}}\n"
KEYS = "name, config, evaluate, calibrate, set, take, over, values, fit_on, report_on, same_split, hold_out, objective"
ONE_OF = "must have exactly one of: config, evaluate, calibrate"
TAU = "over: TEST.TAU_NORM.TAU"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "holds a list; it must hold KEY: VALUE lines"),
        ("name: r\n", "stages must be a list; each needs a name, and one of config, evaluate and calibrate"),
        ("name: r\nstages: []\n", "stages must be a list"),
        ("stages: [{name: a, config: first.yaml}]\n", "name is None; it must consist of"),
        ("name: a/b\nstages: [{name: a, config: first.yaml}]\n", "name is 'a/b'; it must consist of"),
        ("name: r\nstage: []\n", "unknown key stage; available: name, stages; did you mean stages?"),
        (stage("- first.yaml"), f"stage 1: expected KEY: VALUE lines ({KEYS}), not 'first.yaml'"),
        (stage("- {name: a, cfg: first.yaml}"), f"stage 1: unknown key cfg; available: {KEYS}"),
        (stage("- {name: a}"), f"stage 1: a {ONE_OF}"),
        (stage(FIRST + FIRST), "stage 2: there is an earlier stage first"),
        (stage("- {name: a, config: absent.yaml}"), "absent.yaml does not exist"),
        (stage("- {name: a, config: [1]}"), "stage 1: a: config must be a YAML file or short names, not [1]"),
        (stage("- {name: a, config: first.yaml, set: 3}"), "stage 1: a: set must hold KEY: VALUE lines, not 3"),
        (
            stage("- {name: a, config: first.yaml, set: {TRAIN.EPOCHS: 3}}"),
            "stage a: override: unknown key TRAIN.EPOCHS",
        ),
        (stage("- {name: a, config: first.yaml, set: {LOSS.LOSS_TYPE: CE}}"), "stage a: unknown loss 'CE'"),
        (
            stage(FIRST + "- {name: a, config: first.yaml, set: {TRAIN.OPTIMIZER.SAM_RHO: 0.1, TRAIN.AMP: fp16}}"),
            "stage a: TRAIN.OPTIMIZER.SAM_RHO is 0.1: it does not support the gradient scaler of fp16",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: last of frist}}"),
            "stage 2: last of frist: there is no earlier stage frist; earlier stages: first; did you mean first?",
        ),
        (
            stage("- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: last of first}}\n" + FIRST),
            "stage 1: last of first: there is no earlier stage first; this is the first one",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: first}}"),
            "stage 2: 'first' is not an artifact; write for example 'last of STAGE'",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: newest of first}}"),
            "there is no newest; available: best, best_single, last, epoch_N, data",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: epoch_3 of first}}"),
            "stage b: epoch_3 of first: that stage keeps checkpoints every 2 epochs, up to 3 (SAVE_STEP, "
            "TRAIN.MAX_EPOCH)",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: epoch_4 of first}}"),
            "stage b: epoch_4 of first: that stage keeps checkpoints every 2 epochs, up to 3",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED: last of first}}"),
            "take cannot set NETWORK.PRETRAINED; allowed: ",
        ),
        (
            stage(FIRST + "- {name: b, config: first.yaml, take: {NETWORK.PRETRAINED_MODEL: last of first}}"),
            "stage b: NETWORK.PRETRAINED_MODEL is taken but not used; it needs NETWORK.PRETRAINED True",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: data of first}}"),
            "stage b: data of first is taken where a checkpoint is needed",
        ),
        (
            stage(IMAGES + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: last of images}}"),
            "stage b: last of images: that stage generates images",
        ),
        (stage("- {name: b, config: second.yaml}"), "stage b: NETWORK.PRETRAINED_MODEL is empty"),
        (
            stage("- {name: b, config: second.yaml, set: {NETWORK.PRETRAINED_MODEL: absent.pth}}"),
            "stage b: NETWORK.PRETRAINED_MODEL: file absent.pth does not exist",
        ),
        (
            stage("- {name: b, config: first.yaml, set: {CLASSIFIER.TYPE: LWS}}"),
            "stage b: CLASSIFIER.TYPE LWS is trained on a finished backbone",
        ),
        (stage(FIRST + "- {name: b, evaluate: last of first, take: {}, config: first.yaml}"), f"b {ONE_OF}"),
        (stage(FIRST + "- {name: b, evaluate: data of first}"), "stage 2: b: evaluate needs a checkpoint, not data"),
        (
            stage(FIRST + "- {name: b, evaluate: last of first}\n- {name: c, evaluate: last of b}"),
            "stage 3: c: evaluate needs a stage that trains; b does not",
        ),
        (stage(IMAGES + "- {name: b, evaluate: last of images}"), "last of images: that stage generates images"),
        (calibrating("over: TEST.TAU, values: [1]"), "b: over is 'TEST.TAU'; allowed: TEST.LOGIT_ADJUSTMENT, TEST.TAU"),
        (calibrating("values: [1]"), "b: over is None; allowed: "),
        (calibrating(f"{TAU}, values: []"), "b: values is []; it must be a list of numbers, at least 0"),
        (calibrating(f"{TAU}, values: [-1]"), "b: values is [-1]; it must be a list of numbers, at least 0"),
        (calibrating(f"{TAU}, values: [.inf]"), "b: values is [inf]; it must be a list of numbers, at least 0"),
        (calibrating(f"{TAU}, values: [1{'0' * 400}]"), "it must be a list of numbers, at least 0"),
        (calibrating(f"{TAU}, values: [1.0e+30], hold_out: 0.2"), "TEST.TAU_NORM.TAU is 1e+30; it must be between"),
        (calibrating("over: [TEST.TAU_NORM.TAU], values: [1]"), "b: over is ['TEST.TAU_NORM.TAU']; allowed: "),
        (stage("- {name: summary.json, config: first.yaml}"), "a stage cannot be called summary.json"),
        (stage("- {name: a, config: first.yaml, set: {NAME: b}}"), "NAME cannot be set for a stage"),
        (stage("- {name: a, config: first.yaml, set: {OUTPUT_DIR: b}}"), "OUTPUT_DIR cannot be set for a single stage"),
        (
            stage(
                FIRST + "- {name: b, config: second.yaml, set: {NETWORK.PRETRAINED_MODEL: a.pth}, "
                "take: {NETWORK.PRETRAINED_MODEL: last of first}}"
            ),
            "stage 2: b takes NETWORK.PRETRAINED_MODEL from stage first, so it cannot be set",
        ),
        (calibrating(f"{TAU}, values: [True]"), "b: values is [True]; it must be a list of numbers, at least 0"),
        (calibrating(f"{TAU}, values: [1], fit_on: train"), "b: fit_on is 'train'; allowed: valid, test"),
        (
            calibrating(f"{TAU}, values: [1], report_on: valid"),
            "TEST.TAU_NORM.TAU would be chosen on the split that is reported (valid), which overstates the result",
        ),
        (calibrating("over: TEST.TEMPERATURE, values: [1]"), "b: values is [1]; TEST.TEMPERATURE is computed"),
        (
            calibrating("over: TEST.TEMPERATURE, objective: ece"),
            "b: objective of TEST.TEMPERATURE is 'ece'; allowed: nll",
        ),
        (
            calibrating("over: TEST.CLASS_OFFSETS, objective: top1"),
            "b: objective of TEST.CLASS_OFFSETS is 'top1'; allowed: macro_f1, balanced_accuracy",
        ),
        (calibrating("over: TEST.TEMPERATURE, report_on: valid"), "TEST.TEMPERATURE would be chosen on the split"),
        (calibrating(f"{TAU}, values: [1]"), "calibrate reports on the test split, but there is none"),
    ],
)
def test_error_is_one_line_and_nothing_is_written(write: Write, tmp_path: Path, text: str, message: str) -> None:
    path = write(text)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError) as error:
        run_recipe(str(path), place=CPU)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "recipe.yaml" in str(error.value) or "absent.yaml" in str(error.value)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("overrides", "resume", "message"),
    [
        (["third:TRAIN.MAX_EPOCH", "2"], "auto", "override third:...: there is no such stage"),
        (["secnd:TRAIN.MAX_EPOCH", "2"], "auto", "there is no such stage; did you mean second?"),
        (["TRAIN.MAX_EPOCH"], "auto", "come in pairs KEY VALUE; 'TRAIN.MAX_EPOCH' has no value"),
        (
            ["NETWORK.PRETRAINED_MODEL", "a.pth"],
            "auto",
            "takes NETWORK.PRETRAINED_MODEL from stage first, so it cannot be set",
        ),
        (["first:NAME", "a"], "auto", "NAME cannot be set for a stage"),
        (["first:OUTPUT_DIR", "a"], "auto", "OUTPUT_DIR cannot be set for a single stage: set it for the whole recipe"),
        ([], "some/run", "--resume must be auto or never, not some/run"),
    ],
)
def test_invalid_command_is_refused(write: Write, overrides: list[str], resume: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        run_recipe(str(write(GOOD)), place=CPU, resume=resume, overrides=overrides)


def test_processes_wait_as_long_as_the_most_patient_stage_allows(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []

    def connect(place: Place, timeout: float) -> None:
        seconds.append(timeout)
        raise KeyboardInterrupt

    monkeypatch.setattr(Place, "connected", connect)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(str(write(GOOD)), place=CPU, overrides=["second:TRAIN.PEER_TIMEOUT", "25"])
    assert seconds == [25 * 60]


def test_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^recipe .*absent\.yaml does not exist$"):
        load_recipe(tmp_path / "absent.yaml")
    with pytest.raises(UserError, match=r"neither a YAML file, nor a name under configs/, .*; did you mean crt"):
        load_recipe("crtt")
