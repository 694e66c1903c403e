"""The training loop, the same for every method."""

import time
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from longtail.data import Batch
from longtail.distributed import gather_to_all, share_buffers
from longtail.engine.bad_images import share_bad_images
from longtail.engine.compiling import uncompiled
from longtail.engine.cuda_graph import GraphStep
from longtail.engine.epoch_report import class_recall, log_epoch
from longtail.engine.finite_guard import FiniteGuard, Where
from longtail.engine.inference import evaluate
from longtail.engine.meter import Meter
from longtail.engine.optim import GradientClipping, set_rate
from longtail.engine.stopping import Stopping
from longtail.engine.training import Training
from longtail.engine.training_state import check_state, restore_training, training_state
from longtail.evaluation import Evaluator
from longtail.methods import Step
from longtail.output_folders import BEST, BEST_SINGLE, LAST, RESULTS
from longtail.runs.progress import Progress
from longtail.runs.random_state import random_state, restore_random_states
from longtail.runs.results import Results, outcome
from longtail.runs.resume import resumed_batch
from longtail.runs.run import Run


class Trainer:
    """Trains and evaluates; can be stopped and resumed at any step.

    Args:
        training: Components of the training.
        run: Where results and checkpoints go.
    """

    def __init__(self, training: Training, run: Run) -> None:
        self.training = training
        self.run = run
        self.epoch = 1  # current epoch
        self.batch = 0  # number of finished batches of this epoch
        self.meter = Meter()
        self.results = Results(training.plan.select_by)
        self.evaluator: Evaluator | None = None  # of the newest evaluation
        self.clipping = GradientClipping(training.optimizer, training.scaler, max_norm=training.plan.clip_norm)
        on_cpu = training.place.device.type == "cpu" and not training.recorder
        self.guard = FiniteGuard(training.optimizer, immediate=on_cpu)
        self.graph = (
            GraphStep(self.train_step, training.recorder, guard=self.guard, optional=not training.plan.must_record)
            if training.recorder
            else None
        )
        self.stopping = Stopping(training, save=self.save, position=lambda: (self.epoch, self.batch))
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._recent: Tensor | None = None  # images of the latest batch, to try the network before it is saved

    # ------------------------------------------------------------------ the loop

    def fit(self) -> None:
        """Train until the last epoch.

        Raises:
            Interrupted: A signal asked to stop; the state is saved.
            NotFinite: A loss or gradient was not finite; the weights were not changed by it.
            UserError: An image is damaged, or the disk is full; the state before the error is saved if possible.
        """
        self._started = time.monotonic()
        requests = self.stopping.requests
        requests.saved()
        self.training.loaders.on_wait(self.stopping.while_waiting)
        with requests.interrupts:
            while self.epoch <= self.training.plan.epochs:
                self.train_epoch()
            if self.evaluator is None:  # resumed after the last epoch, possibly in a new directory
                self._save_best(self.epoch - 1, self._evaluate())
                self.save()
        self.stopping.after_training()
        self.run.write_json(RESULTS, self.outcome())

    def train_epoch(self) -> None:
        """Train the rest of the epoch, then evaluate, log and save."""
        t, epoch = self.training, self.epoch
        self.set_up_epoch()
        progress = Progress(
            f"epoch {epoch}/{t.plan.epochs}",
            len(t.loaders.train),
            done=self.batch,
            later=(t.plan.epochs - epoch) * len(t.loaders.train),
            quiet=not t.place.main,
        )
        try:
            for loaded in self._batches():
                batch = loaded.to(t.place.device)
                set_rate(t.optimizer, t.schedule(epoch, self.batch, len(t.loaders.train)))
                where = Where(epoch, self.batch + 1, batch.all_indices)
                step, norm = self.step(batch, where)
                t.method.on_step_end()
                if t.average:
                    t.average.update(t.network, (epoch - 1) * len(t.loaders.train) + self.batch + 1)
                self.meter.update(step, norm)
                self.batch, self._recent = self.batch + 1, batch.images
                progress.advance(len(batch.all_indices) * t.place.world.size)
                every = self.batch % t.plan.report_every == 0 and self.batch < len(t.loaders.train)
                if every or progress.due():
                    self.guard.report()
                    progress.show(self.meter.means())
                self.stopping.after_batch()
            self.guard.report()
            self.stopping.after_batches()
        finally:
            progress.close()
        self._end_epoch(
            {
                "epoch": epoch,
                "split": "train",
                **self.meter.over_processes().means(),
                "lr": t.schedule(epoch),
                "images_per_second": round(progress.rate(), 1),
                "seconds": round(progress.seconds(), 2),
            }
        )

    def step(self, batch: Batch, where: Where) -> tuple[Step, Tensor | None]:
        """Train on a batch, with the recorded step if there is one; return the step and the norm of its gradients."""
        return self.graph(batch, where) if self.graph else self.train_step(batch, where)[:2]

    def train_step(self, batch: Batch, where: Where | None) -> tuple[Step, Tensor | None, Tensor]:
        """Do forward, backward, clipping, check and optimizer step of one batch, without a host sync on a GPU.

        Args:
            batch: uint8 images on the device of the network.
            where: Position of the step; None: it is being recorded.

        Returns:
            The step, the norm of its gradients before clipping, and whether both are finite.

        Raises:
            NotFinite: See `FiniteGuard.check`; the weights are unchanged.
        """
        t = self.training
        step = self._gradients(batch)
        if t.sharpness:
            with t.sharpness.ascended():
                self._gradients(batch)
        norm = self.clipping.clip()
        finite = self.guard.check(step, norm, where=where)
        t.scaler.step(t.optimizer)
        t.scaler.update()
        return step, norm, finite

    def _gradients(self, batch: Batch) -> Step:
        """Do forward and backward of one batch, which sets the gradients at the current weights."""
        t = self.training
        t.optimizer.zero_grad(set_to_none=True)
        with t.place.autocast():
            step = t.method.training_step(batch.with_images(t.loaders.normalize))
        t.scaler.scale(step.loss).backward()
        return step

    def set_up_epoch(self) -> None:
        """Set modes and epoch; prepare the method if no batch of the epoch is done."""
        t = self.training
        training_mode = not t.plan.frozen_statistics
        t.method.train(training_mode)
        t.network.train(training_mode)
        t.method.set_epoch(self.epoch)
        t.data.epoch = self.epoch
        if self.batch == 0:
            with uncompiled(), self.stopping.saving_before_the_end(), t.data.stoppable(self.stopping.pass_over):
                t.method.on_epoch_start(self.epoch, t.data)
        if self.graph:
            self.graph.begin_epoch(t.method)

    def _batches(self) -> Iterator[Batch]:
        """Yield the rest of the epoch."""
        with self.stopping.saving_before_the_end():
            yield from self.training.loaders.train.epoch(self.epoch, self.batch)

    # ------------------------------------------------------------------ the end of an epoch

    def _end_epoch(self, record: dict[str, Any]) -> None:
        """Evaluate if it is time, log the results, and save."""
        epoch, plan = self.epoch, self.training.plan
        evaluation = self._evaluate() if plan.evaluates(epoch) else None
        self.epoch, self.batch, self.meter = epoch + 1, 0, Meter()
        if evaluation:
            self._save_best(epoch, evaluation)
        try:
            log_epoch(record, evaluation, epochs=plan.epochs, seconds=self.seconds())
            self.run.log(record, *self._valid_records(epoch, evaluation))
        finally:  # a logger that fails must not cost the epoch
            self.save(also=f"epoch_{epoch}.pth" if plan.keeps(epoch) else None)
        if self.training.loaders.bad_images is not None:
            self.training.loaders.bad_images.check()
        if evaluation:
            self.run.write_json(RESULTS, self.outcome())

    def _valid_records(self, epoch: int, evaluation: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Return the record of an evaluation; none if there was no evaluation."""
        if not evaluation:
            return []
        recall = class_recall(self.evaluator, self.training.facts)
        return [{"epoch": epoch, "split": "valid", **evaluation, **recall}]

    def _evaluate(self) -> dict[str, Any]:
        t = self.training
        evaluator = t.new_evaluator()
        for network in dict.fromkeys((t.network, t.evaluated())):  # an average has its own buffers
            share_buffers(network)
        with uncompiled(), self.stopping.saving_before_the_end():
            evaluate(
                t.evaluated(),
                t.loaders.valid,
                evaluator,
                normalize=t.loaders.normalize,
                place=t.place,
                should_stop=self.stopping.pass_over(len(t.loaders.valid)),
            )
        self.evaluator = evaluator
        return evaluator.results()

    def _save_best(self, epoch: int, evaluation: dict[str, Any]) -> None:
        """Add an evaluation to the results, and save the evaluated weights if they are better than before."""
        t = self.training
        better, better_single = self.results.add(epoch, evaluation)
        if not t.place.main or not (better or better_single):
            return
        weights = {"model": t.evaluated().state_dict(), **({"trained": t.network.state_dict()} if t.average else {})}
        content = {**t.facts.to_json(), "epoch": epoch, "results": self.results.last, **weights}
        if better:
            self.run.save(BEST, content)
        if better_single:
            self.run.save(BEST_SINGLE, content)

    # ------------------------------------------------------------------ state

    def seconds(self) -> float:
        """Return the duration of this run in seconds, including earlier processes."""
        return self._seconds_before + time.monotonic() - self._started

    def outcome(self) -> dict[str, Any]:
        """Return the content of results.json."""
        bad = self.training.loaders.bad_images
        return outcome(self.training.facts, self.results, seconds=self.seconds(), extra=bad.summary() if bad else {})

    def save(self, also: str | None = None) -> None:
        """Write last.pth, after a copy under another name if `also` is given; every process must call it.

        Raises:
            NotFinite: A step was bad, or the state is, see `check_state`; nothing is written.
        """
        t = self.training
        self.guard.report()  # a bad step would count as done
        check_state(t, self._recent)
        randoms = gather_to_all(random_state())
        bad_files, meter = self._bad_files(), self.meter.state_dict()
        self.stopping.requests.saved()
        if not t.place.main:
            return
        content = {
            **t.facts.to_json(),
            "epoch": self.epoch,
            "batch": self.batch,
            "samples": self.batch * t.loaders.train.batch_size * t.place.world.size,
            **training_state(t),
            "meter": meter,
            "results": self.results.state_dict(),
            "random": randoms,
            "seconds": self.seconds(),
            **({"bad_files": bad_files} if bad_files else {}),
        }
        if also:
            self.run.save(also, content)
        self.run.save(LAST, content)

    def _bad_files(self) -> list[str]:
        """Return the image files that any process has skipped, and share them among all processes."""
        bad = self.training.loaders.bad_images
        share_bad_images(bad)
        return sorted(bad.files) if bad else []

    def load(self, content: dict[str, Any]) -> None:
        """Restore the state of a compatible checkpoint, see `longtail.runs.resume`.

        Raises:
            UserError: See `restore_training`.
        """
        t = self.training
        restore_training(t, content)
        self.meter.load_state_dict(content["meter"], t.place.device, main=t.place.main)
        self.results.load_state_dict(content["results"])
        per_step = t.loaders.train.batch_size * t.place.world.size
        self.epoch, self.batch = content["epoch"], resumed_batch(content, per_step)
        self._seconds_before = content["seconds"]
        if t.loaders.bad_images is not None:
            t.loaders.bad_images.merge(content.get("bad_files", []))
        restore_random_states(content["random"], t.place.world, seed=t.facts.seed, epoch=self.epoch)
