"""Reading the golden records, and filling networks by the rule in them."""

import json
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "golden"
Case = dict[str, Any]  # one entry of a record


@cache
def record(name: str) -> dict[str, Any]:
    """Return the content of a JSON record."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


@cache
def _arrays(name: str) -> Mapping[str, np.ndarray[Any, Any]]:
    arrays: Mapping[str, np.ndarray[Any, Any]] = np.load(FOLDER / f"{name}.npz")
    return arrays


def tensor(name: str, key: str) -> Tensor:
    """Return one array of a record."""
    return torch.from_numpy(_arrays(name)[key])


def has_tensor(name: str, key: str) -> bool:
    """Return whether a record has an array of that name."""
    return key in _arrays(name)


def released_parameters(shapes: Mapping[str, list[int]], fill: str = "plain") -> dict[str, Tensor]:
    """Return values for the parameters of a released network, by the rule in `networks.json`.

    Args:
        shapes: Released parameter name, without `module.`, to shape.
        fill: "norm" gives also the other weights with one dimension values around 1, see `cadel_networks.json`.
    """
    return {name: _filled(name, tuple(shape), fill) for name, shape in shapes.items()}


def _filled(name: str, shape: tuple[int, ...], fill: str) -> Tensor:
    if name.endswith(("num_batches_tracked", "queue_ptr")):
        return torch.zeros(shape, dtype=torch.int64)
    draws = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    a = torch.from_numpy(np.asarray(draws, dtype=np.float32))
    if name.endswith("running_var"):
        return a.abs() * 0.5 + 0.5
    if name.endswith("running_mean"):
        return 0.1 * a
    norm = "bn" in name or "downsample.1" in name or (fill == "norm" and len(shape) == 1)
    if norm and name.endswith("weight"):
        return 1 + 0.1 * a
    if len(shape) == 4:
        return a * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
    if len(shape) == 2 and "queue" not in name:
        return a / shape[1] ** 0.5
    return 0.1 * a


def relative_error(value: Tensor, golden: Tensor) -> float:
    """Return the largest difference, relative to the largest golden value."""
    return float((value - golden).abs().max() / golden.abs().max())
