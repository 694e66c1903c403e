"""The default config, and the checks that follow from the declarations of the keys."""

import math
from collections.abc import Iterator
from typing import Any

from yacs.config import CfgNode

from longtail.config.key import LARGEST, Key
from longtail.config.keys import KEYS
from longtail.errors import UserError
from longtail.registry import nearest
from longtail.user_files import check_path

LONGEST = 40  # digits of a number that are shown
_ITEMS = {"name": "names", "int": "whole numbers", "float": "numbers"}


def defaults() -> CfgNode:
    """Return a new config that holds the default of every key."""
    cfg = CfgNode()
    for name, key in KEYS.items():
        *sections, leaf = name.split(".")
        node = cfg
        for section in sections:
            if section not in node:
                node[section] = CfgNode()
            node = node[section]
        node[leaf] = list(key.default) if isinstance(key.default, list) else key.default
    return cfg


def value_of(cfg: CfgNode, name: str) -> Any:
    """Return the value of a dotted key."""
    node: Any = cfg
    for part in name.split("."):
        node = node[part]
    return node


def flatten(cfg: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for every key of a config."""
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_values(cfg: CfgNode) -> None:
    """Check every value against the declaration of its key, and the few rules between keys.

    Raises:
        UserError: Names the key, its value and what is allowed.
    """
    for name, key in KEYS.items():
        _check(name, key, value_of(cfg, name))
    _check_name(cfg.NAME)
    if cfg.TEST.MANY_SHOT <= cfg.TEST.FEW_SHOT:
        raise UserError(f"TEST.MANY_SHOT is {cfg.TEST.MANY_SHOT}; it must be above TEST.FEW_SHOT ({cfg.TEST.FEW_SHOT})")
    if 0 in cfg.INPUT_SIZE and any(cfg.INPUT_SIZE):
        raise UserError(f"INPUT_SIZE is {tuple(cfg.INPUT_SIZE)}; both sizes must be 0, or none")
    steps = list(cfg.TRAIN.LR_SCHEDULER.LR_STEP)
    if len(steps) > len(set(steps)):
        raise UserError(f"TRAIN.LR_SCHEDULER.LR_STEP is {steps}; an epoch is listed twice")


def _check_name(name: str) -> None:
    """Refuse a NAME that would leave OUTPUT_DIR."""
    parts = name.split("/")
    if not name or name.startswith("~") or any(part in ("", ".", "..") for part in parts):
        raise UserError(f"NAME is {name!r}; it must be a name, or names joined by '/', inside OUTPUT_DIR")
    check_path(name, "NAME")


def _check(name: str, key: Key, value: Any) -> None:
    if isinstance(value, (list, tuple)):
        _check_items(name, key, value)
    elif isinstance(value, str):
        if key.allowed and value not in key.allowed:
            allowed = ", ".join(repr(choice) for choice in key.allowed)
            raise UserError(f"{name} is {value!r}; allowed: {allowed}{nearest(value, key.allowed)}")
        if "\0" in value or not value.isprintable():
            raise UserError(f"{name} is {value!r}; it must not hold control characters")
        check_path(value, name)  # limits the length
    elif not isinstance(value, bool):
        _check_number(name, key, value)


def _check_items(name: str, key: Key, values: list[Any] | tuple[Any, ...]) -> None:
    kinds = {"name": (str,), "int": (int,), "float": (int, float)}[key.items]
    if not all(isinstance(item, kinds) and not isinstance(item, bool) for item in values):
        raise UserError(f"{name} is {values!r}; it must be a list of {_ITEMS[key.items]}")
    if key.length and len(values) != key.length:
        raise UserError(f"{name} is {values!r}; it must have {key.length} values")
    for item in values:
        if not isinstance(item, str):
            _check_number(name, key, item)
        elif not item.isprintable():
            raise UserError(f"{name} is {values!r}; it must not hold control characters")
    if key.rising and list(values) != sorted(values):
        raise UserError(f"{name} is {values!r}; its values must be in ascending order")


def _check_number(name: str, key: Key, value: float) -> None:
    low, high = key.low, LARGEST if key.high is None else key.high
    if value == key.never and not isinstance(value, bool):
        return
    if _is_finite(value) and (low is None or value >= low) and value <= high and (value > 0 or not key.positive):
        return
    never = f", or {key.never} for never" if key.never is not None else ""
    shown = repr(value) if len(repr(value)) <= LONGEST else f"{repr(value)[:LONGEST]}..."
    raise UserError(f"{name} is {shown}; it must be {_range(key, value)}{never}")


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)  # an int may be too large for a float


def _range(key: Key, value: float) -> str:
    """Return the allowed range in words; the default upper bound is mentioned only if the value exceeds it."""
    high = key.high
    if high is None and (not _is_finite(value) or value > LARGEST):
        high = LARGEST
    if key.positive:
        return f"greater than 0 and at most {_spell(high)}" if high is not None else "greater than 0"
    if key.low is not None and high is not None:
        return f"between {_spell(key.low)} and {_spell(high)}"
    return f"at most {_spell(high or 0)}" if key.low is None else f"at least {_spell(key.low)}"


def _spell(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"
