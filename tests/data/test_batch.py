"""A batch changes, moves and is copied as a whole, its partner with it."""

import torch

from longtail.data import Batch


def batch(seed, partner=None):
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (1, 2, 3, 4, 4), generator=random, dtype=torch.uint8)
    return Batch(images, torch.randint(9, (2,), generator=random), torch.randint(9, (2,), generator=random), partner)


def test_it_moves_with_its_partner():
    moved = batch(0, batch(1)).to(torch.device("meta"))
    assert moved.images.is_meta and moved.labels.is_meta and moved.indices.is_meta
    assert moved.partner.images.is_meta and moved.partner.partner is None
    assert batch(0).to(torch.device("cpu")).partner is None


def test_a_copy_takes_the_place_of_what_was_there():
    place, new = batch(0, batch(1)), batch(2, batch(3))
    addresses = [one.images.data_ptr() for one in (place, place.partner)]
    place.copy_(new)
    for own, other in ((place, new), (place.partner, new.partner)):
        assert all(torch.equal(*pair) for pair in zip(own[:3], other[:3], strict=True))
    assert [one.images.data_ptr() for one in (place, place.partner)] == addresses


def test_the_samples_of_the_partner_stand_behind():
    one = batch(0, batch(1))
    assert one.all_indices.tolist() == one.indices.tolist() + one.partner.indices.tolist()
