"""Every file under configs/ loads, its command is correct, its parts can be combined, it trains and is evaluated."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from yacs.config import CfgNode

from longtail.config import (
    configs_folder,
    expert_backbones,
    find_config,
    is_recipe,
    load_config,
    read_yaml,
    short_names,
)
from longtail.data import Splits, build_loaders
from longtail.data.augment import build_policy
from longtail.data.dataset import ImageSet
from longtail.data.loaders.sizes import keeps_size
from longtail.data.long_tail import class_counts
from longtail.distributed import Place
from longtail.engine.inference import evaluate
from longtail.engine.optim import build_optimizer, learning_rates
from longtail.evaluation import Evaluator
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import build_model
from longtail.stages.checks import check_names, check_start
from longtail.stages.recipe_file import Recipe, load_recipe
from longtail.stages.recipe_stage import generating_into
from tests.helpers.methods import KnownData

DATA, METHODS, RECIPES = (short_names((folder,)) for folder in ("data", "methods", "recipes"))
FACTS = {  # data set -> classes, and training images of the largest class
    "cifar10": (10, 5000),
    "cifar100": (100, 500),
    "digits": (10, 50),
    "imagenet": (1000, 1280),
    "inat18": (8142, 1000),
    "own": (10, 500),
    "places": (365, 4980),
}
FACTORS = {"im100": 0.01, "im50": 0.02, "im10": 0.1}
WARM_UP = [0.4667, 0.6, 0.7333, 0.8667, 1.0]  # of the first epochs
SHALLOW = {
    **dict.fromkeys(("res50", "resnext50", "res152"), "res10"),
    "timm/vit_base_patch16_224": "timm/vit_tiny_patch16_224",
}
COMMAND = re.compile(r"# longtail train (\S+)((?: \S+ \S+)*)")
SMALL = ("cifar10", "cifar100", "digits")


def command_of(path: Path) -> tuple[str, list[str]]:
    """Return config source and overrides of the command in the first line of a file."""
    match = COMMAND.fullmatch(path.read_text().splitlines()[0])
    assert match, f"{path} does not begin with its command"
    return match[1], match[2].split()


@cache
def recipe_of(source: str) -> Recipe:
    return load_recipe(source)


def stage_configs(recipe: Recipe) -> list[CfgNode]:
    return [recipe.placeholder(stage) for stage in recipe.stages]


FIRST_LINES = {name: command_of(path) for name, path in [*DATA.items(), *METHODS.items(), *RECIPES.items()]}
COMMANDS = {name: source for name, (source, _) in FIRST_LINES.items()}
TRAININGS = sorted({source for source in COMMANDS.values() if not is_recipe(source)})


@dataclass(frozen=True)
class Facts:
    """Expected properties of a composition, derived from its name."""

    source: str

    @property
    def data(self) -> str:
        """Data set."""
        return self.source.split("_")[0].split(",")[0]

    @property
    def classes(self) -> int:
        return FACTS[self.data][0]

    def counts(self, cfg: CfgNode) -> list[int]:
        """Return class counts of the right length, as steep as the config says."""
        return class_counts(FACTS[self.data][1], self.classes, cfg.DATASET.IMBALANCECIFAR.RATIO)


# Files


def test_every_config_file_has_a_short_name_or_is_a_base() -> None:
    root = configs_folder()
    files = {path for path in root.rglob("*.yaml") if not path.name.startswith("_")}
    assert files == set(short_names().values())
    names = [path.stem for path in files]
    assert len(set(names)) == len(names)  # a name never means two files


@pytest.mark.parametrize("path", sorted(configs_folder().rglob("_*.yaml")), ids=lambda path: path.name)
def test_bases_are_used_and_load(path: Path) -> None:
    load_config(path)
    others = [read_yaml(other).get("_BASE_", []) for other in path.parent.glob("*.yaml")]
    assert any(path.name in ([bases] if isinstance(bases, str) else bases) for bases in others)


def test_promised_compositions_are_there() -> None:
    small = {
        f"{data}_{factor}{kind}" for data in ("cifar10", "cifar100") for factor in FACTORS for kind in ("", "_json")
    }
    assert {*small, "imagenet_lt", "inat18", "places_lt", "digits_lt", "own"} == set(DATA)
    assert {"ce", "ncl", "ncl_contrastive", "ncl_plus", "resnext50", "released"} <= set(METHODS)


@pytest.mark.parametrize("name", [name for name, source in COMMANDS.items() if not is_recipe(source)])
def test_command_of_a_file_is_not_refused_without_other_keys(name: str) -> None:
    source, overrides = FIRST_LINES[name]
    cfg = load_config(source, overrides)
    check_names(cfg)
    check_start(cfg)


@pytest.mark.parametrize("name", COMMANDS)
def test_first_line_is_a_command_that_uses_the_file(name: str) -> None:
    source = COMMANDS[name]
    if not is_recipe(source):
        assert name in source.split(",")
        return
    recipe = recipe_of(source)
    used = {part for stage in recipe.stages for part in stage.config} | set(source.split(","))
    assert name in used


@pytest.mark.parametrize("data", DATA)
def test_data_configs_say_something_about_methods_that_exist_only(data: str) -> None:
    content = read_yaml(find_config(data))
    bases = [DATA[data].parent / base for base in [content.get("_BASE_", [])] if isinstance(base, str)]
    for path in [DATA[data], *bases]:
        assert set(read_yaml(path).get("_FOR_", {})) <= set(METHODS)


@pytest.mark.parametrize("method", ["ce", "balanced_softmax", "mixup", "ncl", "ncl_contrastive", "ncl_plus", "remix"])
@pytest.mark.parametrize("data", DATA)
def test_every_data_config_can_be_combined_with_every_kind_of_method(data: str, method: str) -> None:
    cfg = load_config(f"{data},{method}")
    assert f"{data}_{method}" == cfg.NAME
    check_names(cfg)
    if method.startswith("ncl") and data != "own":  # a third where the release has a third
        fraction = 122 / 365 if data == "places_lt" else 0.3
        assert pytest.approx(fraction, abs=1e-3) == cfg.LOSS.HCM_N / Facts(data).classes


@pytest.mark.slow
@pytest.mark.parametrize("data", [name for name in DATA if not name.startswith(SMALL)])
def test_every_method_resizes_large_images_in_every_view(data: str) -> None:
    configs = [load_config(f"{data},{method}", ["INPUT_SIZE", (16, 16)]) for method in METHODS]
    resizes = {}
    for cfg in configs:
        assert cfg.DATASET.TEST_VIEW == "transforms"
        steps = tuple(cfg.TRANSFORMS.TRAIN_TRANSFORMS)
        for view in cfg.DATASET.VIEWS:
            if (view, steps) not in resizes:
                resizes[view, steps] = not keeps_size(build_policy(view, cfg), (16, 16))
            assert resizes[view, steps], (cfg.NAME, view)
    views = {cfg.NAME.removeprefix(f"{data}_"): len(cfg.DATASET.VIEWS) for cfg in configs}
    two = {"ncl_contrastive", "ncl_plus", "ncl_tuned", "sbcl_contrast", "sbcl_queue"}
    assert {name for name, number in views.items() if number == 2} == two


@pytest.mark.parametrize("data", [name for name in DATA if name.startswith("cifar")])
def test_names_of_cifar_configs_say_what_the_data_are(data: str) -> None:
    cfg, (name, factor, *kind) = load_config(data).DATASET, data.split("_")
    assert FACTORS[factor] == cfg.IMBALANCECIFAR.RATIO
    if kind:
        files = (f"dataset/{name}_lt/{name}_{factor}_train.json", f"dataset/{name}_lt/{name}_valid.json")
        assert ("annotations", *files) == (cfg.DATASET, cfg.TRAIN_JSON, cfg.VALID_JSON)
    else:
        assert (f"{name}_lt", "", "") == (cfg.DATASET, cfg.TRAIN_JSON, cfg.VALID_JSON)


# Recipes


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_and_their_stages_load(name: str) -> None:
    source = COMMANDS[name]
    recipe = recipe_of(source)
    assert recipe.name == source.replace(",", "_")
    configs = stage_configs(recipe)
    assert [cfg.NAME for cfg in configs] == [f"{recipe.name}/{stage.name}" for stage in recipe.stages]
    for cfg in configs:
        check_names(generating_into(recipe.folder, cfg))


@pytest.mark.parametrize("data", ["cifar10_im50", "cifar100_im100", "digits_lt"])
@pytest.mark.parametrize("name", [name for name in RECIPES if COMMANDS[name] != name])
def test_recipes_take_other_data(name: str, data: str) -> None:
    recipe = recipe_of(f"{data},{name}")
    assert recipe.name == f"{data}_{name}"
    assert {cfg.DATASET.DATASET for cfg in stage_configs(recipe)} == {load_config(data).DATASET.DATASET}


@pytest.mark.parametrize("head", ["cRT", "LWS"])
def test_classifier_recipes_train_as_released(head: str) -> None:
    baseline, classifier = stage_configs(recipe_of(f"cifar10_im100,{head.lower()}"))
    assert baseline.TRAIN.MAX_EPOCH == 200
    rates = [0.1 * f for f in WARM_UP] + [0.1] * 4 + [0.01] * 10 + [0.001] * 11
    assert learning_rates(classifier) == pytest.approx(rates, rel=1e-3)
    assert classifier.TRAIN.OPTIMIZER.WEIGHT_DECAY == 5e-4
    sampler = classifier.TRAIN.SAMPLER
    assert (head, "weighted sampler") == (classifier.CLASSIFIER.TYPE, sampler.TYPE)
    assert sampler.WEIGHTED_SAMPLER.TYPE == "balance"


def test_r32_single_drops_its_rate_after_epochs_320_and_360() -> None:
    whole, first, second = (
        learning_rates(load_config(f"cifar10_im100,{name}")) for name in ("r32_single", "r32_global", "r32_local")
    )
    assert [whole[epoch - 1] for epoch in (320, 321, 360, 361)] == pytest.approx([0.1, 0.001, 0.001, 1e-5])
    assert [first[-1], *(second[epoch - 1] for epoch in (1, 40, 41))] == pytest.approx([0.1, 0.001, 0.001, 1e-5])


@pytest.mark.parametrize("method", ["ce", "balanced_softmax", "ldam", "mixup"])
@pytest.mark.parametrize("data", ["imagenet_lt", "inat18"])
def test_plain_methods_have_a_network_and_a_schedule_of_large_data(data: str, method: str) -> None:
    cfg = load_config(f"{data},{method}")
    assert expert_backbones(cfg) == ["res50"]
    assert (cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.MAX_EPOCH) == (256, 100)
    rates = learning_rates(cfg)
    assert max(rates) == pytest.approx(0.2, rel=1e-3) and rates[-1] < 0.001


@pytest.mark.parametrize("method", ["ce", "balanced_softmax", "ldam", "mixup", "ncl"])
def test_networks_on_places_are_those_of_its_weights_file(method: str) -> None:
    cfg = load_config(f"places_lt,{method}")
    assert set(expert_backbones(cfg)) == {"res152"} and "resnet152" in cfg.BACKBONE.PRETRAINED_MODEL


@pytest.mark.parametrize(("source", "batch"), [("imagenet_lt,ce_r10", 512), ("inat18,ce_r50", 128)])
@pytest.mark.parametrize("method", ["", ",balanced_softmax"])
def test_baselines_of_bag_of_tricks_are_as_released(source: str, batch: int, method: str) -> None:
    train = load_config(f"{source}{method}").TRAIN
    schedule = train.LR_SCHEDULER
    assert (batch, 100, 0.2) == (train.BATCH_SIZE, train.MAX_EPOCH, train.OPTIMIZER.BASE_LR)
    assert (schedule.TYPE, schedule.LR_STEP, train.OPTIMIZER.WEIGHT_DECAY) == ("multistep", [60, 80], 1e-4)


@pytest.mark.parametrize("method", ["drw", "drs", "drw_influence"])
@pytest.mark.parametrize("data", DATA)
def test_deferred_methods_start_within_the_epochs_of_every_data_set(data: str, method: str) -> None:
    train = load_config(f"{data},{method}").TRAIN
    share = 0.5 if method == "drw_influence" else 0.8
    assert round(share * train.MAX_EPOCH) == train.TWO_STAGE.START_EPOCH
    if method == "drw_influence" and train.LR_SCHEDULER.TYPE in ("warmup", "multistep"):
        assert all(step < train.MAX_EPOCH for step in train.LR_SCHEDULER.LR_STEP)


@pytest.mark.parametrize("data", DATA)
def test_rate_of_the_dive_teacher_drops_within_the_epochs_of_every_data_set(data: str) -> None:
    train = load_config(f"{data},dive_teacher").TRAIN
    assert max(train.LR_SCHEDULER.LR_STEP) < train.MAX_EPOCH


# Parts


@pytest.mark.slow
@pytest.mark.parametrize("source", TRAININGS)
def test_parts_of_a_config_fit_together(source: str) -> None:
    cfg, facts = load_config(source), Facts(source)
    assert len(learning_rates(cfg)) == cfg.TRAIN.MAX_EPOCH
    with torch.device("meta"):
        network = build_model(cfg, facts.classes)
    output = network(torch.empty(2, 3, *cfg.INPUT_SIZE, device="meta"))
    heads = 3 if cfg.NETWORK.TYPE == "cascade" else len(expert_backbones(cfg))
    assert output.logits.shape == (heads, 2, facts.classes)
    counts = facts.counts(cfg)
    build_method(cfg, network, build_loss(cfg, counts), KnownData(counts))


def classified_views(cfg: CfgNode) -> tuple[int, int]:
    """Return the views of an image, and the rows of it that are classified."""
    views = len(cfg.DATASET.VIEWS)
    rows = 1 if cfg.NETWORK.MOCO else views
    joined = cfg.TRAIN.SAMPLER.TYPE == "bbn sampler" and cfg.TRAIN.COMBINER.TYPE == "supervised"
    return views, rows * (2 if joined else 1)


def noise_of(source: str, number: int) -> ImageSet:
    """Return images of noise, 32 pixels wide."""
    random, classes = torch.Generator().manual_seed(0), Facts(source).classes
    pixels = torch.randint(0, 256, (number, 3, 32, 32), dtype=torch.uint8, generator=random)
    labels = torch.randint(classes, (number,), generator=random).tolist()
    return ImageSet.from_tensor(source, pixels, labels=labels, num_classes=classes)


def check_training(source: str, *overrides: Any, steps: int) -> None:
    """Train a few steps on noise, and evaluate."""
    cfg, facts = load_config(source, overrides), Facts(source)
    batch_size, counts = cfg.TRAIN.BATCH_SIZE, facts.counts(cfg)
    images = noise_of(source, steps * batch_size + 1)
    loaders = build_loaders(cfg, Splits(images, images))
    torch.manual_seed(0)
    network: Any = build_model(cfg, facts.classes)
    method = build_method(cfg, network, build_loss(cfg, counts), KnownData(counts))
    optimizer = build_optimizer(cfg, method.trainable(), fused=False)
    last = next(parameter for parameter in network.heads[-1].parameters() if parameter.requires_grad)
    before = last.detach().clone()
    epoch = cfg.TRAIN.MAX_EPOCH  # in which everything deferred is active
    method.set_epoch(epoch)
    views, rows = classified_views(cfg)
    batches = list(loaders.train.epoch(epoch))[:steps]  # class-aware sampling repeats images of small classes
    assert len(batches) == steps
    for batch in batches:
        assert batch.images.shape == (views, batch_size, 3, 32, 32)
        assert (batch.partner is not None) == (cfg.TRAIN.SAMPLER.TYPE == "bbn sampler")
        step = method.training_step(batch.with_images(loaders.normalize))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        assert step.loss.isfinite()
        assert step.logits.shape == (len(network.heads), rows * batch_size, facts.classes)
    if cfg.LOSS.LOSS_TYPE == "NIL_NBOD_plus":
        assert list(step.parts) == ["ce", "hard_ce", "intra", "inter"]
    assert not torch.equal(last, before)

    evaluator = Evaluator(facts.classes, len(network.heads), class_counts=counts, ensemble=cfg.TEST.ENSEMBLE)
    evaluate(network, loaders.valid, evaluator, normalize=loaders.normalize, place=Place())
    assert int(evaluator.confusion("ensemble").matrix.sum()) == len(images)


def smaller_backbones(cfg: CfgNode) -> list[Any]:
    """Return overrides that replace deep backbones by shallow ones of the same kind."""
    names = [SHALLOW.get(name, name) for name in expert_backbones(cfg)]
    if cfg.BACKBONE.MULTI_NETWORK_TYPE:
        return ["BACKBONE.MULTI_NETWORK_TYPE", names]
    return ["BACKBONE.TYPE", names[0]]


@pytest.mark.slow
@pytest.mark.parametrize("source", [source for source in TRAININGS if Facts(source).data in SMALL])
def test_two_steps_and_an_evaluation_on_small_images(source: str) -> None:
    check_training(source, "TRAIN.BATCH_SIZE", 4, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("source", [source for source in TRAININGS if Facts(source).data not in SMALL])
def test_a_step_and_an_evaluation_on_large_images(source: str) -> None:
    """With images of 32 pixels, a batch of two, short queues, and smaller networks of the same kind as the config's.

    Gradients through the batch norms of two pixels explode, so the learning rate is tiny.
    """
    small = ["TRAIN.BATCH_SIZE", 2, "INPUT_SIZE", [32, 32], "NETWORK.MOCO_K", 16, "TRAIN.OPTIMIZER.BASE_LR", 1e-9]
    check_training(source, *small, *smaller_backbones(load_config(source)), steps=1)


def test_own_images_are_selected_by_balanced_accuracy() -> None:
    """The validation images of a folder are as imbalanced as its training images."""
    assert load_config("own,balanced_softmax").TEST.SELECT_BY == "balanced_accuracy"
    assert load_config("imagenet_lt,ce_r10").TEST.SELECT_BY == "top1"
