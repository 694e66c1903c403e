"""How a training stops before its end: on a signal, on the request of another process, on an error of the data."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NoReturn

from longtail.distributed import main_only, maximum
from longtail.engine.finite_guard import NotFinite
from longtail.engine.inference import Stopped
from longtail.engine.interrupts import Interrupted
from longtail.engine.requests import SAVE, Requests
from longtail.engine.stop_evaluation import StopEvaluation
from longtail.engine.training import Training
from longtail.errors import UserError


class Stopping:
    """Saves a training, and stops it, in all processes alike.

    Args:
        training: Components of the training.
        save: Saves the state; every process must call it.
        position: Returns the current epoch and the number of its finished batches.

    Attributes:
        requests: What signals and the age of the newest checkpoint request.
    """

    def __init__(
        self, training: Training, *, save: Callable[[], None], position: Callable[[], tuple[int, int]]
    ) -> None:
        self.training = training
        self.requests = Requests(training.plan, training.place.world.size)
        self._save = save
        self._position = position
        self._pass: StopEvaluation  # of the newest pass over images

    @contextlib.contextmanager
    def saving_before_the_end(self) -> Iterator[None]:
        """Within the block, which loads images, save before a signal or an error of the data ends the training."""
        try:
            yield
        except Stopped:
            self._save_and_stop(self._pass.signum)
        except NotFinite:
            raise
        except UserError:
            if self.requests.alone:  # all processes must take part in saving, and the others do not know of this error
                self.while_waiting()  # the error is due to a signal, which has ended the workers
                self._save()
            raise

    def pass_over(self, batches: int) -> StopEvaluation:
        """Return what says before every batch of a pass over images whether to stop.

        Args:
            batches: Batches of this process.
        """
        self._pass = StopEvaluation(self.requests, batches=batches, device=self.training.place.device)
        return self._pass

    def while_waiting(self) -> None:
        """Handle a signal while waiting for a batch; with several processes none can stop alone."""
        signum = self.requests.interrupts.received
        if signum and self.requests.alone:
            self._save_and_stop(signum)

    def after_batch(self) -> None:
        """Save, or save and stop, if any process requests it."""
        self._answer(self.requests.exchange())

    def after_batches(self) -> None:
        """Answer what was requested in the last batch of an epoch."""
        self._answer(self.requests.settle())

    def after_training(self) -> None:
        """Stop after a signal that came after the last batch, for example during the last save."""
        signum = maximum(self.requests.stop_signal(), self.training.place.device)
        if signum:
            raise self._interrupted(signum)

    def _answer(self, request: int) -> None:
        if request > SAVE:
            self._save_and_stop(request)
        elif request == SAVE:
            self._save()

    def _save_and_stop(self, signum: int) -> NoReturn:
        self._save()
        main_only(lambda: None)  # a launcher ends process 0 once another process has ended
        raise self._interrupted(signum)

    def _interrupted(self, signum: int) -> Interrupted:
        (epoch, batch), epochs = self._position(), self.training.plan.epochs
        if epoch > epochs:
            return Interrupted(signum, f"all {epochs} epochs are saved; the same command finishes the run")
        done = f"epoch {epoch}, batch {batch} of {len(self.training.loaders.train)} is saved"
        return Interrupted(signum, f"{done}; the same command resumes from there")
