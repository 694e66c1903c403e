"""Work on image files in worker processes: predictions and inspections."""

import signal
from typing import Any

from torch.utils.data import DataLoader, Dataset

from longtail.processors import available_processors


def in_workers(dataset: Dataset[Any], workers: int, **options: Any) -> DataLoader[Any]:
    """Return the items of a data set in order, computed in worker processes.

    A DataLoader is used for its worker processes: they end with this process, and the death of a worker is reported.

    Args:
        dataset: Data set.
        workers: Number of worker processes, limited to the processors; 0: this process computes the items.
        options: Options of DataLoader.
    """
    number = min(workers, available_processors())
    return DataLoader(dataset, num_workers=number, worker_init_fn=_exit_on_interrupt, **options)


def _exit_on_interrupt(worker: int) -> None:
    """Let Ctrl-C end a worker without a message; the main process prints one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
