"""Whole trainings in one or several gloo processes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.distributed import Place, World
from longtail.engine.trainer import Trainer
from longtail.stages.train import train
from tests.helpers.processes import Results, run_processes
from tests.helpers.training import CONFIG

Look = Callable[[Trainer], Any]


def place_in(rank: int, world: int) -> Place:
    """Return the place of one process on the CPU."""
    return Place(World(rank, rank, world))


def train_in_worlds(make: Callable[[int], CfgNode], folder: Path, *, worlds: Sequence[int], look: Look) -> Results:
    """Train in several worlds at once; return what `look` sees of the trainer of every process when it has finished.

    Args:
        make: Number of processes -> config.
        folder: Empty folder.
        worlds: Numbers of processes.
        look: Returns tensors and plain values.
    """
    return run_processes(lambda rank, world: trained(make(world), rank, world, look=look), folder, worlds=worlds)


def trained(cfg: CfgNode, rank: int, world: int, *, look: Look) -> Any:
    """Train in a process that is connected to the others; return what `look` sees of its trainer at the end."""
    seen: list[Any] = []
    original = Trainer.fit

    def fit(self: Trainer) -> None:
        original(self)
        seen.append(look(self))

    Trainer.fit = fit  # type: ignore[method-assign]  # in this process only
    train(cfg, CONFIG, place=place_in(rank, world))
    (result,) = seen
    return result
