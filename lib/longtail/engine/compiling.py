"""Compiling the experts of a network (TRAIN.COMPILE): fewer passes over memory between the convolutions.

Each expert is compiled by itself: experts of one architecture share compiled code; compiling the whole network would
duplicate it per expert. Modules stay what they are, so neither the names in checkpoints nor anything that reads them
changes. Evaluation runs uncompiled: it would need code of its own, once more for the smaller last batch.
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
        UserError: Says why, and what to do.
    """
    if not compilable:
        raise UserError(
            "TRAIN.COMPILE is True; this TRAIN.COMBINER.TYPE changes the network in every step: set it False"
        )
    if place.world.size == 1 and len(place.devices) > 1:
        raise UserError(
            f"TRAIN.COMPILE is True, for {len(place.devices)} GPUs in one process; distributed_data_parallel_train.sh "
            "runs compiled networks on several GPUs, one process each"
        )
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in ([named] if named else COMPILERS)):
        wanted = f"CXX names {named}, which does not exist" if named else f"none was found ({', '.join(COMPILERS)})"
        raise UserError(f"TRAIN.COMPILE is True and needs a C++ compiler; {wanted}")


def compile_experts(network: nn.Module) -> None:
    """Let every expert of a network be compiled at its first call, in place; another network as a whole."""
    for part in getattr(network, "experts", [network]):
        part.compile()


def uncompiled() -> contextlib.AbstractContextManager[object]:
    """Within the block, run compiled modules eagerly; costs nothing if there are none."""
    return torch.compiler.set_stance("force_eager")
