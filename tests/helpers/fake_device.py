"""A fake GPU: tensors on it have shapes, types and devices, but no values; tensors on the host are real.

An operation on tensors of different devices fails as on a GPU, and so does an operation that would wait for the GPU
(`.item()`). Without a driver there is no backward pass and no fused optimizer: gradients of zeros replace the first,
the second is skipped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)
_ORIGINAL: Callable[..., nn.Module] = nn.Module.to


class _HostIsReal(TorchDispatchMode):
    """Mode that passes operations on the GPU to the mode below, which fakes them, and computes everything else."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        kwargs = kwargs or {}
        if any(_on_gpu(leaf) for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        with _disable_current_modes():
            return func(*args, **kwargs)


def _on_gpu(leaf: object) -> bool:
    return isinstance(leaf, FakeTensor) or (isinstance(leaf, torch.device) and leaf.type == "cuda")


def _move(module: nn.Module, device: torch.device | None = None, **layout: Any) -> nn.Module:
    """Move a module: PyTorch swaps the content of a parameter, which fails where others refer to it."""
    if device is None:
        return _ORIGINAL(module, **layout)
    moved: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and parameter.device != device:
                new = moved.setdefault(
                    id(parameter), nn.Parameter(parameter.detach().to(device), requires_grad=parameter.requires_grad)
                )
                part._parameters[name] = new
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(device)
    return module


def _zero_gradients(loss: Tensor, parameters: list[Tensor]) -> None:
    """Check the loss, and give every parameter a gradient of zeros."""
    assert loss.device == GPU
    assert loss.requires_grad
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)


@contextmanager
def fake_gpu() -> Iterator[pytest.MonkeyPatch]:
    """Context manager in which tensors and modules can be on `GPU`; yields the stack that undoes changes at its end."""
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True), _HostIsReal():
        patch.setattr(nn.Module, "to", _move)
        yield patch


def without_driver(patch: pytest.MonkeyPatch, optimizer: torch.optim.Optimizer) -> None:
    """Replace the backward pass by gradients of zeros, and skip the fused optimizer step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    patch.setattr(optimizer, "step", lambda *args, **kwargs: None)
    patch.setattr(Tensor, "backward", lambda loss, *args, **kwargs: _zero_gradients(loss, parameters))
