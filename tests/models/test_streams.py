"""Experts that run at once say what they say one after another."""

import torch

from longtail.models.streams import in_streams


def streams_of(device, number):
    return [torch.get_device_module(device).Stream() for _ in range(number)]


def test_every_network_sees_the_images_and_order_is_kept():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.rand(2, 3, 4, 4, device=device, requires_grad=True)
    networks = [lambda x, k=k: (x * k, x.sum()) for k in range(3)]
    results = in_streams(networks, images, streams_of(device, 3))
    for k, (scaled, total) in enumerate(results):
        torch.testing.assert_close(scaled, images * k)
        torch.testing.assert_close(total, images.sum())
    sum(scaled.sum() for scaled, _ in results).backward()
    torch.testing.assert_close(images.grad, torch.full_like(images, 3.0))
