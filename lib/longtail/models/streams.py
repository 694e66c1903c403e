"""Several networks at once on one device, each in its own CUDA stream."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Outputs = tuple[Tensor, ...]


def in_streams(
    networks: Iterable[Callable[[Tensor], Outputs]], images: Tensor, *, streams: Sequence[Any]
) -> list[Outputs]:
    """Call every network with the same images, so that small kernels of several networks run in parallel on one GPU.

    Backward passes run in the streams of their forward passes. The host still launches one network after another, so
    this only helps if the launches are recorded (TRAIN.CUDA_GRAPH).

    Args:
        networks: (B, 3, H, W) to tensors.
        images: Ready in the current stream.
        streams: One per network, on the device of the images; empty: one network after another.

    Returns:
        Outputs of each network, ready in the current stream.
    """
    if not streams:
        return [network(images) for network in networks]
    device = torch.get_device_module(images.device)
    current = device.current_stream()
    results = []
    for network, stream in zip(networks, streams, strict=True):
        stream.wait_stream(current)
        _in_use(images, stream)
        with device.stream(stream):
            results.append(network(images))
    for outputs, stream in zip(results, streams, strict=True):
        current.wait_stream(stream)
        for output in outputs:
            _in_use(output, current)
    return results


def _in_use(tensor: Tensor, stream: Any) -> None:
    """Keep the memory of a tensor from being reused while another stream works with it."""
    if tensor.is_cuda:
        tensor.record_stream(stream)
