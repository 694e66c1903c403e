"""How this process was started: alone, or by torchrun as one of several, according to its environment."""

import os
from collections.abc import Mapping

from longtail.distributed.processes import SINGLE_PROCESS, World
from longtail.errors import UserError

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
HINT = (
    "start several processes with distributed_data_parallel_train.sh or torchrun, or unset {} to train in one process"
)


def launched_world(environment: Mapping[str, str] | None = None) -> World:
    """Return the processes that torchrun describes in the environment; a single process without torchrun.

    Args:
        environment: Variables; None: those of this process.

    Raises:
        UserError: The description is incomplete or contradictory, or another launcher has started several processes.
    """
    variables = os.environ if environment is None else environment
    given = [name for name in NEEDED if name in variables]
    if not given:
        _refuse_other_launchers(variables)
        return SINGLE_PROCESS
    missing = [name for name in NEEDED if not variables.get(name, "").strip()]
    if missing:
        raise UserError(
            f"the environment has {', '.join(given)}, but no value of {', '.join(missing)}; "
            + HINT.format(" ".join(given))
        )
    rank, size, local_rank, _ = (
        _number(variables, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")
    )
    if not (size >= 1 and 0 <= rank < size and 0 <= local_rank <= rank):
        raise UserError(
            f"RANK {rank}, LOCAL_RANK {local_rank} and WORLD_SIZE {size} in the environment contradict each other; "
            + HINT.format(" ".join(given))
        )
    restarts = _number(variables, "TORCHELASTIC_RESTART_COUNT") if "TORCHELASTIC_RESTART_COUNT" in variables else 0
    return World(rank, local_rank, size, restarts)


def launch_name() -> str:
    """Return what tells this start of torchrun from others; empty in a single process without torchrun."""
    if "RANK" not in os.environ:
        return ""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return str(os.getppid()) if name == "none" else name  # none: no rendezvous, but the process of torchrun stays


def _number(variables: Mapping[str, str], name: str) -> int:
    text = variables[name].strip()
    if not text.isdecimal() or len(text) > 9:
        raise UserError(f"{name} is {text!r} in the environment; it must be a whole number, as torchrun sets it")
    return int(text)


def _refuse_other_launchers(variables: Mapping[str, str]) -> None:
    """Refuse to train the same run several times at once, as srun and mpirun would do without torchrun."""
    tasks = _count(variables, "SLURM_STEP_NUM_TASKS") or _count(variables, "SLURM_NTASKS")
    in_step = "SLURM_STEP_ID" in variables or "SLURM_STEPID" in variables or _count(variables, "SLURM_PROCID") > 0
    launchers = {
        "srun": tasks if in_step else 0,
        "mpirun": max(_count(variables, "OMPI_COMM_WORLD_SIZE"), _count(variables, "PMI_SIZE")),
    }
    for launcher, number in launchers.items():
        if number > 1:
            raise UserError(
                f"{launcher} started {number} tasks without torchrun, each of which would train on its own; start one "
                "task per machine that runs distributed_data_parallel_train.sh (README, Several GPUs)"
            )


def _count(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 9 else 0
