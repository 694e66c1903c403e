"""Random number generators for the data pipeline.

Every random draw comes from a generator seeded by (run seed, purpose, epoch, ...). Draws are therefore not repeated
across epochs or workers, do not depend on the number of workers, and an epoch can be resumed at any step.
"""

import numpy as np
import torch

# Purposes of random numbers.
ORDER, AUGMENTATION, DRAW, PARTNER_AUGMENTATION, ORDERED_AUGMENTATION = 0, 1, 2, 3, 4
GENERATION = 10  # images of CAM-based sampling


def generator(*key: int) -> torch.Generator:
    """Return a CPU generator that depends only on its key.

    Args:
        key: Seed of the run, purpose, then epoch, chunk or sample; none negative.
    """
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # torch takes 63 bits
