"""Random numbers that depend on what they are for, and on nothing else.

Every draw in the data room comes from a generator seeded by (run seed, purpose, epoch, ...). So nothing is repeated
between epochs or workers, the number of workers does not matter, and an epoch can be entered in its middle.
"""

import numpy as np
import torch

ORDER, AUGMENTATION, DRAW, PARTNER_AUGMENTATION = 0, 1, 2, 3  # purposes
GENERATION = 10  # purpose: the images of CAM-based sampling


def generator(*key: int) -> torch.Generator:
    """Return a CPU generator that is a function of the key alone.

    Args:
        key: the run's seed, the purpose, then epoch, chunk or sample; each not negative.
    """
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # torch takes 63 bits
