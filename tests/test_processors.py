"""The processors of a process: affinity, topology, cgroup and torchrun."""

import os
from pathlib import Path

import pytest

from longtail import processors
from longtail.processors import available_cores, available_processors, cgroup_quota, count_cores


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight processors without a quota and without threads of one core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(processors, "cgroup_quota", lambda: None)
    monkeypatch.setattr(processors, "count_cores", len)


def cgroups(tmp_path: Path, line: str, **files: str) -> tuple[Path, Path]:
    """Write /proc/self/cgroup and files of the cgroup file system; `__` in a name stands for a folder."""
    listed = tmp_path / "cgroup"
    listed.write_text(line + "\n")
    for name, text in files.items():
        *folders, file = name.split("__")
        path = tmp_path.joinpath("root", *folders, file.replace("cpu_", "cpu.", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return listed, tmp_path / "root"


@pytest.mark.usefixtures("eight")
def test_available_processors_are_those_of_the_affinity() -> None:
    assert available_processors({}) == 8
    assert available_cores({}) == 8


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(("processes", "expected"), [("2", 4), ("3", 2), ("16", 1), ("0", 8), ("auto", 8)])
def test_available_processors_divided_by_processes_of_torchrun(processes: str, expected: int) -> None:
    assert available_processors({"LOCAL_WORLD_SIZE": processes}) == expected


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(("quota", "expected"), [(2.5, 2), (0.5, 1), (64.0, 8)])
def test_available_processors_within_the_quota(monkeypatch: pytest.MonkeyPatch, quota: float, expected: int) -> None:
    monkeypatch.setattr(processors, "cgroup_quota", lambda: quota)
    assert available_processors({}) == expected
    assert available_cores({}) == expected


def test_cgroup_quota_version_2(tmp_path: Path) -> None:
    assert cgroup_quota(*cgroups(tmp_path, "0::/job", job__cpu_max="150000 100000")) == 1.5


def test_cgroup_quota_version_2_without_limit(tmp_path: Path) -> None:
    assert cgroup_quota(*cgroups(tmp_path, "0::/job", job__cpu_max="max 100000")) is None


def test_cgroup_quota_of_the_group_above(tmp_path: Path) -> None:
    files = {"pod__cpu_max": "200000 100000", "pod__job__cpu_max": "max 100000"}
    assert cgroup_quota(*cgroups(tmp_path, "0::/pod/job", **files)) == 2


def test_cgroup_quota_in_a_container_that_does_not_see_its_path(tmp_path: Path) -> None:
    assert cgroup_quota(*cgroups(tmp_path, "0::/docker/4f2a", cpu_max="300000 100000")) == 3


def test_cgroup_quota_version_1(tmp_path: Path) -> None:
    files = {"cpu,cpuacct__job__cpu_cfs_quota_us": "400000", "cpu,cpuacct__job__cpu_cfs_period_us": "100000"}
    assert cgroup_quota(*cgroups(tmp_path, "4:cpu,cpuacct:/job", **files)) == 4


def test_cgroup_quota_version_1_without_limit(tmp_path: Path) -> None:
    files = {"cpu__cpu_cfs_quota_us": "-1", "cpu__cpu_cfs_period_us": "100000"}
    assert cgroup_quota(*cgroups(tmp_path, "4:cpu:/", **files)) is None


def test_cgroup_quota_ignores_other_controllers(tmp_path: Path) -> None:
    files = {"memory__cpu_cfs_quota_us": "100000", "memory__cpu_cfs_period_us": "100000"}
    assert cgroup_quota(*cgroups(tmp_path, "4:memory:/", **files)) is None


def test_cgroup_quota_without_cgroups(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path / "absent", tmp_path) is None


def test_count_cores_counts_threads_of_one_core_once(tmp_path: Path) -> None:
    for processor, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{processor}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert count_cores({0, 1, 2, 3}, tmp_path) == 2
    assert count_cores({0, 2}, tmp_path) == 1
    assert count_cores({0, 1}, tmp_path / "absent") == 2
