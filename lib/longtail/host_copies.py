"""Copies of nested tensors in the memory of the host, with few transfers: a GPU takes microseconds to start each."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

PACKED_BYTES = 1 << 20  # tensors up to this size are copied together


def on_host(content: Any) -> Any:
    """Return nested dictionaries, lists and tuples with all tensors on the CPU; those that are there are not copied."""
    small: dict[Any, list[Tensor]] = {}
    for tensor in _tensors(content):
        if is_away(tensor) and 0 < tensor.nbytes <= PACKED_BYTES:
            small.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    copies: dict[int, Tensor] = {}
    for tensors in small.values():
        packed = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu()
        parts = packed.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            # empty_like keeps the strides, which a fused optimizer compares with those of the weights.
            copies[id(tensor)] = torch.empty_like(tensor, device="cpu").copy_(part.view(tensor.shape))
    return _replaced(content, copies)


def is_away(tensor: Tensor) -> bool:
    """Return whether a tensor is on another device than the CPU."""
    return tensor.device.type != "cpu"


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested values."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _tensors(entry)


def _replaced(value: Any, copies: Mapping[int, Tensor]) -> Any:
    """Return nested values with copies in the place of tensors, by their id; other tensors are copied one by one."""
    if isinstance(value, Tensor):
        return copies[id(value)] if id(value) in copies else value.detach().cpu()
    if isinstance(value, dict):
        changed = copy.copy(value)  # a state_dict keeps its metadata
        changed.update({key: _replaced(entry, copies) for key, entry in value.items()})
        return changed
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(entry, copies) for entry in value)
    return value
