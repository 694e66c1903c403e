"""Compiling the experts of a network (TRAIN.COMPILE): fewer passes over memory between the convolutions.

Each expert is compiled separately: experts of one architecture share compiled code, which compiling the whole network
would duplicate. Modules are compiled in place, so the names in checkpoints do not change. Evaluation runs uncompiled:
it would need additional compiled code, and more for the smaller last batch.
"""

import contextlib
import os
import shutil

import torch
from torch import nn

from longtail.distributed import Place
from longtail.errors import UserError

COMPILERS = ("g++", "clang++")


def check_compilable(place: Place, *, compilable: bool) -> None:
    """Refuse TRAIN.COMPILE where it cannot work.

    Args:
        place: Processes and devices.
        compilable: Whether the training method allows it.

    Raises:
        UserError: It cannot; the message gives the reason and what to do.
    """
    if not compilable:
        raise UserError(
            "TRAIN.COMPILE is True, but this TRAIN.COMBINER.TYPE changes the network in every step; set it to False"
        )
    if place.world.size == 1 and len(place.devices) > 1:
        raise UserError(
            f"TRAIN.COMPILE is True, but {len(place.devices)} GPUs are used by one process; to train a compiled "
            "network on several GPUs, start one process per GPU with distributed_data_parallel_train.sh"
        )
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in ([named] if named else COMPILERS)):
        wanted = f"CXX names {named}, which does not exist" if named else f"none was found ({', '.join(COMPILERS)})"
        raise UserError(f"TRAIN.COMPILE needs a C++ compiler; {wanted}")


def compile_experts(network: nn.Module) -> None:
    """Mark every expert of a network, or another network as a whole, to be compiled in place at its first call."""
    for part in getattr(network, "experts", [network]):
        part.compile()


def uncompiled() -> contextlib.AbstractContextManager[object]:
    """Within the block, run compiled modules eagerly; free if there are none."""
    return torch.compiler.set_stance("force_eager")
