"""The number of threads and their wait policy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from longtail import threads
from longtail.cpu_load import Moment
from longtail.threads import describe_threads, lower_priority, set_threads, threads_now, use_threads

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


@pytest.fixture(autouse=True)
def _six_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_cores", lambda environment: 6)
    monkeypatch.setattr(threads, "_chosen", None)


def test_set_threads_one_per_core_that_spin_shortly() -> None:
    environment = {"OMP_NUM_THREADS": ""}  # empty: as if not exported
    set_threads(environment)
    assert environment == {"OMP_NUM_THREADS": "6", **WAITING}


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_set_threads_keeps_an_exported_number(name: str) -> None:
    environment = {name: "3"}
    set_threads(environment)
    assert environment == {name: "3", **WAITING}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_set_threads_keeps_an_exported_way_of_waiting(name: str) -> None:
    environment = {name: "x"}
    set_threads(environment)
    assert environment == {name: "x", "OMP_NUM_THREADS": "6"}


@pytest.mark.parametrize(("free", "number"), [(0.2, 1), (1.4, 1), (1.6, 2), (5.9, 6), (8.0, 6)])
def test_threads_now_leaves_processors_to_busy_programs(
    monkeypatch: pytest.MonkeyPatch, free: float, number: int
) -> None:
    moments = iter([Moment(0, 0, 0), Moment(10, 0, 10 * free)])
    monkeypatch.setattr(threads, "moment", lambda: next(moments))
    set_threads({})
    assert threads_now() == number


def test_threads_now_in_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "moment", lambda: Moment(1, 0, 5))
    set_threads({})
    assert threads_now() == 6


def test_threads_now_of_a_resumed_run_is_that_of_its_first_process() -> None:
    set_threads({})
    assert threads_now(first=3) == 3
    assert threads_now(first=8) == 6


def test_threads_now_keeps_the_choice_of_the_user() -> None:
    set_threads({"OMP_NUM_THREADS": "5"})
    assert threads_now() is None and threads_now(first=3) is None


def test_threads_now_is_unchanged_where_the_load_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "moment", lambda: None)
    set_threads({})
    assert threads_now() is None


def test_use_threads_lowers_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)  # restored by a fixture
    use_threads()
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "threads_now", lambda first: 1)
    use_threads()
    assert torch.get_num_threads() == 1


def test_describe_threads_names_number_and_settings() -> None:
    assert describe_threads(1, {"OMP_NUM_THREADS": "1"}) == "1 thread (OMP_NUM_THREADS=1)"
    assert describe_threads(2, {}) == "2 threads (defaults of torch)"


def test_module_prints_the_number_for_shell_scripts() -> None:
    environment = {**os.environ, "LOCAL_WORLD_SIZE": "1000000"}
    command = [sys.executable, "-m", "longtail.threads"]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "1\n"


def test_lower_priority_is_nice_19_with_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr("os.nice", called.append)
    environment = {"OMP_NUM_THREADS": "8"}
    autogroup = tmp_path / "autogroup"
    lower_priority(environment, autogroup)
    assert (called, environment["OMP_NUM_THREADS"], autogroup.read_text()) == ([19], "1", "19")
    lower_priority(environment, tmp_path / "absent" / "autogroup")  # a system without autogroups


def test_lower_priority_keeps_one_thread_after_a_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.nice", lambda value: None)
    set_threads({})
    lower_priority({}, tmp_path / "autogroup")
    assert threads_now() is None  # torch keeps OMP_NUM_THREADS
