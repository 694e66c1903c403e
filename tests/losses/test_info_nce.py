"""InfoNCE."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.info_nce import info_nce
from longtail.models.heads import l2_normalize


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return l2_normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def draw(width: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and queue of two experts."""
    return vectors(2, 5, width), vectors(2, 5, width, seed=1), vectors(2, 7, width, seed=2)


def info_nce_loop(queries: Tensor, keys: Tensor, queue: Tensor, *, temperature: float) -> float:
    total = 0.0
    for q_of, k_of, n_of in zip(queries.tolist(), keys.tolist(), queue.tolist(), strict=True):
        for q, k in zip(q_of, k_of, strict=True):
            cosines = [sum(a * b for a, b in zip(q, other, strict=True)) for other in [k, *n_of]]
            scores = [math.exp(cosine / temperature) for cosine in cosines]
            total -= math.log(scores[0] / sum(scores)) / len(q_of)
    return total


def value(parts: tuple[Tensor, Tensor, Tensor], temperature: float = 0.2) -> Tensor:
    queries, keys, queue = parts
    return info_nce(queries, keys, queue=queue, temperature=temperature)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_info_nce_matches_loop(temperature: float) -> None:
    expected = info_nce_loop(*draw(), temperature=temperature)
    assert float(value(draw(), temperature)) == pytest.approx(expected, rel=1e-5)


def test_info_nce_gradient_matches_cross_entropy() -> None:
    queries, keys, queue = draw()
    queries.requires_grad_()
    logits = torch.cat([(queries * keys).sum(2, keepdim=True), queries @ queue.transpose(1, 2)], dim=2) / 0.2
    expected = torch.stack([F.cross_entropy(rows, torch.zeros(5, dtype=torch.int64)) for rows in logits]).sum()
    (wanted,) = torch.autograd.grad(expected, queries)
    (gradient,) = torch.autograd.grad(value((queries, keys, queue)), queries)
    torch.testing.assert_close(gradient, wanted)


def test_info_nce_does_not_depend_on_queue_order_and_common_rotation() -> None:
    queries, keys, queue = draw()
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3))).Q
    expected = value(draw())
    torch.testing.assert_close(value((queries, keys, queue.flip(1))), expected)
    torch.testing.assert_close(value((queries @ rotation, keys @ rotation, queue @ rotation)), expected)


def test_info_nce_of_half_precision_queries_is_computed_in_float32() -> None:
    queries, keys, queue = draw(64)
    half = queries.bfloat16()
    found = value((half, keys, queue), 0.07)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, value((half.float(), keys, queue), 0.07), rtol=0, atol=0)


def test_info_nce_is_computed_in_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found: Any = value(draw(64), 0.07)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, value(draw(64), 0.07), rtol=0, atol=0)
