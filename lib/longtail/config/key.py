"""Declaration of one configuration key: default, meaning, allowed values, and what depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST = 10**9  # upper bound of every number whose declaration gives none
MOST_EPOCHS = 10**7


@dataclass(frozen=True)
class Key:
    """Everything that is known about one key.

    Attributes:
        default: Value unless a config sets another; its type is the type of the key.
        help: Meaning, in plain sentences.
        allowed: Allowed strings; empty: any.
        low: Smallest number; for lists, of each item.
        high: Largest number.
        positive: Whether a number must be greater than 0.
        never: A number outside of the bounds that means "never".
        items: Type of the items of a list: "name", "int" or "float".
        length: Number of items of a list; 0: any.
        lists: Whether a string may be given as a list, whose items are joined by commas.
        pairs: Whether a list may be given as a mapping, whose pairs become `name=value` items.
        rising: Whether no item of a list may be smaller than the one before it.
        result: Whether the key changes what is computed; a run can resume with another value of a key that does not.
        file: Kind of file that the key names: "weights", "images", "annotations", "folder"; empty: none.
        when: (key, value) that must be set for the file to be used; None: used whenever it is named.
        ours: Whether neither NCL nor Bag of Tricks has the key.
    """

    default: Any
    help: str
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    positive: bool = False
    never: int | None = None
    items: str = ""
    length: int = 0
    lists: bool = False
    pairs: bool = False
    rising: bool = False
    result: bool = True
    file: str = ""
    when: tuple[str, Any] | None = None
    ours: bool = False


Keys = Mapping[str, Key]
