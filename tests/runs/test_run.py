"""A run in one process: what it does when a logger fails, and how long it collects messages."""

import logging
import signal

import pytest

from longtail.checkpoint_file import read_checkpoint
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.runs import run as run_module
from longtail.runs.directory import RunDirectory, parent_of_runs
from longtail.runs.loggers import Logger, Record, build_loggers, read_history
from longtail.runs.resume import ResumePoint
from longtail.runs.run import Run
from tests.helpers.training import TinyConfig, stop_after, train
from tests.helpers.worlds import place_in

LOGGER = logging.getLogger("longtail")


class Refusing:
    """A logger that cannot reach its server."""

    def __init__(self, *, writes: bool) -> None:
        self.writes = writes

    def write(self, record: Record) -> None:
        if not self.writes:
            raise UserError("TRAIN.LOGGERS mlflow: connection refused")

    def close(self) -> None:
        raise UserError("TRAIN.LOGGERS mlflow: connection refused")


def refuse(patch: pytest.MonkeyPatch, *, writes: bool) -> None:
    """Put a logger that fails before the others."""

    def build(names: list[str], run: RunDirectory, *, epoch: int) -> list[Logger]:
        return [Refusing(writes=writes), *build_loggers(names, run, epoch=epoch)]

    patch.setattr(run_module, "build_loggers", build)


@pytest.mark.slow
def test_signal_is_reported_although_a_logger_cannot_be_closed(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = tiny_cfg()
    refuse(monkeypatch, writes=True)
    stop_after(2, monkeypatch)
    before = list(LOGGER.handlers)
    with pytest.raises(Interrupted, match="SIGTERM") as error:
        train(cfg)
    assert error.value.signum == signal.SIGTERM
    (path,) = parent_of_runs(cfg).iterdir()
    run = RunDirectory(path)
    assert "ERROR TRAIN.LOGGERS mlflow: connection refused" in run.log.read_text()
    assert LOGGER.handlers == before
    assert run.lock()
    run.unlock()


@pytest.mark.slow
def test_logger_that_cannot_be_closed_is_reported_after_a_finished_run(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = tiny_cfg("TRAIN.MAX_EPOCH", 1)
    refuse(monkeypatch, writes=True)
    with pytest.raises(UserError, match=r"^TRAIN\.LOGGERS mlflow: connection refused$"):
        train(cfg)
    (path,) = parent_of_runs(cfg).iterdir()
    assert RunDirectory(path).finished()


@pytest.mark.slow
def test_epoch_is_saved_although_a_logger_cannot_write(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny_cfg()
    refuse(monkeypatch, writes=False)
    with pytest.raises(UserError, match=r"^TRAIN\.LOGGERS mlflow: connection refused$"):
        train(cfg)
    (path,) = parent_of_runs(cfg).iterdir()
    run = RunDirectory(path)
    state = read_checkpoint(run.last)
    assert (state["epoch"], state["batch"]) == (2, 0)
    assert state["results"]["last"]["epoch"] == 1
    assert [record["split"] for record in read_history(run.metrics)] == ["train", "valid"]  # of the next logger


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_messages_are_collected_until_the_log_is_open(tiny_cfg: TinyConfig, rank: int) -> None:
    before = list(LOGGER.handlers)
    run = Run(tiny_cfg(), place_in(rank, 1 + rank), ResumePoint())
    LOGGER.info("first")
    run.begin(1)
    LOGGER.info("second")
    collected = [record.getMessage() for record in run._messages]
    log = run.directory.log.read_text() if run.directory else ""
    run.close()
    assert collected == ["first"]
    assert ["first" in log, "second" in log] == [rank == 0] * 2
    assert LOGGER.handlers == before
