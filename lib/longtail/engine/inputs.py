"""The files that an earlier training left and that a run starts from."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from yacs.config import CfgNode

from longtail.config import method_name
from longtail.config.validation import value_of
from longtail.errors import UserError

# Key of the tree that names the file -> whether the tree makes use of it.
INPUTS: dict[str, Callable[[CfgNode], bool]] = {
    "NETWORK.PRETRAINED_MODEL": lambda cfg: bool(cfg.NETWORK.PRETRAINED),
    "BACKBONE.PRETRAINED_MODEL": lambda cfg: bool(cfg.BACKBONE.PRETRAINED_MODEL),
    "TRAIN.COMBINER.DIVE.TEACHER_MODEL": lambda cfg: method_name(cfg) == "distillation",
    "DATASET.CAM_DATA_JSON_SAVE_PATH": lambda cfg: bool(cfg.DATASET.USE_CAM_BASED_DATASET),
}


def input_files(cfg: CfgNode) -> dict[str, Path]:
    """Return the files that a tree makes use of, by their keys.

    Raises:
        UserError: a key that must name one is empty.
    """
    files = {}
    for key, used in INPUTS.items():
        if used(cfg):
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


def input_fingerprints(cfg: CfgNode) -> dict[str, str]:
    """Return the SHA-256 of each file that a tree makes use of, by its key; of what is not there, "absent"."""
    return {key: fingerprint(path) for key, path in input_files(cfg).items()}


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file, "absent" where there is none."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError:
        return "absent"
