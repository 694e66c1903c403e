"""Reading YAML files of KEY: VALUE lines, as they are written, and writing them.

YAML 1.1 reads `12:30` as 750, `010` as 8, `1_000` as 1000, `2026-01-31` as a date and `no` as False. Here these are
strings; a key that needs a number or a boolean parses them itself or refuses them.
"""

import copy
import functools
import re
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from longtail.errors import UserError, one_line
from longtail.user_files import read_text, shown

MOST = 100_000  # values of a file, with aliases expanded
DEEPEST = 50  # levels of nesting


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """A safe YAML loader that refuses a key written twice; YAML would silently drop the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        merge = "tag:yaml.org,2002:merge"  # `<<` may be written several times
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"key {twice!r} is written twice", problem_mark=node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_TAGS = {  # kinds of plain scalars; everything else is a string
    "tag:yaml.org,2002:bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    "tag:yaml.org,2002:int": (re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), "-+0123456789"),
    "tag:yaml.org,2002:float": (
        re.compile(
            r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?[0-9]+[eE][-+]?[0-9]+$"
            r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN)$"
        ),
        "-+0123456789.",
    ),
    "tag:yaml.org,2002:null": (re.compile(r"^(?:~|null|Null|NULL|)$"), "~nN\0"),
    "tag:yaml.org,2002:merge": (re.compile(r"^(?:<<)$"), "<"),
}
_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _TAGS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, [*_first.replace("\0", ""), *([""] if "\0" in _first else [])])


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """A YAML dumper that quotes strings which other readers, or the one above, would read as something else."""


_FLOAT = "tag:yaml.org,2002:float"
_Dumper.add_implicit_resolver(_FLOAT, _TAGS[_FLOAT][0], [*_TAGS[_FLOAT][1]])


def to_yaml(cfg: CfgNode) -> str:
    """Return a config as the text of a YAML file, from which `load_config` makes the same config."""
    text: str = yaml.dump(_plain(cfg), Dumper=_Dumper)
    return text


def _plain(value: Any) -> Any:
    return {key: _plain(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def read_yaml(path: Path, kind: str = "config file") -> dict[str, Any]:
    """Read a YAML file of KEY: VALUE lines, in which no key may be written twice.

    Args:
        path: File.
        kind: Name of the kind of file, for errors.

    Raises:
        UserError: It is missing, malformed, too large, nested too deeply, or contains itself through an alias.
    """
    text = read_text(path, kind)
    where = f"{kind} {shown(path)}"
    try:
        content = copy.deepcopy(_parse(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or one_line(error)
        raise UserError(f"{where}{line}: {reason}") from None
    except RecursionError:
        raise UserError(f"{where} is nested too deeply") from None
    except Exception as error:  # `!!int abc` and the like raise what Python's own conversions raise
        raise UserError(f"{where}: a value cannot be read ({one_line(error, 80)})") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{where} holds a {type(content).__name__}; it must hold KEY: VALUE lines")
    _check_size(content, where)
    return content


@functools.lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """Return the content of a YAML text. Parsing takes most of the time of `load_config`, and configs share bases."""
    return yaml.load(text, _Loader)


def _check_size(content: Any, where: str) -> None:
    """Refuse content that contains itself, is nested too deeply, or grows too large through aliases."""
    values, stack = 0, [(content, 0)]
    while stack:
        value, depth = stack.pop()
        values += 1
        if values > MOST or depth > DEEPEST:
            raise UserError(f"{where} contains itself, is nested too deeply, or has more than {MOST:,} values")
        if isinstance(value, dict):
            stack.extend((entry, depth + 1) for entry in value.values())
            stack.extend((key, depth + 1) for key in value if not isinstance(key, (str, int, float, bool, type(None))))
        elif isinstance(value, (list, tuple, set)):
            stack.extend((entry, depth + 1) for entry in value)
