"""Where configs are found; several of them in one source; the settings of a data config for methods."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.config import configs_folder, find_config, is_recipe, load_config, short_names, split_paths
from longtail.config import files as config_files
from longtail.errors import UserError

Write = Callable[..., Path]


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes files of a separate `configs` folder, and work next to it."""
    root = tmp_path / "configs"
    monkeypatch.setattr(config_files, "configs_folder", lambda: root)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def write(name: str, text: str = "") -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_configs_folder_holds_data_methods_and_recipes() -> None:
    assert {"data", "methods", "recipes"} <= {path.name for path in configs_folder().iterdir()}


def test_short_names_are_paths_below_their_folder(configs: Write) -> None:
    files = [configs("data/a.yaml"), configs("methods/b.yaml"), configs("released/ncl/c.yaml")]
    configs("data/_base.yaml")
    configs("other/d.yaml")
    assert short_names() == dict(zip(["a", "b", "ncl/c"], files, strict=True))
    assert short_names(("methods",)) == {"b": files[1]}


def test_short_names_of_two_folders_are_those_of_the_first(configs: Write) -> None:
    data, _ = configs("data/a.yaml"), configs("methods/a.yaml")
    assert short_names()["a"] == data


def test_find_config_by_short_name_or_path(configs: Write) -> None:
    path = configs("data/cifar.yaml")
    assert find_config("cifar") == path
    assert find_config(str(path)) == path
    assert find_config("absent.yaml") == Path("absent.yaml")  # reported when it is read


def test_find_config_unknown_name_lists_the_nearest(configs: Write) -> None:
    configs("data/cifar.yaml")
    message = r"^config 'cifra' is neither a YAML file, nor a name under configs/, .* of images; did you mean cifar\?$"
    with pytest.raises(UserError, match=message):
        find_config("cifra")


@pytest.mark.parametrize(
    ("name", "nearest"), [("simpel", "simple"), ("simpel/", "simple"), ("photso.csv", "photos.csv"), ("x/ab", "x/abc")]
)
def test_find_config_unknown_name_names_a_folder_or_list_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("simple", "x/abc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "photos.csv").touch()
    with pytest.raises(UserError, match=rf"nor a folder or list \(.csv, .txt\) of images; did you mean {nearest}\?$"):
        find_config(name)


def test_find_config_of_an_annotation_file_names_the_command(tmp_path: Path) -> None:
    train, valid = tmp_path / "train set.json", tmp_path / "val set.json"
    for file in (train, valid):
        file.write_text(json.dumps({"annotations": [{"fpath": "a.png", "category_id": 0}], "num_classes": 1}))
    with pytest.raises(UserError, match=r"train set\.json is an annotation file; to train on it: ") as refused:
        find_config(str(train))
    *command, source = shlex.split(str(refused.value).partition("on it: ")[2])[:3]
    assert command == ["longtail", "train"]
    cfg = load_config(source, shlex.split(str(refused.value))[-6:])
    read = (cfg.DATASET.DATASET, cfg.DATASET.TRAIN_JSON, cfg.DATASET.VALID_JSON)
    assert read == ("annotations", str(train), str(valid))
    valid.unlink()
    with pytest.raises(UserError, match=r"DATASET\.VALID_JSON VALID\.json$"):
        load_config(str(train))


def test_find_config_of_a_coco_file_names_the_converter(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text(json.dumps({"images": [{"id": 1}], "annotations": [], "categories": []}))
    with pytest.raises(UserError, match=r"format of COCO; tools/convert_from_iNat\.py converts it"):
        find_config(str(tmp_path / "instances.json"))


def test_find_config_in_json(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"NAME": "mine"}')
    assert load_config(str(tmp_path / "mine.json")).NAME == "mine"


def test_find_config_refuses_a_folder_of_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"is a folder; .* with a method: own,METHOD DATASET.ROOT {tmp_path}$"):
        find_config(str(tmp_path))


@pytest.mark.parametrize("name", ["a\0b", "n" * 300])
def test_find_config_refuses_impossible_paths(name: str) -> None:
    with pytest.raises(UserError) as error:
        find_config(name)
    assert "\n" not in str(error.value) and str(error.value).isprintable()


def test_split_paths_at_commas(configs: Write) -> None:
    assert split_paths("a,b.yaml") == ["a", "b.yaml"]
    assert split_paths(["a", Path("b.yaml")]) == ["a", "b.yaml"]
    assert split_paths(Path("a,b.yaml")) == ["a,b.yaml"]
    assert split_paths(None) == []
    Path("with,comma.yaml").write_text("")
    assert split_paths("with,comma.yaml") == ["with,comma.yaml"]


# Composition


def test_load_config_merges_parts_from_left_to_right(configs: Write) -> None:
    configs("data/first.yaml", "VALID_STEP: 2\nSAVE_STEP: 2")
    second = configs("methods/second.yaml", "SAVE_STEP: 3\nSHOW_STEP: 3")
    sources: list[Any] = ["first,second", ["first", "second"], ["first", second]]
    for source in sources:
        cfg = load_config(source, ["SHOW_STEP", 4])
        assert (cfg.VALID_STEP, cfg.SAVE_STEP, cfg.SHOW_STEP) == (2, 3, 4)
    assert load_config("second,first").SAVE_STEP == 2


def test_load_config_names_a_composition_by_its_parts(configs: Write) -> None:
    configs("data/first.yaml")
    second = configs("methods/second.yaml")
    assert load_config("first,second").NAME == "first_second"
    assert load_config(["first", str(second)]).NAME == "first_second"
    assert load_config("first").NAME == "first"
    assert load_config(second).NAME == "default"  # an empty file
    assert load_config("first,second", ["NAME", "own"]).NAME == "own"
    configs("methods/second.yaml", "NAME: written")
    assert load_config("first,second").NAME == "written"


def test_load_config_composition_names_the_file_of_an_error(configs: Write) -> None:
    configs("data/first.yaml")
    second = configs("methods/second.yaml", "VALID_STEPS: 2")
    with pytest.raises(UserError, match=f"^{second}: unknown key VALID_STEPS; did you mean VALID_STEP"):
        load_config("first,second")


# _FOR_


def test_for_section_is_merged_after_the_config_of_that_name(configs: Write) -> None:
    configs("data/first.yaml", "VALID_STEP: 2\n_FOR_:\n  second:\n    SAVE_STEP: 7\n")
    configs("methods/second.yaml", "SAVE_STEP: 3\nSHOW_STEP: 3")
    configs("methods/third.yaml", "SAVE_STEP: 4")
    assert load_config("first,second").SAVE_STEP == 7
    assert load_config("first,third").SAVE_STEP == 4
    assert load_config("first,second,third").SAVE_STEP == 4  # a later part overrides
    assert load_config("first,second", ["SAVE_STEP", 9]).SAVE_STEP == 9
    assert load_config("first").SAVE_STEP == 5


def test_for_section_acts_after_a_base_of_that_name(configs: Write) -> None:
    configs("data/first.yaml", "_FOR_:\n  base: {VALID_STEP: 7, SAVE_STEP: 7}\n  method: {SAVE_STEP: 8}\n")
    configs("methods/base.yaml", "VALID_STEP: 3\nSAVE_STEP: 3\nSHOW_STEP: 3")
    configs("methods/method.yaml", "_BASE_: base.yaml\nSHOW_STEP: 4")
    cfg = load_config("first,method")
    assert (cfg.VALID_STEP, cfg.SAVE_STEP, cfg.SHOW_STEP) == (7, 8, 4)


def test_for_section_of_a_base_comes_before_that_of_the_file(configs: Write) -> None:
    configs("data/_large.yaml", "_FOR_:\n  method: {VALID_STEP: 7, SAVE_STEP: 7}\n")
    configs("data/first.yaml", "_BASE_: _large.yaml\n_FOR_:\n  method: {SAVE_STEP: 8}\n")
    configs("methods/method.yaml", "VALID_STEP: 3\nSAVE_STEP: 3")
    cfg = load_config("first,method")
    assert (cfg.VALID_STEP, cfg.SAVE_STEP) == (7, 8)


@pytest.mark.parametrize("section", ["3", "[a]", "{method: 3}", "{method: [a]}"])
def test_for_section_must_hold_sections(configs: Write, section: str) -> None:
    path = configs("data/first.yaml", f"_FOR_: {section}")
    with pytest.raises(UserError, match=f"^{path}: _FOR_ must map names of config files to sections of keys"):
        load_config("first")


def test_for_section_with_an_unknown_key_names_its_file(configs: Write) -> None:
    path = configs("data/first.yaml", "_FOR_:\n  method: {VALID_STEPS: 7}\n")
    configs("methods/method.yaml")
    with pytest.raises(UserError, match=f"^{path}: unknown key VALID_STEPS"):
        load_config("first,method")


# Recipes


def test_is_recipe_looks_at_the_last_part(configs: Write) -> None:
    configs("data/first.yaml", "NAME: a")
    recipe = configs("recipes/all.yaml", "name: all\nstages:\n  - name: one\n    config: first\n")
    assert is_recipe("all") and is_recipe("first,all") and is_recipe(str(recipe))
    assert not is_recipe("first") and not is_recipe("all,first")


def test_is_recipe_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    assert not is_recipe(str(tmp_path / "fifo.yaml"))


@pytest.mark.parametrize("source", ["absent", "absent.yaml", "first,absent"])
def test_is_recipe_of_missing_files_is_false(configs: Write, source: str) -> None:
    configs("data/first.yaml")
    assert not is_recipe(source)
