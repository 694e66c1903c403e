"""Compiling the experts of a network (TRAIN.COMPILE): fewer passes over memory between the convolutions.

Each expert is compiled by itself: experts of one architecture share one piece of machine code, where a network compiled
as a whole would hold it once per expert and take as many times longer to make. Modules stay what they are, so neither
the names in checkpoints nor anything that reads them changes. Judging runs uncompiled: it would need code of its own,
once more for the smaller last batch.
"""

import contextlib
import os
import shutil

import torch

from longtail.engine.distributed import World
from longtail.errors import UserError
from longtail.models import Network

COMPILERS = ("g++", "clang++")


def check_compilable(method: str, devices: list[torch.device], world: World) -> None:
    """Refuse TRAIN.COMPILE where it cannot work.

    Args:
        method: training method.
        devices: of the command line.
        world: the processes of the run.

    Raises:
        UserError: says why, and what to do.
    """
    if method == "manifold_mixup":
        raise UserError(
            "TRAIN.COMPILE is True; manifold mixup changes what happens inside the network in every step: False"
        )
    if world.size == 1 and len(devices) > 1:
        raise UserError(
            f"TRAIN.COMPILE is True, for {len(devices)} GPUs in one process; distributed_data_parallel_train.sh runs "
            "compiled networks on several GPUs, one process each"
        )
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in ([named] if named else COMPILERS)):
        wanted = f"CXX names {named}, which is not there" if named else f"none is there ({', '.join(COMPILERS)})"
        raise UserError(f"TRAIN.COMPILE is True and needs a C++ compiler; {wanted}")


def compile_experts(network: Network) -> None:
    """Let every expert be compiled when it is first called, in place."""
    for expert in network.experts:
        expert.compile()


def uncompiled() -> contextlib.AbstractContextManager[object]:
    """Within the block, run compiled modules as they were written; costs nothing where there are none."""
    return torch.compiler.set_stance("force_eager")
