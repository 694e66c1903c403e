"""Reading YAML files of KEY: VALUE lines."""

from pathlib import Path
from typing import Any

import yaml

from longtail.errors import UserError


class _UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc]
    """A safe YAML loader that refuses a key written twice, of which YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        merge = "tag:yaml.org,2002:merge"  # `<<` may be written several times
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.MarkedYAMLError(problem=f"key {twice.pop()!r} is written twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, kind: str = "config file") -> dict[str, Any]:
    """Read a YAML file of KEY: VALUE lines, in which no key may be written twice.

    Args:
        path: File.
        kind: Name of the kind of file, for errors.

    Raises:
        UserError: It is missing or malformed.
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
