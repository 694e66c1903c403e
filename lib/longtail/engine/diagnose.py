"""Finding the module of a network whose numbers are not finite."""

from typing import Any

import torch
from torch import Tensor, nn


def non_finite_entry(network: nn.Module) -> str | None:
    """Return the name of the first parameter or buffer that is not finite; None if all are."""
    entries = [(name, value) for name, value in network.state_dict().items() if value.is_floating_point()]
    largest = torch.nn.utils.get_total_norm([value for _, value in entries if value.numel()], torch.inf)
    if bool(torch.isfinite(largest)):
        return None
    return next(name for name, value in entries if not bool(torch.isfinite(value).all()))


@torch.no_grad()
def non_finite_module(network: nn.Module, images: Tensor) -> str | None:
    """Return the first module whose output is not finite in evaluation mode; None if the network's output is finite.

    Args:
        network: Images to outputs; its mode is restored.
        images: Normalized images, (B, 3, H, W).
    """
    finite: list[tuple[str, Tensor]] = []  # read at the end: after each module, the host would wait for a GPU

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensors = output if isinstance(output, tuple) else (output,)
            title = name or type(module).__name__
            finite.extend((title, torch.isfinite(t).all()) for t in tensors if isinstance(t, Tensor))

        return hook

    training = {module: module.training for module in network.modules()}
    network.eval()
    handles = [module.register_forward_hook(look(name)) for name, module in network.named_modules()]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    if not finite:
        return None
    verdicts: list[bool] = torch.stack([verdict for _, verdict in finite]).tolist()
    return next((name for (name, _), good in zip(finite, verdicts, strict=True) if not good), None)


def find_non_finite(network: nn.Module, images: Tensor | None) -> str | None:
    """Return a description of where the numbers of a network are not finite; None if all are finite.

    Args:
        network: Network.
        images: Normalized images on which the network is tried, (B, 3, H, W); None: only its weights are checked.
    """
    entry = non_finite_entry(network)
    if entry:
        return f"{entry} is not finite"
    module = non_finite_module(network, images) if images is not None else None
    return f"outputs of {module} are not finite" if module else None


def non_finite_state(method: nn.Module) -> str | None:
    """Return a description of the entry of a training method's state that is not finite; None if all are finite."""
    entry = non_finite_entry(method)
    return f"{entry} of the training method is not finite" if entry else None
