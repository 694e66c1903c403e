"""Loaders whose batches come from other loaders."""

from collections.abc import Callable

from longtail.data.batch import Batch
from longtail.data.loaders.base import Loader


class LoaderWrapper(Loader):
    """Passes on what concerns the workers; a subclass makes the batches.

    Args:
        loaders: Loaders of the batches; the settings are those of the first.
    """

    def __init__(self, *loaders: Loader) -> None:
        super().__init__(loaders[0].settings)
        self.loaders = loaders

    def check_memory(self, batch: Batch) -> None:
        """See `Loader.check_memory`."""
        for loader in self.loaders:
            loader.check_memory(batch)

    def on_wait(self, callback: Callable[[], None]) -> None:
        """See `Loader.on_wait`."""
        for loader in self.loaders:
            loader.on_wait(callback)

    def close(self) -> None:
        """See `Loader.close`."""
        for loader in self.loaders:
            loader.close()
