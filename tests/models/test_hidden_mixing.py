"""Mixing rows; mixing inside a network is tested with manifold mixup."""

import pytest
import torch
from torch import nn

from longtail.models import chunks_of, mix


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mix_with_one_lam(dtype: torch.dtype) -> None:
    rows, others = torch.tensor([[1.0, 2.0]], dtype=dtype), torch.tensor([[3.0, 6.0]], dtype=dtype)
    mixed = mix(rows, others, lam=torch.tensor(0.25))
    assert mixed.dtype == dtype
    assert mixed.tolist() == [[2.5, 5.0]]


def test_mix_with_a_lam_per_row() -> None:
    rows, others = torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    mixed = mix(rows, others, lam=torch.tensor([0.25, 1.0]))
    assert mixed[0].eq(0.25).all() and mixed[1].eq(1).all()


def test_chunks_of_a_plain_network_is_one() -> None:
    rows = torch.arange(7)
    assert chunks_of(rows, nn.Identity()) == (rows,)


def test_chunks_of_data_parallel_are_those_of_its_devices() -> None:
    network = nn.DataParallel(nn.Identity())
    assert [chunk.tolist() for chunk in chunks_of(torch.arange(5), network)] == [[0, 1, 2, 3, 4]]
    network.device_ids = [0, 1, 2]
    assert [chunk.tolist() for chunk in chunks_of(torch.arange(5), network)] == [[0, 1], [2, 3], [4]]
