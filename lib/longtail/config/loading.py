"""From a YAML file and KEY VALUE pairs to one frozen, checked tree."""

from ast import literal_eval
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from longtail.config.defaults import defaults
from longtail.config.validation import CHOICES, check_values
from longtail.errors import UserError
from longtail.registry import nearest

BASE = "_BASE_"


def load_config(path: str | Path | None = None, overrides: Sequence[Any] = ()) -> CfgNode:
    """Merge a YAML file, the files that it is based on, and overrides into the default tree.

    A file may begin with `_BASE_: other.yaml` (or a list): those are merged first, found relative to the file itself.

    Args:
        path: the YAML file; None for the defaults alone.
        overrides: KEY, VALUE, KEY, VALUE, ...; values typed or as written on a command line.

    Returns:
        the frozen tree.

    Raises:
        UserError: a file is missing or malformed, a key is unknown, a value has the wrong type or is not allowed.
    """
    cfg = defaults()
    if path is not None:
        for source, content in _with_bases(Path(path), ()):
            _merge(cfg, content, str(source))
    _merge_overrides(cfg, list(overrides))
    check_values(cfg)
    cfg.freeze()
    return cfg


def _with_bases(path: Path, children: tuple[Path, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a file's bases, bases first, then its own content."""
    resolved = path.resolve()
    if resolved in children:
        raise UserError(f"{path}: {BASE} leads back to this file")
    content = read_yaml(path)
    bases = content.pop(BASE, [])
    listed = bases if isinstance(bases, list) else [bases]
    if not all(isinstance(base, str) for base in listed):
        raise UserError(f"{path}: {BASE} must be the path of a file, or a list of paths, not {bases!r}")
    for base in listed:
        yield from _with_bases(path.parent / base, (*children, resolved))
    yield path, content


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe YAML loader that refuses a key written twice, of which YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        merge = "tag:yaml.org,2002:merge"  # `<<` may stand there several times
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.MarkedYAMLError(problem=f"key {twice.pop()!r} is written twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, kind: str = "config file") -> dict[str, Any]:
    """Read a YAML file of KEY: VALUE lines, in which no key may stand twice.

    Args:
        path: the file.
        kind: what an error calls it.

    Raises:
        UserError: it is missing or malformed.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise UserError(f"{kind} {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{kind} {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{kind} {path}{line}: {reason}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{kind} {path} holds a {type(content).__name__}; it must hold KEY: VALUE lines")
    return content


def _merge(cfg: CfgNode, content: dict[str, Any], source: str, prefix: str = "") -> None:
    """Merge a nested dictionary into the tree, in place."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if key not in cfg:
            name = _first_leaf(name, value)
            raise UserError(f"{source}: unknown key {name}{_nearest_key(name)}")
        if isinstance(cfg[key], CfgNode):
            if value is None:  # an empty section, as NCL's files have
                continue
            if not isinstance(value, dict):
                raise UserError(f"{source}: {name} is a section of keys, not a value ({value!r})")
            _merge(cfg[key], value, source, f"{name}.")
        else:
            cfg[key] = _typed(value, cfg[key], name, source)


def _merge_overrides(cfg: CfgNode, overrides: list[Any]) -> None:
    if len(overrides) % 2:
        raise UserError(f"overrides come in pairs KEY VALUE; {overrides[-1]!r} has no partner")
    for name, value in zip(overrides[::2], overrides[1::2], strict=True):
        content: Any = value
        for part in reversed(str(name).split(".")):
            content = {part: content}
        _merge(cfg, content, "override")


def _first_leaf(name: str, value: Any) -> str:
    """Return the whole dotted key of what an unknown section holds first, which says best what was meant."""
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        name = f"{name}.{key}"
    return name


def _nearest_key(name: str) -> str:
    return nearest(name, _leaves(defaults()))


def _leaves(node: CfgNode, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


_KIND = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list",
    list: "a list",
}


def _typed(value: Any, default: Any, name: str, source: str) -> Any:
    """Return the value in its key's type, or refuse it."""
    wanted = type(default)
    parsed = _parse(value) if isinstance(value, str) and wanted is not str else value
    if wanted is str and isinstance(parsed, (int, float)) and not isinstance(parsed, bool):
        parsed = str(parsed)  # a NAME or a path that looks like a number
    if parsed is False and "off" in CHOICES.get(name, ()):
        parsed = "off"  # YAML takes a bare off for False
    if wanted is float and isinstance(parsed, int) and not isinstance(parsed, bool):
        parsed = float(parsed)
    if wanted in (list, tuple) and isinstance(parsed, (list, tuple)):
        return wanted(parsed)
    if type(parsed) is not wanted:
        raise UserError(f"{source}: {name} must be {_KIND[wanted]}, not {value!r} (default {default!r})")
    return parsed


def _parse(text: str) -> Any:
    """Read a Python literal out of a text (`2e-4`, `(32, 32)`), as yacs does."""
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
