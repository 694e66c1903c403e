"""Progress of an epoch, where there is no terminal."""

import logging

import pytest

from longtail.runs.progress import Progress, clock


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00:00"), (61, "0:01:01"), (36_000 + 59, "10:00:59")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_show_estimates_the_rest_from_this_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr("longtail.runs.progress.time.perf_counter", lambda: now)
    shown = Progress("epoch 1/2", 10, done=4)
    assert shown.bar is None  # no terminal
    for _ in range(2):
        shown.advance(32)
    now = 108.0
    with caplog.at_level(logging.INFO, "longtail"):
        shown.show({"loss": 0.5, "top1": 0.25})
    assert caplog.messages == ["epoch 1/2 batch 6/10: loss 0.500, acc 25.0 %, 8 images/s, ETA 0:00:16"]
    shown.later = 10
    assert shown.eta() == "ETA 0:00:16 (all epochs 0:00:56)"
    shown.close()


def test_due_after_half_a_minute_without_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("longtail.runs.progress.time.perf_counter", lambda: now)
    shown = Progress("epoch 1/2", 10)
    silent = Progress("epoch 1/2", 10, quiet=True)
    now = 131.0
    assert shown.due() and not silent.due()
    shown.show({"loss": 0.5, "top1": 0.25})
    assert not shown.due()
    now = 162.0
    assert shown.due()
    shown.done = 10
    assert not shown.due()  # the line of the epoch follows


def test_show_of_a_quiet_process_is_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "longtail"):
        Progress("epoch 1/2", 10, quiet=True).show({"loss": 0.5, "top1": 0.25})
    assert not caplog.messages
