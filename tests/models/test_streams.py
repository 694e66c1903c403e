"""Experts in parallel streams."""

from typing import Any

import torch
from torch import Tensor

from longtail.models.streams import in_streams


def test_in_streams_returns_the_outputs_of_every_network_in_order() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    streams: list[Any] = [torch.get_device_module(device).Stream() for _ in range(3)]
    images = torch.rand(2, 3, 4, 4, device=device, requires_grad=True)

    def network(factor: int) -> Any:
        def forward(x: Tensor) -> tuple[Tensor, Tensor]:
            return x * factor, x.sum()

        return forward

    results = in_streams([network(k) for k in range(3)], images, streams=streams)
    for k, (scaled, total) in enumerate(results):
        torch.testing.assert_close(scaled, images * k)
        torch.testing.assert_close(total, images.sum())
    torch.stack([scaled.sum() for scaled, _ in results]).sum().backward()
    torch.testing.assert_close(images.grad, torch.full_like(images, 3.0))
