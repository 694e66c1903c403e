"""The type of the tables of released parameter names."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class NameTable:
    """Translation of the parameter names of one released system.

    Attributes:
        system: Name of the system, for messages.
        mark: Regular expression; a file of this system has at least one name that matches.
        patterns: (regular expression of a released name, own name with backreferences), tried in order.
    """

    system: str
    mark: str
    patterns: tuple[tuple[str, str], ...]

    def recognizes(self, name: str) -> bool:
        """Return whether a name occurs in files of this system only."""
        return re.match(self.mark, name) is not None

    def own(self, name: str) -> str | None:
        """Return this project's name of a released parameter, None if it has none."""
        for pattern, own in self.patterns:
            match = re.fullmatch(pattern, name)
            if match:
                return match.expand(own)
        return None
