"""The files that a run starts from: weights and generated images of earlier trainings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import KEYS, value_of
from longtail.errors import UserError
from longtail.files import sha256_or
from longtail.methods import method_entry

KINDS = ("weights", "images")  # values of `Key.file` for files that earlier trainings make
ABSENT = "absent"


def input_keys() -> list[str]:
    """Return the keys that may name a file which an earlier training made."""
    return [name for name, key in KEYS.items() if key.file in KINDS]


def is_used(cfg: CfgNode, name: str) -> bool:
    """Return whether a config uses the file that a key names."""
    key = KEYS[name]
    if name in method_entry(cfg).files:
        return True
    if key.when is None:
        return bool(value_of(cfg, name))
    condition, wanted = key.when
    if name == "RESUME_MODEL" and not cfg.RESUME_MODEL:
        return False
    return wanted is not None and value_of(cfg, condition) == wanted


def condition_of(name: str) -> str:
    """Return a description of what must be set for the file of a key to be used."""
    when = KEYS[name].when
    if when is None:
        return "the key itself"
    condition, wanted = when
    return f"{condition} {wanted}" if wanted is not None else f"a {condition} that reads it"


def input_files(cfg: CfgNode) -> dict[str, Path]:
    """Return {key: file} of the files that a config uses.

    Raises:
        UserError: A key that must name a file is empty.
    """
    files = {}
    for name in input_keys():
        if is_used(cfg, name):
            if not value_of(cfg, name):
                raise UserError(f"{name} is empty; it must name the file that this training starts from")
            files[name] = Path(value_of(cfg, name))
    return files


def check_input_files(cfg: CfgNode) -> None:
    """Refuse a config that uses a file which does not exist.

    Raises:
        UserError: A file does not exist; the message names the key and the file.
    """
    for name, path in input_files(cfg).items():
        if not path.is_file():
            raise UserError(f"{name}: file {path} does not exist")


def input_records(cfg: CfgNode) -> dict[str, dict[str, str]]:
    """Return {key: record} of the files that a config uses, see `record`."""
    return {name: record(path) for name, path in input_files(cfg).items()}


def record(path: Path) -> dict[str, str]:
    """Return {"file", "sha256"} of a file; the latter is "absent" if it cannot be read."""
    return {"file": str(path), "sha256": sha256_or(path, ABSENT)}


def differing_inputs(recorded: Any, current: dict[str, dict[str, str]]) -> list[str]:
    """Return the keys whose files differ between the record of a run and now, in content or in whether they are used.

    Other entries of the record, such as the checkpoint that a stage evaluates, are not compared.
    """
    used = [name for name in _entries(recorded) if name in input_keys()]
    return differing_files(recorded, {**dict.fromkeys(used), **current})


def differing_files(recorded: Any, current: Mapping[str, Any]) -> list[str]:
    """Return the keys of `current` whose digests differ from those in the record of a run."""
    known = _entries(recorded)
    return [name for name, entry in current.items() if _digest(known.get(name)) != _digest(entry)]


def _entries(recorded: Any) -> dict[str, Any]:
    """Return the entries of a record; none if it is damaged."""
    return recorded if isinstance(recorded, dict) else {}


def _digest(entry: Any) -> str | None:
    return str(entry["sha256"]) if isinstance(entry, dict) and "sha256" in entry else None


def kind_of(name: str) -> str:
    """Return the kind of file that a key names, "weights" or "images"."""
    return KEYS[name].file
