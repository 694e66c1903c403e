"""The values of the shipped configs are those of the published files of Bag of Tricks and NCL."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from longtail.config import flatten, load_config
from longtail.engine.optim import learning_rates
from longtail.stages.checks import check_names
from longtail.stages.recipe_file import Recipe, load_recipe
from tests.helpers.released_files import bag_of_tricks_files, flat, ncl_files

SETS = ("cifar10_im100", "cifar10_im50", "cifar100_im100", "cifar100_im50")
RELEASED = dict([*bag_of_tricks_files(), *ncl_files()])
# Names, logging, workers, precision; and what nothing reads in these configs.
FREE: tuple[str, ...] = (
    "NAME",
    "OUTPUT_DIR",
    "SAVE_STEP",
    "SHOW_STEP",
    "DATASET.LOADER",
    "TRAIN.NUM_WORKERS",
    "TEST.NUM_WORKERS",
    "TEST.BATCH_SIZE",
)
FREE += ("TRAIN.AMP", "TRAIN.APEX", "TRANSFORMS.TRAIN_TRANSFORMS", "LOSS.HCM_N", "LOSS.SEQL.LAMBDA")
# Settings of losses that a data config holds and another loss does not read.
PER_LOSS = {"ClassBalanceCE": "LOSS.ClassBalanceCE.", "ClassBalanceFocal": "LOSS.ClassBalanceFocal."}
Differences = dict[str, tuple[Any, Any]]


def differences(own: CfgNode, other: CfgNode, free: tuple[str, ...] = ()) -> Differences:
    """Return {key: (own value, other value)} of the keys that differ, except `free`."""
    pairs = zip(flatten(own), flatten(other), strict=True)
    return {key: (mine, theirs) for (key, mine), (_, theirs) in pairs if mine != theirs and key not in free}


def released(name: str) -> CfgNode:
    """Return the config of a published file."""
    content = flat(RELEASED[name])
    return load_config(None, [part for pair in content.items() if pair[1] is not None for part in pair])


def unlike_released(own: CfgNode, name: str, free: tuple[str, ...] = ()) -> Differences:
    """Return the differences from a published file, except `FREE`, `free` and the settings of other losses."""
    theirs = released(name)
    unread = tuple(prefix for loss, prefix in PER_LOSS.items() if loss != own.LOSS.LOSS_TYPE)
    needed = tuple(key for key in FREE if key != "LOSS.SEQL.LAMBDA" or own.LOSS.LOSS_TYPE != "SEQL")
    found = differences(own, theirs, needed + free)
    return {key: values for key, values in found.items() if not (unread and key.startswith(unread))}


# Our methods -> the release's group of files.
LOSSES = {
    "balanced_softmax": "bsce",
    "cbce": "cbce",
    "cbfocal": "cbfocal",
    "cdt": "cdt",
    "csce": "csce",
    "csce_sqrt": "csce_square",
    "focal": "focal",
    "label_aware_smoothing": "celas",
    "label_smoothing": "cels",
    "ldam": "ldam",
    "seql": "seql",
}
DEFERRED = [loss for loss in LOSSES if loss not in ("csce_sqrt", "seql")]  # which have no published file
SAMPLERS = {"balance": "balance", "square_root": "square", "progressive": "progressive"}
METHODS = {
    "ce": "baseline",
    **{method: f"re_weighting/{theirs}" for method, theirs in LOSSES.items()},
    **{method: f"re_sampling/{theirs}" for method, theirs in SAMPLERS.items()},
    "bbn": "re_sampling/bbn",
    "mixup,epochs_400": "mixup/input_mixup",
    "manifold_mixup,epochs_400": "mixup/manifold_mixup",
    "remix,epochs_400": "mixup/remix",
    **{f"{method},drw": f"two_stage/drw/{LOSSES[method]}" for method in DEFERRED},
    "drw_influence": "two_stage/drw/ibloss",
    **{f"{method},drs": f"two_stage/drs/{theirs}" for method, theirs in SAMPLERS.items()},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", SETS)
def test_methods_have_the_values_of_bag_of_tricks(data: str, method: str) -> None:
    own, name = load_config(f"{data},{method},every_epoch"), f"{METHODS[method]}/{data}"
    different = unlike_released(own, name)
    if name == "re_weighting/csce_square/cifar10_im100":  # the release repeats csce there
        assert different.pop("LOSS.CostSensitiveCE.GAMMA") == (0.5, 1.0)
    assert different == {}


def test_methods_cover_every_group_of_bag_of_tricks() -> None:
    groups = {name.removesuffix(f"/{SETS[0]}") for name in RELEASED if name.endswith(SETS[0])}
    assert groups == {*METHODS.values(), *STAGES.values(), "two_stage/drs/cam_based_sampling/generate"}


NCL = {
    "cifar100_im100_json,ncl": "cifar100_im100_NCL",
    "cifar100_im100_json,ncl_contrastive": "cifar100_im100_NCL_with_contrastive",
    "cifar100_im100_json,ncl_plus": "cifar100_im100_NCL++",
    "imagenet_lt,ncl": "ImageNet_LT",
    "inat18,ncl": "inat18_NCL",
    "places_lt,ncl_contrastive": "Places_LT_NCL",
}
# Paths; what the release does without a key; and what is not used: INPUT_SIZE of small images, the milestones of a
# cosine schedule, whose end 0 is MAX_EPOCH, and the backbone of one expert.
FREE_NCL: tuple[str, ...] = ("DATASET.TRAIN_JSON", "DATASET.VALID_JSON", "BACKBONE.PRETRAINED_MODEL")
FREE_NCL += ("NETWORK.MOCO_RELEASED", "TRAIN.DISTRIBUTED", "TRAIN.SYNCBN")
FREE_NCL += ("INPUT_SIZE", "TRAIN.LR_SCHEDULER.LR_STEP", "TRAIN.LR_SCHEDULER.COSINE_DECAY_END", "BACKBONE.TYPE")


@pytest.mark.parametrize(("source", "name"), NCL.items())
def test_ncl_methods_have_the_values_of_ncl(source: str, name: str) -> None:
    own, theirs = load_config(f"{source},released"), released(name)
    assert unlike_released(own, name, FREE_NCL) == {}
    assert theirs.LOSS.HCM_N == own.LOSS.HCM_N
    assert learning_rates(theirs) == learning_rates(own)


UNLIKE_RELEASED = {"TRAIN.OPTIMIZER.CLIP_NORM": (1.0, 0.0), "NETWORK.MOCO_RELEASED": (False, True)}


@pytest.mark.parametrize("method", ["ncl", "ncl_contrastive", "ncl_plus"])
def test_what_the_modifier_released_changes(method: str) -> None:
    """docs/differences.md and the file name these keys."""
    small, large = (
        differences(load_config(f"{data},{method}"), load_config(f"{data},{method},released"), ("NAME",))
        for data in ("cifar100_im100", "imagenet_lt")
    )
    assert small == UNLIKE_RELEASED
    assert large == {"NETWORK.MOCO_RELEASED": (False, True), "DATASET.LOADER": ("fast", "pillow")}


def test_ncl_methods_cover_every_published_file() -> None:
    assert set(NCL.values()) == dict(ncl_files()).keys()


# Recipes


STAGES = {
    ("crt", "classifier"): "two_stage/classifier_balance/cRT",
    ("lws", "classifier"): "two_stage/classifier_balance/LWS",
    ("tau_norm", "tau_norm"): "two_stage/classifier_balance/tau_norm",
    ("dive", "teacher"): "DiVE/teacher",
    ("dive", "student"): "DiVE/student",
    ("cam_balance", "first"): "two_stage/drs/cam_based_sampling/first_stage",
    ("cam_balance", "second"): "two_stage/drs/cam_based_sampling/second_stage_balance",
    ("cam_square_root", "second"): "two_stage/drs/cam_based_sampling/second_stage_square",
    ("cam_progressive", "second"): "two_stage/drs/cam_based_sampling/second_stage_progressive",
}
PATHS: tuple[str, ...] = (
    "NETWORK.PRETRAINED_MODEL",
    "TRAIN.COMBINER.DIVE.TEACHER_MODEL",
    "TEST.MODEL_FILE",
    "VALID_STEP",
)
PATHS += ("DATASET.CAM_DATA_JSON_SAVE_PATH", "DATASET.CAM_DATA_SAVE_PATH")


@cache
def recipe_of(source: str) -> Recipe:
    return load_recipe(source)


def stage_config(source: str, name: str) -> CfgNode:
    recipe = recipe_of(source)
    stage = next(stage for stage in recipe.stages if stage.name == name)
    return recipe.placeholder(stage)


@pytest.mark.parametrize(("recipe", "stage"), STAGES)
@pytest.mark.parametrize("data", ["cifar10_im100", "cifar100_im100"])
def test_recipe_stages_have_the_values_of_bag_of_tricks(data: str, recipe: str, stage: str) -> None:
    own = stage_config(f"{data},{recipe}", stage)
    different = unlike_released(own, f"{STAGES[recipe, stage]}/{data}", PATHS)
    if stage == "first":  # the release's second step is after the end
        assert different.pop("TRAIN.LR_SCHEDULER.LR_STEP", ([160, 180],) * 2) == ([160, 180], [160, 180])
    if (stage, data) == ("second", "cifar100_im100"):  # the release warms up on one of four data sets
        assert different.pop("TRAIN.LR_SCHEDULER.TYPE") == ("multistep", "warmup")
    assert different == {}


@pytest.mark.parametrize("stage", ["first", "second", "third"])
def test_bag_of_tricks_of_imagenet_has_the_released_values(stage: str) -> None:
    own = stage_config("imagenet_bag_of_tricks", stage)
    files = ("DATASET.TRAIN_JSON", "DATASET.VALID_JSON", "DATASET.CAM_NUMBER_THRES", "TRAIN.SYNCBN")
    assert tuple(own.TRANSFORMS.TRAIN_TRANSFORMS)[-1] == "color_jitter"
    assert unlike_released(own, f"ImageNet_LT/combinations/{stage}_stage", (*PATHS, *files)) == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [("imagenet_lt,ce_r10", "ImageNet_LT/imagenetlt_baseline"), ("inat18,ce_r50", "iNat18/iNat18_baseline")],
)
def test_baselines_on_large_images_have_the_released_values(source: str, name: str) -> None:
    free = ("DATASET.TRAIN_JSON", "DATASET.VALID_JSON", "VALID_STEP", "TRAIN.DISTRIBUTED", "TRAIN.SYNCBN")
    assert unlike_released(load_config(source), name, free) == {}


@pytest.mark.parametrize("source", ["imagenet_lt,ce_r10", "inat18,ce_r50", "places_lt,ce_r152", "imagenet_lt,ncl"])
def test_baselines_and_ncl_synchronize_batch_norm_on_large_images(source: str) -> None:
    assert load_config(source).TRAIN.SYNCBN  # the releases ignore the key and always do, when distributed


@pytest.mark.parametrize(("recipe", "threshold"), [("imagenet_bag_of_tricks", 100), ("inat18_bag_of_tricks", 50)])
def test_bag_of_tricks_of_large_images_has_the_released_threshold(recipe: str, threshold: int) -> None:
    data = stage_config(recipe, "images").DATASET
    assert (True, threshold) == (data.GENERATE_CAM_BASED_DATASET, data.CAM_NUMBER_THRES)


def test_bag_of_tricks_of_cifar_trains_for_320_and_80_and_20_epochs() -> None:
    stages = [stage_config("cifar10_im100,bag_of_tricks", name) for name in ("first", "second", "third")]
    assert [stage.TRAIN.MAX_EPOCH for stage in stages] == [320, 80, 20]
    assert [stage.TRAIN.COMBINER.TYPE for stage in stages] == ["mixup", "mixup", "supervised"]
    assert [stage.TRAIN.LR_SCHEDULER.LR_STEP for stage in stages] == [[320, 360], [40], [8, 16]]
    assert [stage.TRAIN.LR_SCHEDULER.LR_FACTOR for stage in stages] == [0.01, 0.01, 0.1]
    assert [stage.TRAIN.OPTIMIZER.BASE_LR for stage in stages] == [0.1, 0.001, 0.001]
    assert [stage.TRAIN.SAMPLER.TYPE for stage in stages] == ["default", "weighted sampler", "weighted sampler"]
    assert [stage.DATASET.USE_CAM_BASED_DATASET for stage in stages] == [False, True, False]


# Compositions


def changes(source: str) -> dict[str, Any]:
    """Return the keys by which a composition differs from cross-entropy."""
    found = differences(load_config("cifar10_im100,ce"), load_config(f"cifar10_im100,{source}"), ("NAME",))
    return {key: value for key, (_, value) in found.items()}


@pytest.mark.parametrize("mixup", ["mixup", "manifold_mixup", "remix"])
@pytest.mark.parametrize("other", ["csce", "balanced_softmax", "balance", "progressive"])
def test_combination_of_two_methods_is_both_in_any_order(mixup: str, other: str) -> None:
    both = changes(mixup) | changes(other)
    assert changes(f"{mixup},{other}") == changes(f"{other},{mixup}") == both
    assert set(changes(mixup)) & set(changes(other)) == set()


FILES = ("DATASET.TRAIN_JSON", "train.json", "DATASET.VALID_JSON", "valid.json")


@pytest.mark.parametrize("method", METHODS)
def test_methods_need_no_annotation_files_and_take_them(method: str) -> None:
    archive = load_config(f"cifar10_im100,{method}")
    assert archive.DATASET.DATASET == "cifar10_lt"
    files = load_config(f"cifar10_im100,{method}", FILES)
    check_names(files)
    replaced = ("DATASET.DATASET", "DATASET.TRAIN_JSON", "DATASET.VALID_JSON")
    assert set(differences(archive, files)) == set(replaced)
    assert files.DATASET.DATASET == "annotations"


def test_older_data_set_name_of_cifar_reads_annotation_files() -> None:
    older = load_config("cifar10_im100,ce", ["DATASET.DATASET", "CIFAR", "DATASET.NORMALIZATION", "", *FILES])
    check_names(older)
    assert (older.DATASET.DATASET, older.DATASET.VIEWS, older.DATASET.NORMALIZATION) == (
        "annotations",
        ["transforms"],
        "imagenet",
    )
    assert older.TRANSFORMS.TRAIN_TRANSFORMS == ("random_crop", "random_horizontal_flip")


@pytest.mark.parametrize("recipe", sorted({recipe for recipe, _ in STAGES} | {"bag_of_tricks"}))
def test_recipes_take_annotation_files(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES[1::2]:
        Path(name).touch()
    stages = load_recipe(f"cifar10_im100,{recipe}", FILES)
    for stage in stages.stages:
        cfg = stages.placeholder(stage)
        assert cfg.DATASET.DATASET == "annotations"
