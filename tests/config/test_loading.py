"""From YAML files and KEY VALUE pairs to one config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from longtail.config import changed, load_config, to_yaml, value_of
from longtail.errors import UserError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def refusal(path: Path | None = None, overrides: Any = ()) -> str:
    with pytest.raises(UserError) as error:
        load_config(path, overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_load_config_defaults() -> None:
    cfg = load_config()
    assert cfg.TRAIN.BATCH_SIZE == 32
    assert cfg.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR == 0.0


def test_load_config_freezes_every_section() -> None:
    cfg = load_config()
    with pytest.raises(AttributeError):
        cfg.NAME = "other"
    with pytest.raises(AttributeError):
        cfg.TRAIN.LR_SCHEDULER.WARM_EPOCH = 3


def test_load_config_does_not_share_lists_between_configs() -> None:
    first = load_config()
    first.TRAIN.LR_SCHEDULER.LR_STEP.append(99)
    assert load_config().TRAIN.LR_SCHEDULER.LR_STEP == [40, 50]


# Values

VALUES: list[tuple[str, Any, Any]] = [
    ("TRAIN.OPTIMIZER.WEIGHT_DECAY", "2e-4", 2e-4),
    ("TRAIN.OPTIMIZER.WEIGHT_DECAY", 2e-4, 2e-4),
    ("TRAIN.OPTIMIZER.BASE_LR", "1", 1.0),
    ("TRAIN.OPTIMIZER.BASE_LR", 1, 1.0),
    ("CLASSIFIER.COS_SCALE", 16, 16.0),
    ("TRAIN.BATCH_SIZE", "64", 64),
    ("VALID_STEP", "-1", -1),
    ("INPUT_SIZE", "(32, 32)", (32, 32)),
    ("INPUT_SIZE", "32,32", (32, 32)),
    ("INPUT_SIZE", [32, 32], (32, 32)),
    ("TRAIN.LR_SCHEDULER.LR_STEP", "[160, 180]", [160, 180]),
    ("TRAIN.LR_SCHEDULER.LR_STEP", (160, 180), [160, 180]),
    ("BACKBONE.MULTI_NETWORK_TYPE", "['res32_cifar']", ["res32_cifar"]),
    ("BACKBONE.MULTI_NETWORK_TYPE", "[res32_cifar, timm/resnet18]", ["res32_cifar", "timm/resnet18"]),
    ("DROPOUT", "true", True),
    ("DROPOUT", " False ", False),
    ("DROPOUT", "yes", True),
    ("DROPOUT", "off", False),
    ("DROPOUT", True, True),
    ("NAME", "123", "123"),
    ("NAME", 123, "123"),
    ("NAME", "True", "True"),
    ("NAME", "[a, b]", "[a, b]"),
    ("DATASET.ROOT", "", ""),
]


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("TRAIN.OPTIMIZER.BASE_LR", np.float64(0.1), 0.1),
        ("TRAIN.OPTIMIZER.BASE_LR", np.float32(0.5), 0.5),
        ("TRAIN.OPTIMIZER.BASE_LR", np.int32(1), 1.0),
        ("TRAIN.MAX_EPOCH", np.int64(3), 3),
        ("INPUT_SIZE", (np.int64(32), np.int64(32)), (32, 32)),
        ("TRAIN.LR_SCHEDULER.LR_STEP", [np.int64(2)], [2]),
        ("OUTPUT_DIR", Path("a/b"), "a/b"),
        ("NAME", np.str_("mine"), "mine"),
        ("NAME", np.int64(7), "7"),
    ],
)
def test_load_config_stores_numbers_and_paths_of_libraries_as_plain_values(
    write: Write, key: str, given: Any, expected: Any
) -> None:
    cfg = load_config(None, [key, given])
    assert value_of(cfg, key) == expected and type(value_of(cfg, key)) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert [type(item) for item in value_of(cfg, key)] == [type(item) for item in expected]
    assert load_config(write(to_yaml(cfg))) == cfg


@pytest.mark.parametrize("given", [np.float64(3), 3.5])
def test_load_config_refuses_a_fraction_for_a_whole_number(given: Any) -> None:
    with pytest.raises(UserError, match=r"TRAIN\.MAX_EPOCH must be a whole number, not"):
        load_config(None, ["TRAIN.MAX_EPOCH", given])


@pytest.mark.parametrize(("key", "written", "expected"), VALUES)
@pytest.mark.parametrize("way", ["override", "file"])
def test_load_config_values_have_the_type_of_their_key(
    write: Write, way: str, key: str, written: Any, expected: Any
) -> None:
    if way == "override":
        cfg = load_config(None, [key, written])
    else:
        content = list(written) if isinstance(written, tuple) else written
        for part in reversed(key.split(".")):
            content = {part: content}
        cfg = load_config(write(yaml.safe_dump(content)))
    value = value_of(cfg, key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("base", ["", "  AMP: auto\n"])
def test_load_config_bare_off_is_off(write: Write, base: str) -> None:
    path = write("_BASE_: base.yaml\nTRAIN:\n  AMP: off\n  CUDA_GRAPH: off\n")
    write(f"TRAIN:\n{base}  CUDA_GRAPH: loop\n", "base.yaml")
    cfg = load_config(path)
    assert (cfg.TRAIN.AMP, cfg.TRAIN.CUDA_GRAPH) == ("off", "off")
    assert load_config(write(to_yaml(cfg), "dumped.yaml")) == cfg
    assert load_config(write("TRAIN:\n  AMP: false\n")).TRAIN.AMP == "off"  # as an older version wrote it
    message = "DATASET.CACHE is 'off'; allowed: 'none', 'ram'"
    assert message in refusal(write("DATASET:\n  CACHE: off\n"))


def test_load_config_reads_files_with_keys_of_older_versions(write: Callable[..., Path]) -> None:
    cfg = load_config(write("LOSS: {Cascade: {GLOBAL_BINS: true, BINS: 5}}"))
    assert cfg.LOSS.Cascade.BINS == 5 and "GLOBAL_BINS" not in cfg.LOSS.Cascade
    assert "unknown key LOSS.Cascade.GLOBAL_BINS" in refusal(None, ["LOSS.Cascade.GLOBAL_BINS", True])


def test_load_config_expands_home_and_variables_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/a/home")
    monkeypatch.setenv("DATA", "/data")
    cfg = load_config(None, ["DATASET.ROOT", "~/images", "DATASET.TRAIN_JSON", "$DATA/train.json", "NAME", "$DATA"])
    assert (cfg.DATASET.ROOT, cfg.DATASET.TRAIN_JSON) == ("/a/home/images", "/data/train.json")
    assert cfg.NAME == "$DATA"  # not the name of a file
    monkeypatch.delenv("DATA")
    (tmp_path / "$DATA").mkdir()
    assert str(tmp_path / "$DATA") == load_config(None, ["DATASET.ROOT", str(tmp_path / "$DATA")]).DATASET.ROOT
    message = refusal(None, ["DATASET.ROOT", "${DATA}/images"])
    assert message == "override: DATASET.ROOT is '${DATA}/images'; the environment variable ${DATA} is not set"


def test_load_config_overrides_come_last(write: Write) -> None:
    path = write("TRAIN: {BATCH_SIZE: 8, MAX_EPOCH: 3}")
    cfg = load_config(path, ["TRAIN.BATCH_SIZE", 16, "TRAIN.BATCH_SIZE", "24"])
    assert (cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.MAX_EPOCH) == (24, 3)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "DATASET:\n  IMBALANCECIFAR:\nNETWORK:\n"])
def test_load_config_empty_files_and_sections_change_nothing(write: Write, text: str) -> None:
    assert load_config(write(text)) == load_config()


# _BASE_


def test_bases_are_merged_first_and_found_next_to_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write("NAME: grandparent\nVALID_STEP: 7\nSAVE_STEP: 7\nSHOW_STEP: 7", "base/grandparent.yaml")
    write("_BASE_: grandparent.yaml\nNAME: parent\nVALID_STEP: 8\nSAVE_STEP: 8", "base/parent.yaml")
    path = write("NAME: child\nVALID_STEP: 9\n_BASE_: ../base/parent.yaml", "own/child.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cfg = load_config(path)
    assert (cfg.NAME, cfg.VALID_STEP, cfg.SAVE_STEP, cfg.SHOW_STEP) == ("child", 9, 8, 7)


def test_bases_are_merged_in_their_order(write: Write) -> None:
    write("VALID_STEP: 1\nSAVE_STEP: 1", "a.yaml")
    write("VALID_STEP: 2", "b.yaml")
    cfg = load_config(write("_BASE_: [a.yaml, b.yaml]"))
    assert (cfg.VALID_STEP, cfg.SAVE_STEP) == (2, 1)


def test_bases_may_have_a_common_base(write: Write) -> None:
    write("SHOW_STEP: 7", "root.yaml")
    write("_BASE_: root.yaml\nVALID_STEP: 2", "a.yaml")
    write("_BASE_: root.yaml\nSAVE_STEP: 3", "b.yaml")
    cfg = load_config(write("_BASE_: [a.yaml, b.yaml]"))
    assert (cfg.SHOW_STEP, cfg.VALID_STEP, cfg.SAVE_STEP) == (7, 2, 3)


def test_bases_may_be_short_names(write: Write) -> None:
    cfg = load_config(write("_BASE_: cifar10_im100\nVALID_STEP: 3"))
    assert (cfg.DATASET.DATASET, cfg.VALID_STEP) == ("cifar10_lt", 3)
    assert "config 'cifar10_im1000' is neither" in refusal(write("_BASE_: cifar10_im1000"))


def test_bases_and_file_are_joined_key_by_key(write: Write) -> None:
    write("TRAIN: {BATCH_SIZE: 8, OPTIMIZER: {BASE_LR: 0.5, MOMENTUM: 0.8}}", "a.yaml")
    cfg = load_config(write("_BASE_: a.yaml\nTRAIN: {OPTIMIZER: {BASE_LR: 0.25}}"))
    optimizer = cfg.TRAIN.OPTIMIZER
    assert (cfg.TRAIN.BATCH_SIZE, optimizer.BASE_LR, optimizer.MOMENTUM) == (8, 0.25, 0.8)


@pytest.mark.parametrize("files", [{"a.yaml": "a.yaml"}, {"a.yaml": "b.yaml", "b.yaml": "a.yaml"}])
def test_bases_in_a_circle_are_refused(write: Write, files: dict[str, str]) -> None:
    paths = [write(f"_BASE_: {base}", name) for name, base in files.items()]
    assert "_BASE_ includes this file itself" in refusal(paths[0])


@pytest.mark.parametrize("base", ["3", "", "[3]", "{a: b}"])
def test_bases_that_name_no_file_are_refused(write: Write, base: str) -> None:
    assert "config.yaml: _BASE_ must be the path of a file, or a list of paths" in refusal(write(f"_BASE_: {base}"))


def test_bases_that_are_missing_are_named(write: Write) -> None:
    assert "absent.yaml does not exist" in refusal(write("_BASE_: absent.yaml"))


# Values that follow from others


@pytest.mark.parametrize(
    ("epochs", "start"), [(1, 1), (2, 1), (3, 2), (5, 4), (30, 24), (32, 26), (100, 80), (200, 160), (400, 320)]
)
def test_start_epoch_0_is_80_percent_of_the_epochs(write: Write, epochs: int, start: int) -> None:
    cfg = load_config("cifar10_im100,ldam,drw", ["TRAIN.MAX_EPOCH", epochs])
    assert start == cfg.TRAIN.TWO_STAGE.START_EPOCH
    assert load_config(write(to_yaml(cfg))) == cfg


# Errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TRAIN: {BATCHSIZE: 8}", "unknown key TRAIN.BATCHSIZE; did you mean TRAIN.BATCH_SIZE?"),
        ("LOSS: {FocalLoss: {GAMA: 2}}", "unknown key LOSS.FocalLoss.GAMA; did you mean LOSS.FocalLoss.GAMMA?"),
        ("TRANE: {BATCH_SIZE: 8, X: 1}", "unknown key TRANE.BATCH_SIZE; did you mean TRAIN.BATCH_SIZE?"),
        ("xyzzy: 1", "unknown key xyzzy"),
        ("1: 2", "unknown key 1"),
        ("TRAIN: {BATCH_SIZE: many}", "TRAIN.BATCH_SIZE must be a whole number, not 'many' (default 32)"),
        ("TRAIN: {BATCH_SIZE: 8.0}", "TRAIN.BATCH_SIZE must be a whole number, not 8.0 (default 32)"),
        ("TRAIN: {BATCH_SIZE: true}", "TRAIN.BATCH_SIZE must be a whole number, not True (default 32)"),
        ("TRAIN: {BATCH_SIZE: }", "TRAIN.BATCH_SIZE must be a whole number, not None (default 32)"),
        ("TRAIN: {OPTIMIZER: {BASE_LR: fast}}", "TRAIN.OPTIMIZER.BASE_LR must be a number, not 'fast'"),
        ("TRAIN: {OPTIMIZER: {BASE_LR: true}}", "TRAIN.OPTIMIZER.BASE_LR must be a number, not True"),
        ("DROPOUT: 1", "DROPOUT must be True or False, not 1 (default False)"),
        ("DROPOUT: maybe", "DROPOUT must be True or False, not 'maybe'"),
        ("NAME: [a]", "NAME must be a string, not ['a']"),
        ("NAME: true", "NAME must be a string, not True"),
        ("INPUT_SIZE: 32", "INPUT_SIZE must be a list, not 32"),
        ("TRAIN: 3", "TRAIN is a section of keys, not a value (3)"),
        ("TRAIN: {OPTIMIZER: SGD}", "TRAIN.OPTIMIZER is a section of keys, not a value ('SGD')"),
    ],
)
def test_load_config_names_file_and_key_of_an_error(write: Write, text: str, message: str) -> None:
    path = write(text)
    found = refusal(path)
    assert str(path) in found
    assert message in found


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["NAME"], "overrides come in pairs KEY VALUE; 'NAME' has no value"),
        (["NAME", "a", "VALID_STEP"], "'VALID_STEP' has no value"),
        (["TRAIN.MAX_EPOCHS", 3], "override: unknown key TRAIN.MAX_EPOCHS; did you mean TRAIN.MAX_EPOCH?"),
        (["train.max_epoch", 3], "override: unknown key train.max_epoch; did you mean TRAIN.MAX_EPOCH?"),
        (["TRAIN", 3], "override: TRAIN is a section of keys, not a value (3)"),
        (["TRAIN.BATCH_SIZE.X", 3], "override: TRAIN.BATCH_SIZE must be a whole number"),
        (["TRAIN.BATCH_SIZE", "x"], "override: TRAIN.BATCH_SIZE must be a whole number, not 'x'"),
        (["TRAIN.BATCH_SIZE", 200 * "x"], "..."),
        (["_BASE_", "other.yaml"], "override: unknown key _BASE_"),
    ],
)
def test_load_config_names_the_error_of_overrides(overrides: list[Any], message: str) -> None:
    found = refusal(None, overrides)
    assert message in found
    assert len(found) < 300


def test_load_config_refuses_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "absent.yaml does not exist" in refusal(tmp_path / "absent.yaml")


# A loaded config is a config file


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["NAME", "123", "OUTPUT_DIR", "2e-4", "INPUT_SIZE", (32, 40), "TRAIN.OPTIMIZER.WEIGHT_DECAY", 2e-4],
        ["NAME", "yes", "DATASET.VIEWS", ["crop", "none"], "TRAIN.LR_SCHEDULER.LR_STEP", [], "DROPOUT", True],
        ["NAME", "a: b # c", "DATASET.ROOT", "Z\xfcrich", "CLASSIFIER.COS_SCALE", 1e4],
        ["NAME", "12:30", "DATASET.TRAIN_JSON", "010", "BACKBONE.MULTI_NETWORK_TYPE", ["1e5", "no"]],
    ],
)
def test_load_config_of_a_dumped_config_is_the_same(write: Write, overrides: list[Any]) -> None:
    cfg = load_config(None, overrides)
    assert load_config(write(to_yaml(cfg))) == cfg


# changed


def test_changed_returns_a_frozen_copy() -> None:
    cfg = load_config(None, ["NAME", "first"])
    other = changed(cfg, "NAME", "second", "TRAIN.BATCH_SIZE", "8")
    assert (cfg.NAME, other.NAME, other.TRAIN.BATCH_SIZE) == ("first", "second", 8)
    assert changed(cfg) == cfg
    with pytest.raises(AttributeError):
        other.NAME = "third"
    other.TRAIN.LR_SCHEDULER.LR_STEP.append(99)
    assert cfg.TRAIN.LR_SCHEDULER.LR_STEP == [40, 50]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["TRAIN.BATCH_SIZE", 0], "TRAIN.BATCH_SIZE is 0; it must be"),
        (["TRAIN.BATCH", 1], "unknown key TRAIN.BATCH"),
        (["TRAIN.BATCH_SIZE"], "has no value"),
    ],
)
def test_changed_checks_like_load_config(overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        changed(load_config(), *overrides)
