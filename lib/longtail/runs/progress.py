"""Progress of an epoch: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time

from tqdm import tqdm

SILENCE = 30  # seconds between lines if there is no bar

logger = logging.getLogger(__name__)


class Progress:
    """Progress of one epoch.

    Args:
        title: Title, for example "epoch 3/40".
        total: Batches of the epoch.
        done: Batches done before, in a resumed epoch.
        later: Batches of later epochs, for the remaining time of the whole training.
        quiet: Show nothing.
    """

    def __init__(self, title: str, total: int, *, done: int = 0, later: int = 0, quiet: bool = False) -> None:
        self.title = title
        self.total = total
        self.later = later
        self.start = self.done = done
        self.images = 0
        self.started = self.shown = time.perf_counter()
        self.bar: tqdm | None = None
        self.quiet = quiet
        if not quiet and sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=done, desc=title, unit="batch", leave=False, dynamic_ncols=True)

    def advance(self, images: int) -> None:
        """Count one batch."""
        self.done += 1
        self.images += images
        if self.bar is not None:
            self.bar.update()

    def due(self) -> bool:
        """Return whether a line is due: nothing was shown for 30 s, there is no bar, and the epoch is not over."""
        if self.quiet or self.bar is not None or self.done >= self.total:
            return False
        return time.perf_counter() - self.shown > SILENCE

    def show(self, means: dict[str, float]) -> None:
        """Show loss, accuracy, speed and remaining time."""
        if self.quiet:
            return
        loss, accuracy = f"{means['loss']:.3f}", f"{100 * means['top1']:.1f} %"
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss}, acc {accuracy}, {self.rate():.0f} images/s, {self.eta()}")
            return
        self.shown = time.perf_counter()
        logger.info(
            "%s batch %d/%d: loss %s, acc %s, %.0f images/s, %s",
            self.title,
            self.done,
            self.total,
            loss,
            accuracy,
            self.rate(),
            self.eta(),
        )

    def eta(self) -> str:
        """Return the remaining time of the epoch and, if more epochs follow, of all; without evaluations."""
        per_batch = self.seconds() / max(self.done - self.start, 1)
        left = self.total - self.done
        epoch = f"ETA {clock(left * per_batch)}"
        return f"{epoch} (all epochs {clock((left + self.later) * per_batch)})" if self.later else epoch

    def seconds(self) -> float:
        """Return the time since the epoch, or the resumed part of it, started."""
        return time.perf_counter() - self.started

    def rate(self) -> float:
        """Return images per second."""
        return self.images / max(self.seconds(), 1e-9)

    def close(self) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
