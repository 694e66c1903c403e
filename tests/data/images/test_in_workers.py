"""Work on image files in worker processes."""

import signal

import pytest
from torch.utils.data import Dataset

from longtail.data.images import in_workers as module
from longtail.data.images.in_workers import in_workers


class Numbers(Dataset[tuple[int, bool]]):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, bool]:
        """Return the index, and whether Ctrl-C ends the process without a message."""
        return index, signal.getsignal(signal.SIGINT) == signal.SIG_DFL


@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_in_order_and_workers_end_silently(workers: int) -> None:
    items = [tuple(item) for item in in_workers(Numbers(), workers, batch_size=None)]
    assert items == [(index, workers > 0) for index in range(5)]


def test_workers_are_limited_to_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_processors", lambda: 3)
    assert [in_workers(Numbers(), wanted).num_workers for wanted in (0, 2, 8)] == [0, 2, 3]
