"""A pool of worker processes that persists over all epochs and never blocks the main process forever."""

import atexit
import contextlib
import gc
import os
import resource
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from longtail.errors import UserError

T = TypeVar("T")
POLL = 0.5  # seconds between two checks for signals while waiting for a batch
PREFETCH = 2  # batches that each worker prepares ahead
SHARED_MEMORY = "/dev/shm"
HANDLES = (
    "lower TRAIN.NUM_WORKERS and TEST.NUM_WORKERS (0 loads in the main process), or raise the limit of open files "
    "(ulimit -n)"
)
OPEN_FILES = "/proc/self/fd"


def nothing() -> None:
    """Do nothing."""


class WorkerPool(Generic[T]):
    """Loads batches in worker processes, in order.

    Args:
        samples: Maps a key to a sample, in a worker.
        collate: Combines samples to a batch.
        workers: Number of processes; 0: load in this process.
        pin_memory: Return batches in page-locked memory.
        timeout: Seconds to wait for a batch before the run stops with an error.

    Attributes:
        on_wait: Called while a batch is awaited; it may raise to stop waiting.
    """

    def __init__(
        self,
        samples: Dataset[Any],
        collate: Callable[[list[Any]], T],
        *,
        workers: int,
        pin_memory: bool = False,
        timeout: float = 300.0,
    ) -> None:
        self.samples = samples
        self.collate = collate
        self.workers = workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.on_wait: Callable[[], None] = nothing
        self._keys = _Keys()
        self._loader: DataLoader[T] | None = None
        _close_at_exit(self)

    def batches(self, keys: Sequence[Callable[[], list[Any]]]) -> Iterator[T]:
        """Yield one batch per entry of `keys`, each of which returns the keys of its samples.

        Raises:
            UserError: A worker died, no batch arrived in time, or the system has no resources for workers.
        """
        self._keys.batches = keys
        finished = False
        try:
            yield from self._iterate()
            finished = True
        except OSError as error:
            reason = error.strerror or str(error)
            # Release the pipes of workers that did not start: other code needs file handles, too.
            traceback.clear_frames(error.__traceback__)
            gc.collect()
            raise UserError(f"{self.workers} worker processes cannot be started or read: {reason}; {HANDLES}") from None
        finally:
            if not finished:  # workers may still prepare batches that are not needed
                self.close()

    def close(self) -> None:
        """End the workers."""
        self._loader = None

    def _iterate(self) -> Iterator[T]:
        if self._loader is None:
            check_file_handles(self.workers, pools=1)
            self._loader = DataLoader(
                self.samples,
                batch_sampler=self._keys,
                num_workers=self.workers,
                worker_init_fn=_init_worker,
                collate_fn=self.collate,
                pin_memory=self.pin_memory,
                timeout=POLL if self.workers else 0,
                persistent_workers=self.workers > 0,
                prefetch_factor=PREFETCH if self.workers else None,
                generator=torch.Generator(),  # the DataLoader would otherwise use the global random state
            )
        with _keep_child_handler():
            iterator: Any = iter(self._loader)
        if self.workers:
            # torch calls this to wait for a batch, and for workers when an epoch starts. Weak references, so that
            # neither object is kept alive.
            iterator._get_data = partial(WorkerPool._wait, weakref.proxy(self), weakref.proxy(iterator))
            for worker in iterator._workers:  # ended when torch or the interpreter exits: they ignore the first SIGTERM
                worker._popen.terminate = worker._popen.kill
        yield from iterator

    def _wait(self, iterator: Any) -> Any:
        """Return the answer of the next worker, and handle signals while waiting."""
        waited = 0.0
        while True:
            try:
                answered, answer = iterator._try_get_data(POLL)
            except RuntimeError as error:
                raise _lost_worker(error, iterator._workers) from None
            if answered:
                return answer
            waited += POLL
            self.on_wait()
            if waited >= self.timeout:
                raise UserError(
                    f"no batch arrived within {self.timeout / 60:g} minutes (TRAIN.LOADER_TIMEOUT): {self.workers} "
                    "workers are waiting for a disk that does not respond, or for memory"
                )


@contextlib.contextmanager
def _keep_child_handler() -> Iterator[None]:
    """Restore the handler of SIGCHLD after the block, in which torch starts workers.

    The handler that torch installs raises an error as soon as a worker dies, possibly in the middle of a step or while
    a checkpoint is written. The loader detects a dead worker itself when it waits for a batch.
    """
    previous = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if previous is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, previous)


def _close_at_exit(pool: WorkerPool[Any]) -> None:
    """End the workers of a pool, if it still exists, when the interpreter exits.

    This happens before multiprocessing's own exit handler, which kills workers, so that torch would report them as
    lost.
    """
    close = partial(_close, weakref.ref(pool))
    atexit.register(close)
    weakref.finalize(pool, atexit.unregister, close).atexit = False  # handlers of deleted pools do not accumulate


def _close(pool: "weakref.ref[WorkerPool[Any]]") -> None:
    if (existing := pool()) is not None:
        existing.close()


class _Keys:
    """The batch sampler of the DataLoader, whose batches change from epoch to epoch."""

    def __init__(self) -> None:
        self.batches: Sequence[Callable[[], list[Any]]] = ()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in self.batches:
            yield batch()


def check_shared_memory(batch_bytes: int, *, workers: int, folder: str = SHARED_MEMORY) -> None:
    """Refuse workers whose batches do not fit into shared memory, because they would wait forever.

    Args:
        batch_bytes: Bytes of one batch.
        workers: Number of workers.
        folder: Folder of shared memory.

    Raises:
        UserError: It is too small; the message names the number of workers that fits.
    """
    if not workers or not os.path.isdir(folder):
        return
    status = os.statvfs(folder)
    free, needed = status.f_bavail * status.f_frsize, batch_bytes * (PREFETCH * workers + 1)
    if needed <= free:
        return
    fitting = max((free // max(batch_bytes, 1) - 1) // PREFETCH, 0)
    raise UserError(
        f"{workers} workers need {needed / 1e6:,.1f} MB of shared memory for batches of {batch_bytes / 1e6:,.1f} MB, "
        f"and {folder} has {free / 1e6:,.1f} MB; set TRAIN.NUM_WORKERS {fitting} TEST.NUM_WORKERS {fitting}, or give "
        "the container more (docker run --shm-size 8g)"
    )


def check_file_handles(workers: int, *, pools: int) -> None:
    """Refuse workers for which this process has too few file handles: some would fail, others would wait forever.

    A pool takes two, four for each worker, and five for batches on their way.

    Args:
        workers: Number of workers of one pool.
        pools: Number of pools that are about to start.

    Raises:
        UserError: There are too few.
    """
    if not workers or not os.path.isdir(OPEN_FILES):
        return
    limit, opened = resource.getrlimit(resource.RLIMIT_NOFILE)[0], len(os.listdir(OPEN_FILES))
    needed = opened + pools * (7 + 4 * workers)
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise UserError(f"{workers} workers need {needed} open files, and at most {limit} are allowed; {HANDLES}")


def _lost_worker(error: RuntimeError, workers: Sequence[Any]) -> UserError:
    """Return the `UserError` for a worker that died; raise any other error, which is a bug, with its traceback."""
    if "Too many open files" in str(error):
        return UserError(f"{len(workers)} worker processes cannot be read: too many open files; {HANDLES}")
    if "exited unexpectedly" in str(error) or "killed by signal" in str(error):
        full = any(worker.exitcode == -signal.SIGBUS for worker in workers)
        if any(worker.exitcode == -signal.SIGTERM for worker in workers):
            return UserError("a worker process was ended by SIGTERM; the same command resumes")
        memory = ", which has no shared memory left (/dev/shm)" if full else ""
        return UserError(
            f"a worker process was killed{memory}, most often for lack of memory: lower TRAIN.NUM_WORKERS or "
            "TRAIN.BATCH_SIZE; the same command resumes"
        )
    raise error


def _init_worker(worker: int) -> None:
    """Leave signals to the main process, which may need batches before it stops; a second SIGTERM ends a worker.

    Schedulers send a signal to all processes of a job, so also to the workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore_once)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)  # the workers themselves are the parallelism


def _ignore_once(signum: int, frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_DFL)
