"""Where config files are found: by path, or by a short name under `configs/`."""

import glob
import os
from pathlib import Path

from longtail.errors import UserError
from longtail.registry import nearest
from longtail.user_files import check_path, is_file, is_folder, read_text

OWN_IMAGES = "own,balanced_softmax"  # config for images that are given instead of a config
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
        UserError: There is no such short name; the message names the nearest match. Or it is a folder.
    """
    check_path(name, "config")
    if is_folder(name):
        raise UserError(
            f"config {name} is a folder; to combine its images with a method: own,METHOD DATASET.ROOT {name}"
        )
    if not is_short_name(name):
        return Path(name)
    for folder in FOLDERS:
        if name in _names(folder):
            return _file(folder, name)
    raise UserError(f"config {name!r} is neither a YAML file nor a name under configs/{nearest(name, short_names())}")


def is_recipe(source: str) -> bool:
    """Return whether a config source, or its last part, is a recipe: a file with stages."""
    part = source if is_file(source) else source.split(",")[-1]
    try:
        lines = read_text(find_config(part), "config file").splitlines()
    except UserError:
        return False  # reported when it is loaded
    return any(line.startswith("stages:") for line in lines)
