"""Several networks at once on one device, each in a stream of its own."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Outputs = tuple[Tensor, ...]


def in_streams(
    networks: Iterable[Callable[[Tensor], Outputs]], images: Tensor, streams: Sequence[Any]
) -> list[Outputs]:
    """Call every network with the same images; small kernels of several then share a GPU that one would not fill.

    Backward passes run in the streams of their forward passes. The host still launches one network after another:
    worth it only where the launches are recorded (TRAIN.CUDA_GRAPH).

    Args:
        networks: (B, 3, H, W) to tensors.
        images: ready in the current stream.
        streams: of the images' device, one per network.

    Returns:
        what each network gave, ready in the current stream.
    """
    device = torch.get_device_module(images.device)
    usual = device.current_stream()
    results = []
    for network, stream in zip(networks, streams, strict=True):
        stream.wait_stream(usual)
        _in_use(images, stream)
        with device.stream(stream):
            results.append(network(images))
    for outputs, stream in zip(results, streams, strict=True):
        usual.wait_stream(stream)
        for output in outputs:
            _in_use(output, usual)
    return results


def _in_use(tensor: Tensor, stream: Any) -> None:
    """Keep the memory of a tensor from being taken again while another stream than its own works with it."""
    if tensor.is_cuda:
        tensor.record_stream(stream)
