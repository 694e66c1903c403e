"""The pool of workers: batches in order, over several epochs, and no endless waits."""

import atexit
import contextlib
import gc
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.data import Dataset

from longtail.data.loaders.workers import WorkerPool, check_file_handles, check_shared_memory
from longtail.errors import UserError


@pytest.fixture(autouse=True)
def impatient_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch wait half a second, not five, for a worker that does not end."""
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)


class Squares(Dataset[Any]):
    """Maps a number to its square; some numbers have a side effect first."""

    def __getitem__(self, key: int) -> tuple[int, int]:
        if key == -1:
            os.kill(os.getpid(), signal.SIGKILL)
        if key == -2:
            time.sleep(60)
        if key == -4:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGBUS)
        if key == -5:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        if key == -3:
            raise RuntimeError("a bug")
        return key * key, os.getpid()


def collate(samples: list[tuple[int, int]]) -> tuple[list[int], int]:
    return [value for value, _ in samples], samples[0][1]


def make_pool(workers: int, **options: Any) -> WorkerPool[tuple[list[int], int]]:
    return WorkerPool(Squares(), collate, workers=workers, **options)


def keys(*batches: list[int]) -> list[Any]:
    return [partial(list, batch) for batch in batches]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_in_order_in_every_epoch(workers: int) -> None:
    pool = make_pool(workers)
    first = list(pool.batches(keys([1, 2], [3], [4, 5])))
    second = list(pool.batches(keys([6], [7])))
    assert [batch for batch, _ in first] == [[1, 4], [9], [16, 25]]
    assert [batch for batch, _ in second] == [[36], [49]]
    processes = {process for _, process in first}
    assert {process for _, process in second} <= processes  # the workers live on
    assert (os.getpid() in processes) == (workers == 0)
    pool.close()


@pytest.mark.slow
def test_batches_that_are_not_taken_end_the_workers() -> None:
    pool = make_pool(1)
    batches = pool.batches(keys([1], [2], [3]))
    _, process = next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert [batch for batch, _ in pool.batches(keys([4]))] == [[16]]
    with pytest.raises(OSError):
        os.kill(process, 0)
    pool.close()


def test_killed_worker_is_reported() -> None:
    with pytest.raises(UserError, match=r"^a worker process was killed, most often for lack of memory: lower TRAIN"):
        list(make_pool(1).batches(keys([1], [-1])))


@pytest.mark.slow
def test_worker_survives_a_signal_to_all_processes_of_a_job() -> None:
    batches = make_pool(1).batches(keys(*([number] for number in range(20))))
    _, process = next(batches)
    os.kill(process, signal.SIGTERM)
    assert [batch for batch, _ in batches] == [[number * number] for number in range(1, 20)]


@pytest.mark.slow
def test_second_signal_ends_a_worker_and_is_reported() -> None:
    batches = make_pool(1).batches(keys(*([number] for number in range(1, 20)), [-5]))
    next(batches)
    with pytest.raises(UserError, match=r"^a worker process was ended by SIGTERM; the same command resumes$"):
        list(batches)


@pytest.mark.slow
def test_worker_that_does_not_end_is_killed() -> None:
    pool = make_pool(1)
    batches = pool.batches(keys([1], [-2]))
    _, process = next(batches)
    batches.close()  # type: ignore[attr-defined]
    with pytest.raises(OSError):
        os.kill(process, 0)


@pytest.fixture
def own_child_handler() -> Iterator[None]:
    """Remove the handler of SIGCHLD that torch installed if an earlier test used its loader with workers."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.slow
@pytest.mark.usefixtures("own_child_handler")
def test_worker_that_dies_does_not_disturb_what_the_main_process_does() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    batches = make_pool(1).batches(keys(*([number] for number in range(20))))
    _, process = next(batches)
    assert signal.getsignal(signal.SIGCHLD) == before
    os.kill(process, signal.SIGKILL)
    time.sleep(0.2)  # a step, or a checkpoint that is written
    with pytest.raises(UserError, match=r"^a worker process was killed, most often for lack of memory"):
        list(batches)


@pytest.mark.slow
def test_worker_that_dies_between_epochs_is_reported() -> None:
    pool = make_pool(2)
    first = list(pool.batches(keys([1], [2])))
    os.kill(first[0][1], signal.SIGKILL)
    with pytest.raises(UserError, match=r"^a worker process was killed, most often for lack of memory"):
        list(pool.batches(keys([3], [4])))


@pytest.mark.slow
def test_slow_start_of_an_epoch_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtail.data.loaders.workers.POLL", 1e-4)  # as on a very busy machine
    pool = make_pool(2)
    for _ in range(3):
        assert [batch for batch, _ in pool.batches(keys([1], [2], [3]))] == [[1], [4], [9]]
    pool.close()


def test_worker_without_shared_memory_is_reported() -> None:
    with pytest.raises(UserError, match=r"^a worker process was killed, which has no shared memory left \(/dev/shm"):
        list(make_pool(1).batches(keys([1], [-4])))


@pytest.mark.slow
def test_batch_that_does_not_come_is_reported() -> None:
    pool = make_pool(1, timeout=1.0)
    waits: list[int] = []
    pool.on_wait = lambda: waits.append(1)
    with pytest.raises(
        UserError, match=r"no batch arrived within .* minutes \(TRAIN.LOADER_TIMEOUT\): 1 workers are waiting"
    ):
        list(pool.batches(keys([-2])))
    assert len(waits) == 2


@pytest.mark.slow
def test_on_wait_may_stop_the_waiting() -> None:
    pool = make_pool(1)

    def stop() -> None:
        raise KeyboardInterrupt

    pool.on_wait = stop
    with pytest.raises(KeyboardInterrupt):
        list(pool.batches(keys([-2])))


@pytest.mark.slow
def test_exit_handlers_end_workers_and_go_with_their_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[Any] = []
    monkeypatch.setattr(atexit, "register", handlers.append)
    monkeypatch.setattr(atexit, "unregister", handlers.remove)
    pool, other = make_pool(1), make_pool(0)
    ((_, process),) = pool.batches(keys([1]))
    for handler in list(handlers):
        handler()
    with pytest.raises(OSError):
        os.kill(process, 0)
    assert len(handlers) == 2
    del pool, other, handler
    gc.collect()
    assert handlers == []


def test_bug_in_a_worker_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        list(make_pool(1).batches(keys([-3])))


@pytest.mark.slow
def test_too_few_resources_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("longtail.data.loaders.workers.DataLoader", refuse)
    with pytest.raises(UserError, match=r"^3 worker processes cannot be started or read: Too many open files; lower"):
        list(make_pool(3).batches(keys([1])))


def test_check_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=100, f_frsize=1_000_000))
    folder = str(tmp_path)
    check_shared_memory(20_000_000, workers=2, folder=folder)  # 5 batches: 2 ahead for each, 1 in use
    with pytest.raises(UserError, match=r"^3 workers need 140\.0 MB .* has 100\.0 MB; set TRAIN.NUM_WORKERS 2 TEST"):
        check_shared_memory(20_000_000, workers=3, folder=folder)
    check_shared_memory(20_000_000, workers=0, folder=folder)
    check_shared_memory(20_000_000, workers=3, folder=folder + "/absent")


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "limit", "enough"), [(2, 30, True), (2, 29, False), (4, 46, True), (4, 45, False)])
def test_check_file_handles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, workers: int, limit: int, enough: bool
) -> None:
    """Two pools of 7 + 4 W handles, and those that are open: 3 here."""
    for number in range(3):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr("longtail.data.loaders.workers.OPEN_FILES", str(tmp_path))
    monkeypatch.setattr("resource.getrlimit", lambda kind: (limit + 3, limit + 3))
    check_file_handles(0, pools=2)
    message = f"^{workers} workers need {limit + 4} open files, and at most {limit + 3} are"
    with contextlib.nullcontext() if enough else pytest.raises(UserError, match=message):
        check_file_handles(workers, pools=2)


def test_too_many_open_files_of_workers_are_reported() -> None:
    def fail(seconds: float) -> Any:
        raise RuntimeError("Too many open files. Communication with the workers is no longer possible.")

    iterator = SimpleNamespace(_try_get_data=fail, _workers=[None])
    with pytest.raises(UserError, match=r"^1 worker processes cannot be read: too many open files; lower TRAIN\.NUM_W"):
        make_pool(1)._wait(iterator)


def test_pool_without_file_handles_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (12, 12))
    with pytest.raises(UserError, match=r"^2 workers need .* open files, and at most 12 are allowed; lower TRAIN"):
        list(make_pool(2).batches(keys([1])))
