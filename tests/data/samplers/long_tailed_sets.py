"""Long-tailed data sets without images, for samplers, which use labels only."""

import torch

from longtail.config import load_config
from longtail.data import ImageSet, Sampler, build_sampler

COUNTS = [100, 40, 20, 10, 5]
WEIGHTED = ("TRAIN.SAMPLER.TYPE", "weighted sampler", "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE")
NCL = "TRAIN.SAMPLER.MULTI_NETWORK_TYPE"
# The config keys of all weighted samplers.
CONFIGS = {
    "balance": (*WEIGHTED, "balance"),
    "square": (*WEIGHTED, "square"),
    "progressive": (*WEIGHTED, "progressive"),
    "NCL balance": (NCL, ["weighted_balance"]),
    "NCL square": (NCL, ["weighted_square"]),
    "NCL progressive": (NCL, ["weighted_progressive"]),
}
REVERSE = ("TRAIN.SAMPLER.TYPE", "bbn sampler")


def long_tailed(counts: list[int] = COUNTS, generated: list[int] | None = None, seed: int = 0) -> ImageSet:
    """Return a set with `counts` images per class in a random order, followed by `generated` ones."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    if generated:
        labels = torch.cat([labels, torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(generated))])
    images = torch.empty(0)
    return ImageSet("set", labels, num_classes=len(counts), load=lambda: images, num_generated=sum(generated or []))


def sampler_of(*overrides: object, images: ImageSet | None = None) -> Sampler:
    """Return the sampler of a config with ten epochs; of a pair, the sampler of the partners."""
    sampler = build_sampler(load_config(None, ["TRAIN.MAX_EPOCH", 10, *overrides]), images or long_tailed())
    return sampler.partner or sampler
