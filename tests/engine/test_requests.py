"""Requests to the training loop between two batches."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from longtail.engine.requests import NOTHING, SAVE, Requests


def plan(checkpoint_seconds: float = 1e9) -> Any:
    """Return what requests need of a plan."""
    return SimpleNamespace(checkpoint_seconds=checkpoint_seconds)


class DelayedConsensus:
    """Two processes of which the other one sends given numbers; numbers are known at the next call."""

    delayed = True

    def __init__(self, others: list[int]) -> None:
        self.others = others
        self.sent: list[int] = []
        self.pending = 0

    def exchange(self, value: int) -> int:
        """See `Consensus`."""
        known = self.settle()
        self.sent.append(value)
        self.pending = max(value, self.others.pop(0))
        return known

    def settle(self) -> int:
        """See `Consensus`."""
        known, self.pending = self.pending, 0
        return known


def test_nothing_is_requested_before_the_checkpoint_is_old() -> None:
    requests = Requests(plan(), 1)
    assert requests.exchange() == NOTHING
    assert requests.settle() == NOTHING
    assert Requests(plan(checkpoint_seconds=-1), 1).exchange() == SAVE


def test_a_signal_is_requested_before_a_checkpoint() -> None:
    requests = Requests(plan(checkpoint_seconds=-1), 1)
    with requests.interrupts:
        signal.raise_signal(signal.SIGUSR1)
        assert requests.exchange() == signal.SIGUSR1


def test_a_lost_launcher_stops_several_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, several = Requests(plan(), 1), Requests(plan(), 2)
    parent = os.getppid()
    monkeypatch.setattr(os, "getppid", lambda: parent + 1)
    assert (alone.stop_signal(), several.stop_signal()) == (0, signal.SIGTERM)


def test_a_request_to_save_is_not_answered_twice() -> None:
    requests = Requests(plan(), 2)
    consensus: Any = DelayedConsensus([SAVE, SAVE, NOTHING, SAVE])
    requests.consensus = consensus
    assert [requests.exchange() for _ in range(4)] == [NOTHING, SAVE, NOTHING, NOTHING]
    assert requests.settle() == SAVE


def test_all_processes_stop_with_the_signal_of_one() -> None:
    requests = Requests(plan(), 2)
    consensus: Any = DelayedConsensus([SAVE, signal.SIGINT, NOTHING])
    requests.consensus = consensus
    assert [requests.exchange() for _ in range(3)] == [NOTHING, SAVE, signal.SIGINT]  # also right after an answer
    assert consensus.sent == [NOTHING] * 3
