"""The configurations of Bag of Tricks: the released values, and the same for every data set."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from released_files import bag_of_tricks_files
from yacs.config import CfgNode

from longtail.config import dataset_parts, load_config, method_name
from longtail.engine.preflight import check_names
from longtail.engine.recipe_file import load_recipe

ROOT = Path(__file__).parents[2]
SETS = {
    f"{data}_im{factor}": f"configs/{data}_lt/im{factor}" for data in ("cifar10", "cifar100") for factor in (100, 50)
}
FIRST = "cifar10_im100"
CBFOCAL, SEQL = "LOSS.ClassBalanceFocal", "LOSS.SEQL.LAMBDA"
# What the release chose for each data set; no entry: as for the first one.
OWN = {
    "cbce": {data: {"LOSS.ClassBalanceCE.BETA": 0.9} for data in ("cifar100_im100", "cifar100_im50")},
    "cbfocal": {
        "cifar10_im50": {f"{CBFOCAL}.GAMMA": 2.0},
        "cifar100_im100": {f"{CBFOCAL}.BETA": 0.9},
        "cifar100_im50": {f"{CBFOCAL}.BETA": 0.99},
    },
    "seql": {"cifar100_im100": {SEQL: 0.005}, "cifar100_im50": {SEQL: 0.006}},
}
DATA = ("NAME", "DATASET.DATASET", "DATASET.IMBALANCECIFAR.RATIO", "LOSS.HCM_N")
TRICKS = sorted(
    path.relative_to(ROOT / SETS[FIRST]).as_posix() for path in (ROOT / SETS[FIRST]).glob("tricks/**/*.yaml")
)
RECIPES = sorted(
    path.relative_to(ROOT / SETS[FIRST]).as_posix() for path in (ROOT / SETS[FIRST]).glob("recipes/*.yaml")
)
RELEASED = dict(bag_of_tricks_files())
# Ours -> the release's, where the names differ.
GROUPS = {"re_weighting": "re_weighting", "re_sampling": "re_sampling", "mixup": "mixup"}
GROUPS |= {"drw": "two_stage/drw", "drs": "two_stage/drs"}
RENAMED = {"csce_sqrt": "csce_square", "square_root": "square"}
# What may differ: names, logging, workers, precision.
FREE = ("NAME", "OUTPUT_DIR", "SAVE_STEP", "SHOW_STEP", "TRAIN.NUM_WORKERS", "TEST.NUM_WORKERS", "TEST.BATCH_SIZE")
FREE += ("TRAIN.AMP", "TRAIN.APEX", "DATASET.DATASET", "TRAIN.COMBINER.TYPE")
FREE += ("TRANSFORMS.TRAIN_TRANSFORMS", "LOSS.HCM_N")  # which nothing reads here


@cache
def leaves_of(file: str, *overrides: str) -> dict[str, Any]:
    return leaves(load_config(ROOT / file, overrides))


def leaves(node: CfgNode, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else {f"{prefix}{key}": value}
    return found


def differences(one: dict[str, Any], other: dict[str, Any], free: tuple[str, ...] = ()) -> dict[str, tuple[Any, Any]]:
    return {key: (one[key], other[key]) for key in one if one[key] != other[key] and key not in free}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("data", [data for data in SETS if data != FIRST])
def test_a_trick_is_the_same_on_every_data_set(data, trick):
    first, other = leaves_of(f"{SETS[FIRST]}/{trick}"), leaves_of(f"{SETS[data]}/{trick}")
    name = first["NAME"].removeprefix(f"{FIRST}_")
    assert other["NAME"] == f"{data}_{name}"
    assert other["DATASET.DATASET"] == f"{data.split('_')[0]}_lt"
    assert other["DATASET.IMBALANCECIFAR.RATIO"] == 1 / int(data.split("_im")[1])
    own = OWN.get(Path(trick).stem, {})
    assert {key: value for key, (_, value) in differences(first, other, DATA).items()} == own.get(data, {})


@pytest.mark.parametrize("kind", ["tricks", "recipes"])
def test_every_data_set_has_the_same_files(kind):
    files = {
        data: {p.relative_to(ROOT / root) for p in (ROOT / root / kind).rglob("*.yaml")} for data, root in SETS.items()
    }
    assert files[FIRST]
    assert all(found == files[FIRST] for found in files.values())


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("data", [data for data in SETS if data != FIRST])
def test_a_recipe_is_the_same_on_every_data_set(data, recipe):
    first, other = ((ROOT / SETS[each] / recipe).read_text() for each in (FIRST, data))
    assert first.replace(SETS[FIRST], SETS[data]).replace(FIRST, data) == other
    for stage in load_recipe(ROOT / SETS[FIRST] / recipe).stages:
        if stage.config.parent.name == "stages":
            file = f"recipes/stages/{stage.config.name}"
            trees = (leaves_of(f"{root}/{file}") for root in (SETS[FIRST], SETS[data]))
            assert differences(*trees, DATA) == {}
            assert (ROOT / SETS[FIRST] / file).read_text() == (ROOT / SETS[data] / file).read_text()


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def unlike_the_released(ours: CfgNode, name: str, but: tuple[str, ...] = ()) -> dict[str, tuple[Any, Any]]:
    """What differs from a released file but for `FREE` and `but`; of names, what they stand for is compared."""
    content = flat(RELEASED[name])
    theirs = load_config(None, [part for pair in content.items() for part in pair])
    assert method_name(ours) == method_name(theirs)
    assert dataset_parts(ours) == dataset_parts(theirs)
    return differences(leaves(ours), leaves(theirs), FREE + but)


OLDER = ("tricks/mixup/baseline_400_epochs.yaml", "tricks/drw/csce_sqrt.yaml")  # not in the newest release
NEWEST = [trick for trick in TRICKS if "combinations" not in trick and trick not in OLDER]


@pytest.mark.parametrize("trick", NEWEST)
@pytest.mark.parametrize("data", SETS)
def test_values_are_the_released_ones(data, trick):
    _, *group, name = trick.removesuffix(".yaml").split("/")
    name = "/".join([*(GROUPS[part] for part in group), RENAMED.get(name, name)])
    different = unlike_the_released(load_config(ROOT / SETS[data] / trick), f"{name}/{data}")
    if (name, data) == ("re_weighting/csce_square", "cifar10_im100"):  # the release repeats csce there
        assert different.pop("LOSS.CostSensitiveCE.GAMMA") == (0.5, 1.0)
    assert different == {}


STAGES = {
    ("crt", "classifier"): "two_stage/classifier_balance/cRT",
    ("lws", "classifier"): "two_stage/classifier_balance/LWS",
    ("tau_norm", "tau_norm"): "two_stage/classifier_balance/tau_norm",
    ("dive", "teacher"): "DiVE/teacher",
    ("dive", "student"): "DiVE/student",
    ("cam_drs_balance", "first"): "two_stage/drs/cam_based_sampling/first_stage",
    ("cam_drs_balance", "second"): "two_stage/drs/cam_based_sampling/second_stage_balance",
    ("cam_drs_square_root", "second"): "two_stage/drs/cam_based_sampling/second_stage_square",
    ("cam_drs_progressive", "second"): "two_stage/drs/cam_based_sampling/second_stage_progressive",
}
PATHS = ("NETWORK.PRETRAINED_MODEL", "TRAIN.COMBINER.DIVE.TEACHER_MODEL", "TEST.MODEL_FILE")
PATHS += ("DATASET.CAM_DATA_JSON_SAVE_PATH", "DATASET.CAM_DATA_SAVE_PATH")


def stage_tree(recipe: str, name: str) -> CfgNode:
    stages = load_recipe(ROOT / recipe)
    stage = next(stage for stage in stages.stages if stage.name == name)
    return stages.load(stage, dict.fromkeys(stage.takes, recipe))


@pytest.mark.parametrize(("recipe", "stage"), STAGES)
@pytest.mark.parametrize("data", [FIRST, "cifar100_im100"])
def test_stages_have_the_released_values(data, recipe, stage):
    tree = stage_tree(f"{SETS[data]}/recipes/{recipe}.yaml", stage)
    different = unlike_the_released(tree, f"{STAGES[recipe, stage]}/{data}", PATHS)
    if stage == "first":  # the release's second step is after the end
        assert different.pop("TRAIN.LR_SCHEDULER.LR_STEP", ([160, 180],) * 2) == ([160, 180], [160, 180])
    if (stage, data) == ("second", "cifar100_im100"):  # the release warms up on one of four data sets
        assert different.pop("TRAIN.LR_SCHEDULER.TYPE") == ("multistep", "warmup")
    assert different == {}


@pytest.mark.parametrize("stage", ["first", "second", "third"])
def test_the_bag_of_tricks_of_large_images_has_the_released_values(stage):
    tree = stage_tree("configs/imagenet_lt/recipes/bag_of_tricks.yaml", stage)
    theirs = f"ImageNet_LT/combinations/{stage}_stage"
    files = ("DATASET.TRAIN_JSON", "DATASET.VALID_JSON", "DATASET.VIEWS", "DATASET.NORMALIZATION", "DATASET.TEST_VIEW")
    free = (*PATHS, *files, "DATASET.CAM_NUMBER_THRES", "TRANSFORMS.TRAIN_TRANSFORMS")
    assert tuple(tree.TRANSFORMS.TRAIN_TRANSFORMS)[-1] == "color_jitter"
    assert unlike_the_released(tree, theirs, free) == {}


@pytest.mark.parametrize(("data", "threshold"), [("imagenet_lt", 100), ("inat18", 50)])
def test_generated_images_of_large_sets_have_the_released_threshold(data, threshold):
    tree = stage_tree(f"configs/{data}/recipes/bag_of_tricks.yaml", "images")
    assert (True, threshold) == (tree.DATASET.GENERATE_CAM_BASED_DATASET, tree.DATASET.CAM_NUMBER_THRES)


def test_a_bag_of_tricks_trains_for_320_and_80_and_20_epochs():
    stages = [stage_tree(f"{SETS[FIRST]}/recipes/bag_of_tricks.yaml", name) for name in ("first", "second", "third")]
    assert [stage.TRAIN.MAX_EPOCH for stage in stages] == [320, 80, 20]
    assert [method_name(stage) for stage in stages] == ["mixup", "mixup", "plain"]
    assert [stage.TRAIN.LR_SCHEDULER.LR_STEP for stage in stages] == [[320, 360], [40], [8, 16]]
    assert [stage.TRAIN.LR_SCHEDULER.LR_FACTOR for stage in stages] == [0.01, 0.01, 0.1]
    assert [stage.TRAIN.OPTIMIZER.BASE_LR for stage in stages] == [0.1, 0.001, 0.001]
    assert [stage.TRAIN.SAMPLER.TYPE for stage in stages] == ["default", "weighted sampler", "weighted sampler"]
    assert [stage.DATASET.USE_CAM_BASED_DATASET for stage in stages] == [False, True, False]


@pytest.mark.parametrize("mixup", ["input_mixup", "manifold_mixup", "remix"])
@pytest.mark.parametrize(
    "other", ["re_weighting/csce", "re_weighting/bsce", "re_sampling/balance", "re_sampling/progressive"]
)
def test_a_combination_is_its_two_tricks_together(mixup, other):
    root = SETS[FIRST]
    plain = leaves_of(f"{root}/tricks/baseline.yaml")
    both = leaves_of(f"{root}/tricks/combinations/{mixup}_{other.split('/')[1]}.yaml")
    parts = [leaves_of(f"{root}/tricks/{file}.yaml") for file in (f"mixup/{mixup}", other)]
    changes: dict[str, Any] = {}
    for part in parts:
        changes |= {key: value for key, (_, value) in differences(plain, part, ("NAME",)).items()}
    assert {key: value for key, (_, value) in differences(plain, both, ("NAME",)).items()} == changes


FILES = ("DATASET.TRAIN_JSON", "train.json", "DATASET.VALID_JSON", "valid.json")


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_needs_no_annotation_files_and_takes_them(trick):
    file = ROOT / SETS[FIRST] / trick
    archive = load_config(file)
    assert dataset_parts(archive).source == "cifar10_lt"
    assert dataset_parts(archive).normalization == "cifar"
    files = load_config(file, FILES)
    check_names(files)
    assert dataset_parts(files) == replace(dataset_parts(archive), source="annotations")
    older = load_config(file, ["DATASET.DATASET", "CIFAR", *FILES])  # the data of the older gallery
    check_names(older)
    assert (dataset_parts(older).source, dataset_parts(older).normalization) == ("annotations", "imagenet")
    assert older.TRANSFORMS.TRAIN_TRANSFORMS == ("random_crop", "random_horizontal_flip")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_takes_annotation_files(recipe):
    stages = load_recipe(ROOT / SETS[FIRST] / recipe, FILES)
    for stage in stages.stages:
        assert dataset_parts(stages.load(stage, dict.fromkeys(stage.takes, "a file"))).source == "annotations"
