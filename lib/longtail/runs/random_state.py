"""The global random generators of this process."""

import logging
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from longtail.distributed import World

logger = logging.getLogger(__name__)


def random_state() -> dict[str, Any]:
    """Return the state of every global random generator of this process."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Set every global random generator of this process; those of GPUs only if it sees as many as before."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, words, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    devices = torch.cuda.device_count()
    if devices == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
    elif devices:
        logger.warning(
            "the checkpoint has the random states of %d GPUs, %d are visible now: their random numbers start from the "
            "seed",
            *(len(state["cuda"]), devices),
        )


def restore_random_states(states: Sequence[dict[str, Any]], world: World, *, seed: int, epoch: int) -> None:
    """Set the generators of this process from the states of all processes.

    What cannot be restored, such as all of them if the number of processes differs, is seeded.

    Args:
        states: State of every process, in the order of their ranks.
        world: Processes of this run.
        seed: Seed of the run.
        epoch: Epoch in which it resumes.
    """
    _seed(int(np.random.SeedSequence((seed, world.rank, epoch)).generate_state(1)[0]))
    if len(states) == world.size:
        restore_random_state(states[world.rank])
    else:
        logger.warning(
            "the checkpoint was written by %d processes, this run has %d: random numbers start from the seed",
            *(len(states), world.size),
        )


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed the global random generators, and choose between reproducible and fastest GPU kernels."""
    _seed(seed)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (libraries draw from it)
    torch.manual_seed(seed)  # also on GPUs
