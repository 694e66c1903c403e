"""Processors that other programs leave free."""

import os
from pathlib import Path

import pytest

from longtail.cpu_load import Moment, free_processors, moment

STAT = """cpu  99 99 99 99 99 0 0 0 0 0
cpu0 500 100 50 300 200 0 0 0 0 0
cpu1 900 0 0 100 0 7 7 7 0 0
cpu2 0 0 0 5000 0 0 0 0 0 0
intr 1 2 3
"""


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file like /proc/stat; this process may use the first two of three processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    path = tmp_path / "stat"
    path.write_text(STAT)
    return path


def test_moment_sums_idle_and_low_priority_of_usable_processors(stat: Path) -> None:
    found = moment(stat)
    assert found is not None
    assert found.free == pytest.approx((100 + 300 + 200 + 100) / 100)


@pytest.mark.parametrize("text", ["", "cpu 1 2\n", "cpu0 a b c d e\n", "cpu0 1\n", "cpu7 1 2 3 4 5\n"])
def test_moment_is_unknown_without_usable_lines(stat: Path, text: str) -> None:
    stat.write_text(text)
    assert moment(stat) is None
    assert moment(stat / "absent") is None


def test_moment_of_this_machine_grows() -> None:
    before = moment()
    if before is None:
        pytest.skip("not Linux")
    sum(range(10**6))
    now = moment()
    assert now is not None and now.wall > before.wall and now.own > before.own and now.free >= before.free


@pytest.mark.parametrize(
    ("own", "free", "expected"),
    [(4.0, 4.0, 2.0), (4.0, 0.0, 1.0), (1.6, 0.0, 0.4)],
    ids=["alone", "beside one", "beside four"],
)
def test_free_processors_are_own_and_idle_time(own: float, free: float, expected: float) -> None:
    assert free_processors(Moment(10, 1, 7), Moment(14, 1 + own, 7 + free)) == pytest.approx(expected)


def test_free_processors_without_elapsed_time_are_unlimited() -> None:
    assert free_processors(Moment(1, 0, 0), Moment(1, 0, 0)) == float("inf")
