from typing import Any

import pytest
import torch
from long_tailed_sets import CONFIGS, long_tailed, sampler_of

DRS = ("TRAIN.TWO_STAGE.DRS", True, "TRAIN.TWO_STAGE.START_EPOCH", 4)


@pytest.mark.parametrize("name", CONFIGS)
def test_deferred_switches_after_start_epoch(name: Any) -> None:
    deferred, plain, weighted = sampler_of(*CONFIGS[name], *DRS), sampler_of(), sampler_of(*CONFIGS[name])
    for epoch in range(1, 11):
        expected = plain if epoch <= 4 else weighted  # progressive: the fraction of the whole training
        assert torch.equal(deferred.indices(epoch), expected.indices(epoch))


def test_deferred_has_no_state() -> None:
    sampler = sampler_of(*CONFIGS["balance"], *DRS)
    early, late = sampler.indices(4), sampler.indices(5)
    assert torch.equal(sampler.indices(4), early)
    assert torch.equal(sampler.indices(5), late)


def test_start_epoch_ignored_without_drs() -> None:
    weighted = sampler_of(*CONFIGS["balance"])
    assert torch.equal(sampler_of(*CONFIGS["balance"], *DRS[2:]).indices(1), weighted.indices(1))


def test_deferred_generated_images_only_after_switch() -> None:
    images = long_tailed(generated=[0, 0, 0, 0, 500])
    sampler = sampler_of(*CONFIGS["balance"], *DRS, images=images)
    assert sampler.indices(4).max() < images.num_original <= sampler.indices(5).max()
