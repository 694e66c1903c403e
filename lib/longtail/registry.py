"""Registries: from a name in a YAML file to the component that it selects."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from longtail.errors import UserError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` for the known name most like `name`, or an empty string if none is similar."""
    folded = {word.lower(): word for word in known}
    match = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[match[0]]}?" if match else ""


class Registry(Generic[T]):
    """A table of named components of one kind, filled by decorators where the components are defined.

    Args:
        kind: Noun for the entries in error messages ("loss", "backbone").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[T], T]:
        """Return a decorator that registers a component under each of `names`.

        Raises:
            ValueError: A name is already registered.
        """

        def enter(component: T) -> T:
            for name in names:
                if name in self._entries:
                    raise ValueError(f"{self.kind} {name!r} is registered twice")
                self._entries[name] = component
            return component

        return enter

    def get(self, name: str, aliases: Iterable[str] = ()) -> T:
        """Return the component called `name`.

        Args:
            name: Registered name.
            aliases: Further names to search for the nearest match.

        Raises:
            UserError: The name is unknown; the message lists the known names and the nearest match.
        """
        if name not in self._entries:
            known = ", ".join(sorted(self._entries))
            raise UserError(
                f"unknown {self.kind} {name!r}; available: {known}{nearest(name, [*self._entries, *aliases])}"
            )
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
