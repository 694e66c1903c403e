"""The comparison of numbers of threads; the threads of torch's own default, which spin, are not started."""

from collections.abc import Mapping

import pytest
import threads


class Paced:
    """A variant that trains 10, 5 or 4 images per second."""

    def __init__(self, name: str, images: int, *, batch: int) -> None:
        self.images_per_second = {threads.OURS: 10.0, threads.TORCH: 5.0, threads.ONE: 4.0}[name]
        self.closed = False

    def rate(self) -> float:
        return self.images_per_second

    def close(self) -> None:
        self.closed = True


def test_measure_compares_the_default_with_both_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "Way", Paced)
    rows = threads.measure(rounds=2, others=(0, 1))
    assert [row.ratio for row in rows] == pytest.approx([2.0, 2.5, 2.0, 2.5])
    assert "alone" in rows[0].work and "with 1 busy" in rows[2].work


def test_environments_differ_in_what_decides_about_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.DECIDED_BY:
        monkeypatch.setenv(name, "7")

    def decided(environment: Mapping[str, str]) -> dict[str, str]:
        return {name: environment[name] for name in threads.DECIDED_BY if name in environment}

    assert decided(threads.environment_of(threads.OURS)) == decided(threads.environment_of(threads.TORCH)) == {}
    assert decided(threads.environment_of(threads.ONE)) == {"OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_way_trains_when_it_is_asked() -> None:
    way = threads.Way(threads.ONE, 16, batch=16)
    try:
        assert way.rate() > 0
    finally:
        way.close()
