from ast import literal_eval

import pytest
import yaml
from released_files import bag_of_tricks_files, ncl_files

from longtail.config import dataset_parts, expert_backbones, load_config, method_name, precision, sampling
from longtail.config.defaults import defaults
from longtail.data.samplers import check_sampling

FILES = dict([*bag_of_tricks_files(), *ncl_files()])


def leaves(tree, prefix=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def value_of(tree, key):
    for part in key:
        tree = tree[part]
    return tree


def load(content, tmp_path):
    path = tmp_path / "released.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


def test_every_published_file_is_there():
    assert len(list(bag_of_tricks_files())) == 176
    assert len(list(ncl_files())) == 6
    assert len(FILES) == 182


def test_rates_and_tuples_reach_the_loader_as_texts():
    assert "WEIGHT_DECAY: 2e-4\n" in yaml.safe_dump(FILES["baseline/cifar10_im100"])
    assert "INPUT_SIZE: (32, 32)\n" in yaml.safe_dump(FILES["baseline/cifar10_im100"])
    assert "IMBALANCECIFAR: null\n" in yaml.safe_dump(FILES["cifar100_im100_NCL"])


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_loads_and_its_values_arrive(name, tmp_path):
    cfg = load(FILES[name], tmp_path)
    default = defaults()
    written = dict(leaves(FILES[name]))
    for key, value in written.items():
        if value is None:
            assert value_of(cfg, key) == value_of(default, key)
            continue
        kind = type(value_of(default, key))
        expected = literal_eval(value) if isinstance(value, str) and kind is not str else value
        assert value_of(cfg, key) == expected, key
        assert type(value_of(cfg, key)) is kind, key
    for key, value in leaves(default):
        if key not in written:
            assert value_of(cfg, key) == value, key


def test_a_bag_of_tricks_file_means_one_expert_and_plain_training(tmp_path):
    cfg = load(FILES["baseline/cifar100_im50"], tmp_path)
    assert dataset_parts(cfg).source == "cifar100_lt"
    assert expert_backbones(cfg) == ["res32_cifar"]
    assert (method_name(cfg), precision(cfg)) == ("plain", "off")
    assert cfg.DATASET.IMBALANCECIFAR.RATIO == 0.02


def test_an_ncl_file_means_its_experts_and_nested_training(tmp_path):
    cfg = load(FILES["cifar100_im100_NCL++"], tmp_path)
    assert dataset_parts(cfg).views == ("autoaugment",) * 4
    assert expert_backbones(cfg) == ["res32_cifar"] * 2
    assert method_name(cfg) == "nested"


@pytest.mark.parametrize(("name", "view"), [("inat18_NCL", "randaugment"), ("iNat18/iNat18_baseline", "transforms")])
def test_the_two_inaturalist_pipelines_are_told_apart(name, view, tmp_path):
    assert dataset_parts(load(FILES[name], tmp_path)).views == (view,)


def test_apex_as_old_files_write_it_is_read(tmp_path):
    content = FILES["baseline/cifar10_im100"]
    cfg = load(content | {"TRAIN": content["TRAIN"] | {"APEX": True}}, tmp_path)
    assert precision(cfg) == "fp16"


def test_every_published_file_asks_for_a_sampler_that_is_there(tmp_path):
    kinds = {}
    for name, content in FILES.items():
        if "/cifar" in name and not name.endswith("cifar10_im100"):
            continue  # the four data sets have the same files
        cfg = load(content, tmp_path)
        check_sampling(cfg)
        chosen = sampling(cfg)
        weighting = chosen.weighting if chosen.kind == "weighted sampler" else ""
        kinds.setdefault((chosen.kind, weighting, cfg.TRAIN.TWO_STAGE.DRS), set()).add(name.split("/")[-2:][0])
    assert kinds.pop(("default", "", False)) >= {"baseline", "ldam", "input_mixup", "generate", "cifar100_im100_NCL"}
    assert kinds == {
        ("weighted sampler", "balance", False): {"balance", "second_stage_balance", "cRT", "LWS", "combinations"},
        ("weighted sampler", "square", False): {"square", "second_stage_square"},
        ("weighted sampler", "progressive", False): {"progressive", "second_stage_progressive"},
        **{("weighted sampler", kind, True): {kind} for kind in ("balance", "square", "progressive")},
        ("bbn sampler", "", False): {"bbn"},
    }
