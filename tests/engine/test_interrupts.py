"""Signals while the loop runs: the first one requests a stop, a later one ends the process."""

import multiprocessing
import os
import signal
import time

import pytest

from longtail.engine.interrupts import Interrupted, Interrupts

signals = pytest.mark.parametrize("signum", Interrupts.SIGNALS)


@signals
def test_first_signal_is_remembered(signum: signal.Signals) -> None:
    with Interrupts() as interrupts:
        assert interrupts.received is None
        signal.raise_signal(signum)
        assert interrupts.received == signum


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(signum) for signum in Interrupts.SIGNALS]
    with Interrupts():
        assert [signal.getsignal(signum) for signum in Interrupts.SIGNALS] != before
    assert [signal.getsignal(signum) for signum in Interrupts.SIGNALS] == before


def _two_signals(signum: int) -> None:
    signal.signal(signum, signal.SIG_DFL)
    with Interrupts():
        signal.raise_signal(signum)
        signal.raise_signal(signum)
        os._exit(0)


@signals
def test_second_signal_ends_the_process(signum: signal.Signals) -> None:
    process = multiprocessing.get_context("fork").Process(target=_two_signals, args=(int(signum),))
    process.start()
    process.join(timeout=30)
    assert process.exitcode == -signum


def _signals_of_a_launcher(signum: int, patience: float, wait: float) -> None:
    signal.signal(signum, signal.SIG_DFL)
    with Interrupts(patience) as interrupts:
        for pause in (0.0, 0.0, wait):
            time.sleep(pause)
            signal.raise_signal(signum)
        os._exit(0 if interrupts.received == signum else 1)


@signals
@pytest.mark.parametrize(("patience", "wait", "ends"), [(60.0, 0.0, False), (0.05, 0.1, True)])
def test_signal_that_a_launcher_repeats_is_ignored_for_a_while(
    signum: signal.Signals, patience: float, wait: float, ends: bool
) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=_signals_of_a_launcher, args=(int(signum), patience, wait)
    )
    process.start()
    process.join(timeout=30)
    assert process.exitcode == (-signum if ends else 0)


def test_interrupted_names_signal_and_state() -> None:
    error = Interrupted(signal.SIGTERM, "epoch 1, batch 2 of 8 is saved")
    assert str(error) == "stopped by SIGTERM; epoch 1, batch 2 of 8 is saved"
    assert error.signum == 15
