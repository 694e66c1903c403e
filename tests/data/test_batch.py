"""Tests of Batch: moving and copying include the partner."""

from typing import Any

import torch

from longtail.data import Batch


def batch(seed: Any, partner: Any = None) -> Any:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (1, 2, 3, 4, 4), generator=random, dtype=torch.uint8)
    return Batch(images, torch.randint(9, (2,), generator=random), torch.randint(9, (2,), generator=random), partner)


def test_to_moves_partner() -> None:
    moved = batch(0, batch(1)).to(torch.device("meta"))
    assert moved.images.is_meta and moved.labels.is_meta and moved.indices.is_meta
    assert moved.partner.images.is_meta and moved.partner.partner is None
    assert batch(0).to(torch.device("cpu")).partner is None


def test_copy_in_place() -> None:
    target, new = batch(0, batch(1)), batch(2, batch(3))
    addresses = [part.images.data_ptr() for part in (target, target.partner)]
    target.copy_(new)
    for own, other in ((target, new), (target.partner, new.partner)):
        assert all(torch.equal(*pair) for pair in zip(own[:3], other[:3], strict=True))
    assert [part.images.data_ptr() for part in (target, target.partner)] == addresses


def test_all_indices_of_batch_and_partner() -> None:
    paired = batch(0, batch(1))
    assert paired.all_indices.tolist() == paired.indices.tolist() + paired.partner.indices.tolist()
