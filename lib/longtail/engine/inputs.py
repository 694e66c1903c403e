"""The files that an earlier training left and that a run starts from."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from yacs.config import CfgNode

from longtail.config import method_name
from longtail.config.validation import value_of
from longtail.errors import UserError


class Input(NamedTuple):
    """A key that names a file.

    Attributes:
        used: whether a tree makes use of it.
        switch: what makes it do so.
        data: the file lists generated images; False: it holds weights.
    """

    used: Callable[[CfgNode], bool]
    switch: str
    data: bool = False


INPUTS = {
    "NETWORK.PRETRAINED_MODEL": Input(lambda cfg: bool(cfg.NETWORK.PRETRAINED), "NETWORK.PRETRAINED True"),
    "BACKBONE.PRETRAINED_MODEL": Input(lambda cfg: bool(cfg.BACKBONE.PRETRAINED_MODEL), "the key itself"),
    "TRAIN.COMBINER.DIVE.TEACHER_MODEL": Input(
        lambda cfg: method_name(cfg) == "distillation", "TRAIN.COMBINER.TYPE distillation"
    ),
    "DATASET.CAM_DATA_JSON_SAVE_PATH": Input(
        lambda cfg: bool(cfg.DATASET.USE_CAM_BASED_DATASET), "DATASET.USE_CAM_BASED_DATASET True", data=True
    ),
}


def input_files(cfg: CfgNode) -> dict[str, Path]:
    """Return the files that a tree makes use of, by their keys.

    Raises:
        UserError: a key that must name one is empty.
    """
    files = {}
    for key, each in INPUTS.items():
        if each.used(cfg):
            if not value_of(cfg, key):
                raise UserError(f"{key} is empty; it must name the file that this training starts from")
            files[key] = Path(value_of(cfg, key))
    return files


def check_input_files(cfg: CfgNode) -> None:
    """Refuse a tree that makes use of a file that is not there.

    Raises:
        UserError: names the key and the file.
    """
    for key, path in input_files(cfg).items():
        if not path.is_file():
            raise UserError(f"{key}: file {path} does not exist")


def input_records(cfg: CfgNode) -> dict[str, dict[str, str]]:
    """Return path and SHA-256 of each file that a tree makes use of, by its key."""
    return {key: record(path) for key, path in input_files(cfg).items()}


def record(path: Path) -> dict[str, str]:
    """Return {"file", "sha256"} of a file; the latter is "absent" where there is none."""
    return {"file": str(path), "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError:
        return "absent"
