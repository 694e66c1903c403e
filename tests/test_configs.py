"""Every configuration that ships: it loads, its names exist, its parts fit together, it trains and judges."""

import re
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import torch
from yacs.config import CfgNode

from longtail.config import dataset_parts, expert_backbones, load_config, method_name, read_yaml
from longtail.data import Splits, build_loaders
from longtail.data.dataset import ImageSet
from longtail.data.long_tail import class_counts
from longtail.engine.assembly import autocast
from longtail.engine.evaluator import evaluate
from longtail.engine.optim import build_optimizer, learning_rates
from longtail.engine.preflight import check_names
from longtail.engine.recipe_file import Recipe, load_recipe
from longtail.evaluation import Judge
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import build_model

ROOT = Path(__file__).parents[1]
YAML = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml"))
RECIPES = [file for file in YAML if Path(file).parent.name == "recipes"]
STAGES = [file for file in YAML if Path(file).parent.parent.name == "recipes"]
RUNNABLE = [file for file in YAML if "/_base_/" not in file and file not in (*RECIPES, *STAGES)]
# The tricks of one data set; config/test_trick_files.py compares those of the others with them.
FILES = [file for file in RUNNABLE if "/tricks/" not in file or file.startswith("configs/cifar10_lt/im100/")]
CLASSES = {"cifar10": 10, "cifar100": 100, "digits": 10, "imagenet": 1000, "inat18": 8142, "places": 365}
RATIOS = {"im100": 0.01, "im50": 0.02, "im10": 0.1}
WARM_UP = [0.4667, 0.6, 0.7333, 0.8667, 1.0]  # of the first epochs
COMMANDS = (
    r"# bash data_parallel_train\.sh (?P<file>\S+) 0",
    r"# bash distributed_data_parallel_train\.sh (?P<file>\S+) (?P<count>\d+) (?P<gpus>\d+(?:,\d+)*)",
    r"# python main/train\.py --(?P<option>cfg|recipe) (?P<file>\S+)(?: --gpus 0)?",
)


def load(file: str, *overrides: object) -> CfgNode:
    return load_config(ROOT / file, overrides)


def classes_of(file: str) -> int:
    return CLASSES[file.split("/")[1].removesuffix("_lt")]


def counts_of(cfg: CfgNode, file: str) -> list[int]:
    return class_counts(500, classes_of(file), cfg.DATASET.IMBALANCECIFAR.RATIO)


def test_the_configurations_that_were_promised_are_there():
    methods = ("", "_contrastive", "_plus")
    small = {f"cifar{classes}_lt/{factor}/ncl" for classes, factor in product((10, 100), RATIOS)}
    large = {"imagenet_lt/ncl_r50", "imagenet_lt/ncl_x50", "inat18/ncl", "places_lt/ncl"}
    assert {f"configs/{name}{method}.yaml" for name, method in product(small | large, methods)} <= set(FILES)
    assert {f"configs/{name.removesuffix('ncl')}ce.yaml" for name in small} <= set(FILES)


@pytest.mark.parametrize("file", [*RUNNABLE, *RECIPES])
def test_the_first_line_is_the_command(file):
    line = (ROOT / file).read_text().splitlines()[0]
    match = next(match for match in (re.fullmatch(pattern, line) for pattern in COMMANDS) if match)
    assert match["file"] == file
    if "count" in match.groupdict():
        assert match["gpus"] == ",".join(map(str, range(int(match["count"]))))
    if "option" in match.groupdict():
        assert match["option"] == ("recipe" if file in RECIPES else "cfg")


@cache
def recipe_of(file: str) -> Recipe:
    return load_recipe(ROOT / file)


@pytest.mark.parametrize("file", RECIPES)
def test_recipes_and_all_of_their_stages_load(file):
    recipe = recipe_of(file)
    assert recipe.name == own_name(file)
    for stage in recipe.stages:
        assert f"{recipe.name}/{stage.name}" == recipe.load(stage, dict.fromkeys(stage.takes, "a file")).NAME


def own_name(file: str) -> str:
    """`cifar10_im100_crt` of configs/cifar10_lt/im100/recipes/crt.yaml."""
    _, folder, *factor, _, name = file.removesuffix(".yaml").split("/")
    return "_".join([folder.removesuffix("_lt") if factor else folder, *factor, name])


def test_every_stage_file_belongs_to_a_recipe():
    used = {stage.config.resolve() for file in RECIPES for stage in recipe_of(file).stages}
    assert {(ROOT / file).resolve() for file in STAGES} <= used


@pytest.mark.parametrize("head", ["cRT", "LWS"])
def test_classifiers_are_trained_as_released(head):
    recipe = recipe_of(f"configs/cifar10_lt/im100/recipes/{head.lower()}.yaml")
    baseline, classifier = (recipe.load(stage, dict.fromkeys(stage.takes, "a file")) for stage in recipe.stages)
    assert baseline.TRAIN.MAX_EPOCH == 200
    assert learning_rates(classifier) == pytest.approx(
        [0.1 * f for f in WARM_UP] + [0.1] * 4 + [0.01] * 10 + [0.001] * 11, rel=1e-3
    )
    assert classifier.TRAIN.OPTIMIZER.WEIGHT_DECAY == 5e-4
    assert (head, "weighted sampler") == (classifier.CLASSIFIER.TYPE, classifier.TRAIN.SAMPLER.TYPE)
    assert classifier.TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE == "balance"


def test_names_are_told_apart():
    names = [*(read_yaml(ROOT / file)["NAME"] for file in RUNNABLE), *(recipe_of(file).name for file in RECIPES)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("file", [file for file in FILES if "/cifar" in file and "/tricks/" not in file])
def test_folders_say_what_the_data_are(file):
    cfg, (_, folder, factor, *_) = load(file), file.split("/")
    name = folder.removesuffix("_lt")
    assert dataset_parts(cfg).source == "annotations"
    assert f"dataset/{folder}/{name}_{factor}_train.json" == cfg.DATASET.TRAIN_JSON
    assert f"dataset/{folder}/{name}_valid.json" == cfg.DATASET.VALID_JSON
    assert RATIOS[factor] == cfg.DATASET.IMBALANCECIFAR.RATIO  # of the archive, where there are no annotation files
    archive = load(file, "DATASET.DATASET", folder, "DATASET.TRAIN_JSON", "", "DATASET.VALID_JSON", "")
    check_names(archive)
    assert replace(dataset_parts(archive), source="annotations") == dataset_parts(cfg)


@pytest.mark.parametrize("file", FILES)
def test_names_stand_for_parts_and_the_parts_fit(file):
    cfg, classes = load(file), classes_of(file)
    check_names(cfg)
    assert len(learning_rates(cfg)) == cfg.TRAIN.MAX_EPOCH
    with torch.device("meta"):
        network = build_model(cfg, classes)
    side = 32 if cfg.BACKBONE.TYPE == "res32_cifar" else 64
    output = network(torch.empty(2, 3, side, side, device="meta"))
    assert output.logits.shape == (len(expert_backbones(cfg)), 2, classes)
    loss = build_loss(cfg, counts_of(cfg, file))
    build_method(cfg, network, loss)
    if "ncl" in Path(file).name:
        assert loss.nested
        share = 122 / 365 if "places" in file else 0.3  # a third where the release has a third
        assert cfg.LOSS.HCM_N / classes == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("file", FILES)
def test_two_steps_and_a_judgement(file):
    """On noise of 32 pixels; large sets with batches of two and short queues, their networks as they are."""
    small = "/cifar" in file or "/digits" in file
    sizes = ["TRAIN.BATCH_SIZE", 4] if small else ["TRAIN.BATCH_SIZE", 2, "INPUT_SIZE", [32, 32], "NETWORK.MOCO_K", 16]
    cfg, classes = load(file, *sizes), classes_of(file)
    batch_size = cfg.TRAIN.BATCH_SIZE
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2 * batch_size + 1, 3, 32, 32), dtype=torch.uint8, generator=random)
    labels = torch.randint(classes, (len(pixels),), generator=random).tolist()
    images = ImageSet.from_tensor(file, pixels, labels=labels, num_classes=classes)
    loaders = build_loaders(cfg, Splits(images, images))
    torch.manual_seed(0)
    network = build_model(cfg, classes)
    method = build_method(cfg, network, build_loss(cfg, counts_of(cfg, file)))
    optimizer = build_optimizer(cfg, network, fused=False)
    first = next(network.experts[-1].parameters())
    before = first.detach().clone()
    epoch = cfg.TRAIN.MAX_EPOCH  # in which everything deferred acts
    method.set_epoch(epoch)
    batches = list(loaders.train.epoch(epoch))
    assert len(batches) == 2
    views, classified = {"plus": (cfg.DATASET.INTRA_N,) * 2, "contrastive": (2, 1)}.get(
        file[:-5].split("_")[-1], (1, 1)
    )
    paired = cfg.TRAIN.SAMPLER.TYPE == "bbn sampler"
    if paired and method_name(cfg) == "plain":  # the partners are rows of their own
        classified *= 2
    for batch in batches:
        assert batch.images.shape == (views, batch_size, 3, 32, 32)
        assert (batch.partner is not None) == paired
        step = method.training_step(batch.with_images(loaders.normalize))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        assert step.loss.isfinite()
        assert step.logits.shape == (len(network.experts), classified * batch_size, classes)
    if "plus" in file:
        assert list(step.parts) == ["ce", "hard_ce", "intra", "inter"]
    assert not torch.equal(first, before)

    cpu = torch.device("cpu")
    judge = Judge(classes, len(network.experts), counts_of(cfg, file), device=cpu)
    evaluate(network, loaders.valid, loaders.normalize, judge, cpu, autocast("off", cpu))
    assert int(judge.confusion("ensemble").matrix.sum()) == len(pixels)
