"""What the host decides in a training step: a recorded step is valid as long as it is unchanged."""

from typing import Any

from torch import Tensor, nn

INTERNAL = vars(nn.Module()).keys() - {"training", "_parameters", "_buffers", "_modules"}  # hooks and the like
NUMBERS = (bool, int, float, complex, str, bytes, type(None))


class HostState:
    """All attributes of an object, of the objects that they refer to, and so on, at one time.

    Numbers and strings are compared by value; tensors by identity and address, since a recorded step reads their
    current content; other objects without attributes by identity.

    Args:
        root: Object, such as a loss.
        skip: Object that is not followed.
    """

    def __init__(self, root: object, *, skip: object = None) -> None:
        self._values: list[Any] = []
        self._seen = {id(skip)}
        self._add(root)

    def __eq__(self, other: object) -> bool:
        """Return whether nothing has changed."""
        if not isinstance(other, HostState) or len(self._values) != len(other._values):
            return False
        return all(_same(*pair) for pair in zip(self._values, other._values, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _add(self, value: Any) -> None:
        """Add an object and everything that it refers to."""
        self._values.append(value)
        if isinstance(value, (*NUMBERS, type)) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, Tensor):
            self._values.append(value.data_ptr())
        elif isinstance(value, dict):
            for item in value.items():
                self._add(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._add(item)
        elif isinstance(value, nn.Module):
            self._add({name: entry for name, entry in vars(value).items() if name not in INTERNAL})
        elif hasattr(value, "__dict__"):
            self._add(vars(value))


def _same(old: Any, new: Any) -> bool:
    """Return whether two values are equal numbers, or the same object; containers are compared by their entries."""
    if isinstance(old, (dict, list, tuple)):
        return type(old) is type(new) and len(old) == len(new)
    return old is new or (isinstance(old, NUMBERS) and type(old) is type(new) and old == new)
