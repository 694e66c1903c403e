import math

import pytest
import torch

from longtail.losses.info_nce import info_nce
from longtail.models.heads import l2_normalize


def vectors(*shape, seed=0):
    return l2_normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def by_loops(queries, keys, queue, temperature):
    total = 0.0
    for q_of, k_of, n_of in zip(queries.tolist(), keys.tolist(), queue.tolist(), strict=True):
        for q, k in zip(q_of, k_of, strict=True):
            cosines = [sum(a * b for a, b in zip(q, other, strict=True)) for other in [k, *n_of]]
            scores = [math.exp(cosine / temperature) for cosine in cosines]
            total -= math.log(scores[0] / sum(scores)) / len(q_of)
    return total


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_agrees_with_loops(temperature):
    queries, keys, queue = vectors(3, 5, 4), vectors(3, 5, 4, seed=1), vectors(3, 7, 4, seed=2)
    assert float(info_nce(queries, keys, queue, temperature)) == pytest.approx(
        by_loops(queries, keys, queue, temperature), rel=1e-5
    )


def test_gradient_agrees_with_the_library_s_cross_entropy():
    queries, keys, queue = vectors(2, 5, 4).requires_grad_(), vectors(2, 5, 4, seed=1), vectors(2, 7, 4, seed=2)
    logits = torch.cat([(queries * keys).sum(2, keepdim=True), queries @ queue.transpose(1, 2)], dim=2) / 0.2
    expected = sum(torch.nn.functional.cross_entropy(one, torch.zeros(5, dtype=torch.int64)) for one in logits)
    (wanted,) = torch.autograd.grad(expected, queries)
    (gradient,) = torch.autograd.grad(info_nce(queries, keys, queue, 0.2), queries)
    torch.testing.assert_close(gradient, wanted)


def test_the_order_of_the_queue_and_a_common_rotation_do_not_matter():
    queries, keys, queue = vectors(2, 5, 4), vectors(2, 5, 4, seed=1), vectors(2, 7, 4, seed=2)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3))).Q
    value = info_nce(queries, keys, queue, 0.2)
    torch.testing.assert_close(info_nce(queries, keys, queue.flip(1), 0.2), value)
    torch.testing.assert_close(info_nce(queries @ rotation, keys @ rotation, queue @ rotation, 0.2), value)


def test_is_computed_in_float32_under_autocast():
    queries, keys, queue = vectors(2, 5, 64), vectors(2, 5, 64, seed=1), vectors(2, 7, 64, seed=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = info_nce(queries, keys, queue, 0.07)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, info_nce(queries, keys, queue, 0.07), rtol=0, atol=0)
