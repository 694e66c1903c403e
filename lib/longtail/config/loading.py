"""From YAML files and KEY VALUE pairs to one frozen, checked config."""

import contextlib
import math
import os
import re
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config.declared import check_values, defaults, flatten
from longtail.config.description import describe_backbone
from longtail.config.files import find_config, is_short_name
from longtail.config.key import Key
from longtail.config.keys import KEYS
from longtail.config.names import resolve
from longtail.config.yaml_files import read_yaml
from longtail.errors import UserError
from longtail.registry import nearest
from longtail.user_files import check_path, is_file

BASE = "_BASE_"
OVERRIDE = "override"
REMOVED = {"LOSS.Cascade.GLOBAL_BINS"}  # keys of older versions, which config.yaml of a run may still have
FOR = "_FOR_"
LONGEST = 10_000  # a longer value of the command line is not parsed, in characters
BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}
_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    tuple: "a list",
    list: "a list",
}

Source = str | Path | Sequence[str | Path]


def load_config(path: Source | None = None, overrides: Sequence[Any] = ()) -> CfgNode:
    """Merge YAML files and overrides into the defaults, and replace released names by this project's.

    A file may begin with `_BASE_: other.yaml` (or a list): those are merged first. Their paths start at the file's
    folder; they may be short names. Settings under `_FOR_: {name: ...}` are merged right after a later file of that
    name, so that the file of a data set may hold what a method needs to know of it.

    Args:
        path: YAML file, or several (a list, or one string with commas), merged from left to right. A name without
            `.yaml` is looked up under `configs/`, see `find_config`. None: the defaults.
        overrides: KEY, VALUE, KEY, VALUE, ...; values typed, or as written on a command line.

    Returns:
        The frozen config.

    Raises:
        UserError: A file is missing or malformed, a key is unknown, a value has the wrong type or is not allowed.
    """
    cfg = defaults()
    paths = split_paths(path)
    later: dict[str, list[tuple[str, dict[str, Any]]]] = {}  # name -> settings to merge after the file of that name
    for part in paths:
        for source, content in _with_bases(find_config(part), ()):
            for name, settings in _for_others(content, source).items():
                later.setdefault(name, []).append((str(source), settings))
            _merge(cfg, content, source=str(source))
            for origin, settings in later.get(source.stem, []):
                _merge(cfg, settings, source=origin)
    _merge_overrides(cfg, list(overrides))
    if KEYS["NAME"].default == cfg.NAME and paths and (len(paths) > 1 or is_short_name(paths[0])):
        cfg.NAME = "_".join(Path(part).stem for part in paths)
    check_values(cfg)
    resolve(cfg)
    if 0 in cfg.INPUT_SIZE:
        cfg.INPUT_SIZE = describe_backbone(cfg).size
    if cfg.TRAIN.TWO_STAGE.START_EPOCH == 0:
        cfg.TRAIN.TWO_STAGE.START_EPOCH = _before_last_fifth(cfg.TRAIN.MAX_EPOCH)
    cfg.freeze()
    return cfg


def changed(cfg: CfgNode, *overrides: Any) -> CfgNode:
    """Return a frozen copy of a config with other values, KEY, VALUE, ..., which are checked."""
    copy = cfg.clone()
    copy.defrost()
    _merge_overrides(copy, list(overrides))
    check_values(copy)
    copy.freeze()
    return copy


def split_paths(path: Source | None) -> list[str]:
    """Return the parts of a config source; a string is split at its commas."""
    if path is None:
        return []
    if isinstance(path, Path):
        return [str(path)]
    if isinstance(path, str):
        return [path] if is_file(path) else path.split(",")
    return [str(part) for part in path] if isinstance(path, (list, tuple)) else [str(path)]


def _before_last_fifth(epochs: int) -> int:
    """Return 80 % of the epochs, rounded; if there are two or more, one is left."""
    return max(1, min(round(0.8 * epochs), epochs - 1))


def _with_bases(path: Path, children: tuple[Path, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield (path, content) of a file's bases, then of the file itself."""
    check_path(path, "config file")
    resolved = path.resolve()
    if resolved in children:
        raise UserError(f"{path}: {BASE} includes this file itself")
    content = read_yaml(path)
    bases = content.pop(BASE, [])
    listed = bases if isinstance(bases, list) else [bases]
    if not all(isinstance(base, str) for base in listed):
        raise UserError(f"{path}: {BASE} must be the path of a file, or a list of paths, not {bases!r}")
    for base in listed:
        sibling = path.parent / base
        found = find_config(base) if is_short_name(base) and not sibling.exists() else sibling
        yield from _with_bases(found, (*children, resolved))
    yield path, content


def _for_others(content: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Remove the section `_FOR_` from the content of a file and return it: {name of a config file: settings}."""
    settings = content.pop(FOR, None) or {}
    if not isinstance(settings, dict) or not all(isinstance(value, dict) for value in settings.values()):
        raise UserError(f"{path}: {FOR} must map names of config files to sections of keys, not {settings!r}")
    return settings


def _merge(cfg: CfgNode, content: Mapping[str, Any], *, source: str, prefix: str = "") -> None:
    """Merge a nested dictionary into the config, in place."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name in REMOVED and source != OVERRIDE:
            continue
        if key not in cfg:
            name = _first_leaf(name, value)
            raise UserError(f"{source}: unknown key {name}{_nearest_key(name)}")
        if isinstance(cfg[key], CfgNode):
            if value is None:  # an empty section, as in NCL's files
                continue
            if not isinstance(value, dict):
                raise UserError(f"{source}: {name} is a section of keys, not a value ({value!r})")
            _merge(cfg[key], value, source=source, prefix=f"{name}.")
        else:
            cfg[key] = _typed(value, KEYS[name], name=name, source=source)


def _merge_overrides(cfg: CfgNode, overrides: list[Any]) -> None:
    if len(overrides) % 2:
        raise UserError(f"overrides come in pairs KEY VALUE; {overrides[-1]!r} has no value")
    for name, value in zip(overrides[::2], overrides[1::2], strict=True):
        content: Any = value
        for part in reversed(str(name).split(".")):
            content = {part: content}
        _merge(cfg, content, source=OVERRIDE)


def _first_leaf(name: str, value: Any) -> str:
    """Return the whole dotted key of the first value in an unknown section."""
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        name = f"{name}.{key}"
    return name[:200]


def _nearest_key(name: str) -> str:
    return nearest(name, (known for known, _ in flatten(defaults())))


def _typed(value: Any, key: Key, *, name: str, source: str) -> Any:
    """Return the value in the type of its key.

    Raises:
        UserError: It has another type.
    """
    value, wanted = _plain(value), type(key.default)
    parsed = _parse(value) if isinstance(value, str) and wanted is not str else value
    if wanted is str and isinstance(parsed, (int, float)) and not isinstance(parsed, bool):
        parsed = str(parsed)  # a NAME or a path that looks like a number
    if key.pairs and isinstance(parsed, Mapping):
        parsed = [f"{entry}={number}" for entry, number in parsed.items()]
    if key.lists and isinstance(parsed, (list, tuple)):
        parsed = ",".join(map(str, parsed))
    if parsed is False and "off" in key.allowed:
        parsed = "off"  # a config file of an older version may hold the False that YAML made of it
    if wanted is float and type(parsed) is int:
        parsed = _as_float(parsed)
    if wanted is bool and isinstance(parsed, str):
        parsed = BOOLEANS.get(parsed.lower(), parsed)
    if wanted in (list, tuple) and isinstance(parsed, (list, tuple)):
        return wanted(parsed)
    if type(parsed) is not wanted:
        shown = repr(value) if len(repr(value)) <= 100 else f"{repr(value)[:97]}..."
        raise UserError(f"{source}: {name} must be {_KINDS[wanted]}, not {shown} (default {key.default!r})")
    return _expanded(parsed, name=name, source=source) if key.file and wanted is str else parsed


def _plain(value: Any) -> Any:
    """Return the number, string or path of another library, as of NumPy, as a plain value of Python."""
    if isinstance(value, (list, tuple)):
        plain = [_plain(item) for item in value]
        return plain if isinstance(value, list) else tuple(plain)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value) if isinstance(value, str) else value


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf  # refused by the bounds of the key


def _expanded(path: str, *, name: str, source: str) -> str:
    """Return a path with `~` and variables of the environment replaced, unless it exists as it is.

    Raises:
        UserError: A variable is not set.
    """
    check_path(path, f"{source}: {name}")
    if os.path.exists(path):
        return path
    expanded = os.path.expanduser(os.path.expandvars(path))
    unknown = re.search(r"\$(\w+|\{\w+\})", path)
    if unknown and unknown[0] in expanded:
        raise UserError(f"{source}: {name} is {path!r}; the environment variable {unknown[0]} is not set")
    return expanded


def _parse(text: str) -> Any:
    """Parse a literal of Python (`2e-4`, `(32, 32)`) or YAML (`[crop, simclr]`, `true`); other text is returned."""
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if len(text) > LONGEST:
        return text
    with contextlib.suppress(Exception):  # ValueError, SyntaxError, TypeError, MemoryError, RecursionError
        return literal_eval(text.strip())
    if text.lstrip().startswith(("[", "(")):  # a list of names without quotes
        return _list_of_names(text.strip())
    return text


def _list_of_names(text: str) -> Any:
    """Parse `[crop, simclr]` or `(crop, simclr)`; return anything else unchanged."""
    if not re.fullmatch(r"[\[(][\w\s,./=-]*[\])]", text):
        return text
    return [_parse(part.strip()) for part in text[1:-1].split(",") if part.strip()]
