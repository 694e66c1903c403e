"""How this process was started."""

import os

import pytest

from longtail.distributed import SINGLE_PROCESS, World, launch_name, launched_world
from longtail.errors import UserError

TORCHRUN = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


def test_launched_world_without_a_launcher_is_a_single_process() -> None:
    assert launched_world({}) is SINGLE_PROCESS
    assert SINGLE_PROCESS.main and SINGLE_PROCESS.size == 1


def test_launched_world_of_torchrun() -> None:
    assert launched_world(TORCHRUN) == World(3, 1, 4, 0)
    assert launched_world(TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "2"}).restarts == 2
    assert not launched_world(TORCHRUN).main
    assert launched_world(TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0"}).main


def test_launched_world_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert launched_world() == World(3, 1, 4)


@pytest.mark.parametrize("missing", TORCHRUN)
@pytest.mark.parametrize("value", [None, " "])
def test_launched_world_refuses_incomplete_descriptions(missing: str, value: str | None) -> None:
    variables = {name: text for name, text in TORCHRUN.items() if name != missing}
    if value is not None:
        variables[missing] = value
    with pytest.raises(UserError, match=rf"^the environment has .* but no value of {missing}; .* unset .*RANK"):
        launched_world(variables)


@pytest.mark.parametrize("changed", [{"RANK": "4"}, {"LOCAL_RANK": "4"}, {"WORLD_SIZE": "0"}, {"WORLD_SIZE": "3"}])
def test_launched_world_refuses_contradictions(changed: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"^RANK .* contradict each other"):
        launched_world(TORCHRUN | changed)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"])
@pytest.mark.parametrize("text", ["-1", "1.0", "x", "²", 5000 * "1"])
def test_launched_world_refuses_strings_that_are_not_numbers(name: str, text: str) -> None:
    with pytest.raises(UserError, match=rf"^{name} is .* it must be a whole number, as torchrun sets it$"):
        launched_world(TORCHRUN | {name: text})


@pytest.mark.parametrize(
    ("variables", "launcher"),
    [
        ({"SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"}, "srun"),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEPID": "0"}, "srun"),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "1"}, "srun"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "mpirun"),
        ({"PMI_SIZE": "2"}, "mpirun"),
    ],
)
def test_launched_world_refuses_other_launchers_of_several_tasks(variables: dict[str, str], launcher: str) -> None:
    with pytest.raises(UserError, match=rf"^{launcher} started \d tasks without torchrun"):
        launched_world(variables)
    assert launched_world(TORCHRUN | variables).size == 4  # torchrun inside of it


@pytest.mark.parametrize(
    "variables",
    [{"SLURM_NTASKS": "4"}, {"SLURM_NTASKS": "1", "SLURM_STEP_ID": "0"}, {"PMI_SIZE": "1"}, {"PMI_SIZE": "many"}],
)
def test_launched_world_of_one_task_is_a_single_process(variables: dict[str, str]) -> None:
    assert launched_world(variables) is SINGLE_PROCESS


def test_launch_name_tells_starts_of_torchrun_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert launch_name() == ""
    monkeypatch.setenv("RANK", "1")
    assert launch_name() == str(os.getppid())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launch_name() == str(os.getppid())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    assert launch_name() == "job"
