"""Where config files are found: by path, or by a short name under `configs/`."""

import glob
import os
import re
import shlex
from pathlib import Path

from longtail.errors import UserError
from longtail.registry import nearest
from longtail.user_files import check_path, is_file, is_folder, is_own_images, read_text, translating

OWN_IMAGES = "own,balanced_softmax"  # config for images that are given instead of a config
HEAD = 4096  # bytes of a JSON file that tell what it is
FOLDERS = ("data", "methods", "recipes", "released")  # of configs/, searched in this order


def configs_folder() -> Path:
    """Return the folder of the config files: inside the installed package, or of the source checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"


def short_names(folders: tuple[str, ...] = FOLDERS) -> dict[str, Path]:
    """Return {short name: file} of all config files; the name is the path below its folder, without `.yaml`."""
    return {name: _file(folder, name) for folder in reversed(folders) for name in _names(folder)}


def _names(folder: str) -> list[str]:
    files = sorted(glob.glob("**/*.yaml", root_dir=configs_folder() / folder, recursive=True))
    names = [file.removesuffix(".yaml").replace(os.sep, "/") for file in files]
    return [name for name in names if not name.rpartition("/")[2].startswith("_")]


def _file(folder: str, name: str) -> Path:
    return configs_folder() / folder / f"{name}.yaml"


def is_short_name(name: str) -> bool:
    """Return whether a config is named by a short name instead of a path."""
    return not name.endswith((".yaml", ".yml")) and not os.path.exists(name)


def find_config(name: str) -> Path:
    """Return the file of a config.

    Args:
        name: Path of a YAML file, or a short name: `cifar10_im100` for configs/data/cifar10_im100.yaml.

    Raises:
        UserError: There is no such short name; the message names the nearest match. Or it is a folder, or
            an annotation file.
    """
    check_path(name, "config")
    if is_folder(name):
        raise UserError(
            f"config {name} is a folder; to combine its images with a method: own,METHOD DATASET.ROOT {name}"
        )
    if not is_short_name(name):
        _refuse_annotations(name)
        return Path(name)
    for folder in FOLDERS:
        if name in _names(folder):
            return _file(folder, name)
    raise UserError(
        f"config {name!r} is neither a YAML file, nor a name under configs/, nor a folder or list (.csv, .txt) of "
        f"images{nearest(name, [*short_names(), *_neighbors(name)])}"
    )


def _neighbors(name: str) -> list[str]:
    """Return the folders and lists of images where a mistyped one would be."""
    parent = os.path.dirname(name.rstrip("/"))
    try:
        entries = [entry.name for entry in os.scandir(parent or ".") if not entry.name.startswith(".")]
    except OSError:
        return []
    return [path for path in (os.path.join(parent, entry) for entry in entries) if is_own_images(path)]


def _refuse_annotations(name: str) -> None:
    """Refuse a list of images in JSON, and name what reads it.

    Raises:
        UserError: It is an annotation file, or one in the format of COCO.
    """
    if not name.lower().endswith(".json") or not is_file(name):
        return
    with translating(name, "config file", verb="read"), open(name, "rb") as file:
        keys = set(re.findall(rb'"(\w+)"\s*:', file.read(HEAD)))
    if keys & {b"images", b"categories", b"licenses"}:
        raise UserError(
            f"config {name} is a list of images in the format of COCO; tools/convert_from_iNat.py converts it, if each "
            "image has one category"
        )
    if keys & {b"annotations", b"num_classes", b"fpath"}:
        siblings = [re.sub("train", split, os.path.basename(name)) for split in ("valid", "val")]
        others = [os.path.join(os.path.dirname(name), sibling) for sibling in siblings]
        valid = next((path for path in others if path != name and is_file(path)), "VALID.json")
        lists = ["DATASET.TRAIN_JSON", name, "DATASET.VALID_JSON", valid]
        command = shlex.join(["longtail", "train", OWN_IMAGES, "DATASET.DATASET", "annotations", *lists])
        raise UserError(f"config {name} is an annotation file; to train on it: {command}")


def is_recipe(source: str) -> bool:
    """Return whether a config source, or its last part, is a recipe: a file with stages."""
    part = source if is_file(source) else source.split(",")[-1]
    try:
        lines = read_text(find_config(part), "config file").splitlines()
    except UserError:
        return False  # reported when it is loaded
    return any(line.startswith("stages:") for line in lines)
