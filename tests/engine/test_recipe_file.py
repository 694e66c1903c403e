"""Recipe files: how they are read, and that every mistake in them is one line before anything runs."""

import textwrap

import pytest
from longtail.engine.recipe import run_recipe
from longtail.engine.recipe_file import load_recipe

from longtail.errors import UserError

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
  - name: judged
    judge: best of second
    set:
      TEST.LOGIT_ADJUSTMENT: 0.5
"""


@pytest.fixture
def write(tmp_path):
    """Return a writer of recipe files beside the YAML files of two stages."""
    base = f"DATASET: {{DATASET: digits_lt}}\nBACKBONE: {{TYPE: tiny}}\nOUTPUT_DIR: {tmp_path / 'output'}\n"
    (tmp_path / "first.yaml").write_text(base + "TRAIN: {MAX_EPOCH: 3}\nSAVE_STEP: 2\n")
    (tmp_path / "second.yaml").write_text("_BASE_: first.yaml\nNETWORK: {PRETRAINED: True}\nCLASSIFIER: {TYPE: cRT}\n")
    (tmp_path / "images.yaml").write_text(
        "_BASE_: first.yaml\nDATASET: {GENERATE_CAM_BASED_DATASET: True}\nNETWORK: {PRETRAINED: True}\n"
    )

    def make(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    return make


def test_each_stage_has_its_tree_and_its_folder(write, tmp_path):
    recipe = load_recipe(write(GOOD))
    assert [stage.name for stage in recipe.stages] == ["first", "second", "judged"]
    assert recipe.folder == tmp_path / "output" / "two"
    first, second, judged = (recipe.load(stage, dict.fromkeys(stage.takes, "a.pth")) for stage in recipe.stages)
    assert (first.NAME, second.NAME, judged.NAME) == ("two/first", "two/second", "two/judged")
    assert (first.TRAIN.MAX_EPOCH, second.TRAIN.MAX_EPOCH) == (3, 4)
    assert (second.CLASSIFIER.TYPE, second.NETWORK.PRETRAINED_MODEL) == ("cRT", "a.pth")
    assert (judged.CLASSIFIER.TYPE, judged.TEST.LOGIT_ADJUSTMENT) == ("cRT", 0.5)  # the tree of what it judges
    assert str(recipe.stages[1].takes["NETWORK.PRETRAINED_MODEL"]) == "epoch_2 of first"


def test_overrides_are_for_all_stages_or_for_one(write):
    overrides = ["TRAIN.MAX_EPOCH", "2", "second:TRAIN.MAX_EPOCH", "5", "NAME", "renamed", "OUTPUT_DIR", "elsewhere"]
    recipe = load_recipe(write(GOOD), overrides)
    trees = [recipe.load(stage, dict.fromkeys(stage.takes, "a.pth")) for stage in recipe.stages]
    assert [tree.TRAIN.MAX_EPOCH for tree in trees] == [2, 5, 2]
    assert str(recipe.folder) == "elsewhere/renamed"


def stage(text):
    return "name: r\nstages:\n" + textwrap.indent(textwrap.dedent(text), "  ")


FIRST = "- {name: first, config: first.yaml}\n"
IMAGES = FIRST + "- {name: images, config: images.yaml, take: {NETWORK.PRETRAINED_MODEL: last of first}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "holds a list; it must hold KEY: VALUE lines"),
        ("name: r\n", "stages must be a list; each has a name, and a config or what it judges"),
        ("name: r\nstages: []\n", "stages must be a list"),
        ("stages: [{name: a, config: first.yaml}]\n", "name is None; it must consist of"),
        ("name: a/b\nstages: [{name: a, config: first.yaml}]\n", "name is 'a/b'; it must consist of"),
        ("name: r\nstage: []\n", "unknown key stage; there is: name, stages; did you mean stages?"),
        (
            stage("- first.yaml"),
            "stage 1: expected KEY: VALUE lines (name, config, judge, set, take), not 'first.yaml'",
        ),
        (stage("- {name: a, cfg: first.yaml}"), "stage 1: unknown key cfg; there is: name, config, judge, set, take"),
        (stage("- {name: a}"), "stage 1: a must have either a config, or what it judges"),
        (stage(FIRST + FIRST), "stage 2: there is an earlier stage first"),
        (stage("- {name: a, config: absent.yaml}"), "absent.yaml does not exist"),
        (stage("- {name: a, config: [1]}"), "stage 1: a: config must be the path of a YAML file, not [1]"),
        (stage("- {name: a, config: first.yaml, set: 3}"), "stage 1: a: set must hold KEY: VALUE lines, not 3"),
        (
            stage("- {name: a, config: first.yaml, set: {TRAIN.EPOCHS: 3}}"),
            "stage a: override: unknown key TRAIN.EPOCHS",
        ),
        (stage("- {name: a, config: first.yaml, set: {LOSS.LOSS_TYPE: CE}}"), "stage a: unknown loss 'CE'"),
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
            "stage 2: 'first' names nothing to take; expected such as 'last of STAGE'",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: newest of first}}"),
            "there is no newest; there is: best, best_single, last, epoch_N, data",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: epoch_3 of first}}"),
            "stage b: epoch_3 of first: that stage keeps every 2 epochs of 3 (SAVE_STEP, TRAIN.MAX_EPOCH)",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: epoch_4 of first}}"),
            "stage b: epoch_4 of first: that stage keeps every 2 epochs of 3",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED: last of first}}"),
            "nothing can be taken into NETWORK.PRETRAINED; there is: NETWORK.PRETRAINED_MODEL",
        ),
        (
            stage(FIRST + "- {name: b, config: first.yaml, take: {NETWORK.PRETRAINED_MODEL: last of first}}"),
            "stage b: NETWORK.PRETRAINED_MODEL is taken but not used; that needs NETWORK.PRETRAINED True",
        ),
        (
            stage(FIRST + "- {name: b, config: second.yaml, take: {NETWORK.PRETRAINED_MODEL: data of first}}"),
            "stage b: data of first is taken where a checkpoint must stand",
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
        (stage(FIRST + "- {name: b, judge: last of first, take: {}, config: first.yaml}"), "either a config, or what"),
        (stage(FIRST + "- {name: b, judge: data of first}"), "stage 2: b judges a checkpoint, not data"),
        (stage(IMAGES + "- {name: b, judge: last of images}"), "stage b: last of images: that stage generates images"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(write, tmp_path, text, message):
    path = write(text)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError) as error:
        run_recipe(str(path), "cpu")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "recipe.yaml" in str(error.value) or "absent.yaml" in str(error.value)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("overrides", "resume", "message"),
    [
        (["third:TRAIN.MAX_EPOCH", "2"], "auto", "override third:...: there is no such stage"),
        (["secnd:TRAIN.MAX_EPOCH", "2"], "auto", "there is no such stage; did you mean second?"),
        (["TRAIN.MAX_EPOCH"], "auto", "come in pairs KEY VALUE; 'TRAIN.MAX_EPOCH' has no partner"),
        (["NETWORK.PRETRAINED_MODEL", "a.pth"], "auto", "takes NETWORK.PRETRAINED_MODEL from first; it cannot be set"),
        (["first:NAME", "a"], "auto", "NAME of a stage cannot be set"),
        ([], "some/run", "--resume must be auto or never, not some/run"),
    ],
)
def test_mistakes_in_the_command_are_told(write, overrides, resume, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        run_recipe(str(write(GOOD)), "cpu", resume, overrides)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^recipe .*absent\.yaml does not exist$"):
        load_recipe(tmp_path / "absent.yaml")
