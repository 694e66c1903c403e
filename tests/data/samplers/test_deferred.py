import pytest
import torch
from long_tailed_sets import TREES, long_tailed, sampler_of

DRS = ("TRAIN.TWO_STAGE.DRS", True, "TRAIN.TWO_STAGE.START_EPOCH", 4)


@pytest.mark.parametrize("name", TREES)
def test_the_first_rebalanced_epoch_is_the_one_after_the_start_epoch(name):
    deferred, plain, weighted = sampler_of(*TREES[name], *DRS), sampler_of(), sampler_of(*TREES[name])
    for epoch in range(1, 11):
        expected = plain if epoch <= 4 else weighted  # progressive: the share of the whole training
        assert torch.equal(deferred.indices(epoch), expected.indices(epoch))


def test_the_switch_goes_by_the_epoch_that_is_asked_for():
    sampler = sampler_of(*TREES["balance"], *DRS)
    early, late = sampler.indices(4), sampler.indices(5)
    assert torch.equal(sampler.indices(4), early)
    assert torch.equal(sampler.indices(5), late)


def test_start_epoch_counts_only_where_re_sampling_is_deferred():
    weighted = sampler_of(*TREES["balance"])
    assert torch.equal(sampler_of(*TREES["balance"], *DRS[2:]).indices(1), weighted.indices(1))


def test_generated_images_come_only_after_the_switch():
    images = long_tailed(generated=[0, 0, 0, 0, 500])
    sampler = sampler_of(*TREES["balance"], *DRS, images=images)
    assert sampler.indices(4).max() < images.num_original <= sampler.indices(5).max()
