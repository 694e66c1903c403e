"""Names to parts: how a word in a YAML file finds the code that it stands for."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from longtail.errors import UserError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` for the known name most like `name`, or nothing when none is near."""
    folded = {word.lower(): word for word in known}
    match = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[match[0]]}?" if match else ""


class Registry(Generic[T]):
    """A table of named parts of one kind, filled by decorators beside the parts themselves.

    Args:
        kind: what the entries are, as error messages should call them ("loss", "backbone").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[T], T]:
        """Return a decorator that enters a part under each of `names`.

        Raises:
            ValueError: a name is taken.
        """

        def enter(part: T) -> T:
            for name in names:
                if name in self._entries:
                    raise ValueError(f"{self.kind} {name!r} is registered twice")
                self._entries[name] = part
            return part

        return enter

    def get(self, name: str, aliases: Iterable[str] = ()) -> T:
        """Return the part called `name`.

        Args:
            name: as registered.
            aliases: other names that a user may have meant, looked through for the nearest match.

        Raises:
            UserError: there is none; the message lists what there is and the nearest match.
        """
        if name not in self._entries:
            known = ", ".join(sorted(self._entries))
            raise UserError(
                f"unknown {self.kind} {name!r}; there is: {known}{nearest(name, [*self._entries, *aliases])}"
            )
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
