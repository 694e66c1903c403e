"""The training loop, the same for every method."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longtail.data import Batch, Loaders
from longtail.engine.checkpoint import random_state, restore_random_state, save_checkpoint
from longtail.engine.compiling import uncompiled
from longtail.engine.distributed import World, gather_to_all, highest, share_buffers
from longtail.engine.evaluator import Stopped, evaluate
from longtail.engine.gradients import Gradients
from longtail.engine.guard import FiniteGuard
from longtail.engine.interrupts import Interrupted, Interrupts
from longtail.engine.meter import Meter
from longtail.engine.progress import Progress, clock
from longtail.engine.recorded_stepping import RecordedStepper, Recorder
from longtail.engine.records import Records
from longtail.engine.results import Results
from longtail.engine.run_directory import RunDirectory
from longtail.engine.stepping import Stepper
from longtail.errors import UserError
from longtail.evaluation import Judge, summary
from longtail.methods import Method

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """When things happen; epochs count from 1.

    Attributes:
        rates: learning rate of each epoch.
        valid_step: judge every so many epochs, and after the last; -1: after the last only.
        save_step: keep a checkpoint every so many epochs; -1: never.
        show_step: report every so many batches.
        checkpoint_seconds: write last.pth inside an epoch when the newest is older than this.
        frozen_statistics: keep the network in evaluation mode while training.
        clip_norm: bound of the norm of the gradients; 0: none.
    """

    rates: list[float]
    valid_step: int = 5
    save_step: int = 5
    show_step: int = 20
    checkpoint_seconds: float = 600.0
    frozen_statistics: bool = False
    clip_norm: float = 0.0


class Trainer:
    """Trains a network by a method, judges it, and can be stopped and continued at any step.

    Args:
        network: not wrapped; its weights are what is saved.
        method: calls the (wrapped) network.
        optimizer: over the network's parameters.
        scaler: of gradients, enabled for fp16.
        loaders: of this process.
        new_judge: gives an empty judge.
        schedule: when things happen.
        device: of the network.
        autocast: gives the mixed-precision context.
        run: where process 0 writes; None in other processes.
        records: likewise.
        facts: head of results.json and of checkpoints (classes, fingerprint, ...).
        world: the processes of the run.
        recorder: replays steps; None: every step is launched anew.
    """

    def __init__(
        self,
        network: nn.Module,
        method: Method,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        loaders: Loaders,
        new_judge: Callable[[], Judge],
        schedule: Schedule,
        device: torch.device,
        autocast: Callable[[], torch.autocast],
        run: RunDirectory | None,
        records: Records | None,
        facts: dict[str, Any],
        world: World = World(),  # noqa: B008  (immutable)
        recorder: Recorder | None = None,
    ) -> None:
        self.network = network
        self.method = method
        self.optimizer = optimizer
        self.scaler = scaler
        self.loaders = loaders
        self.new_judge = new_judge
        self.schedule = schedule
        self.device = device
        self.autocast = autocast
        self.run = run
        self.records = records
        self.facts = facts
        self.world = world

        self.epoch = 1  # being trained
        self.batch = 0  # of this epoch that are done
        self.meter = Meter()
        self.results = Results()
        self.judge: Judge | None = None  # of the newest judgement
        self.guard = FiniteGuard(optimizer, immediate=device.type == "cpu" and not recorder)
        gradients = Gradients(optimizer, scaler, schedule.clip_norm)
        stepper = Stepper(method, optimizer, scaler, gradients, self.guard, loaders.normalize, autocast)
        self.stepper = RecordedStepper(stepper, recorder) if recorder else stepper
        self.interrupts = Interrupts()
        self._seconds_before = 0.0
        self._began = self._saved = time.monotonic()

    # ------------------------------------------------------------------ the loop

    def fit(self) -> None:
        """Train until the last epoch.

        Raises:
            Interrupted: a signal asked to stop; the state is saved.
            NotFinite: a loss or gradient was not finite; the weights were not touched by it.
            UserError: an image is damaged, or the disk is full; the state before it is saved where it can be.
        """
        self._began = self._saved = time.monotonic()
        with self.interrupts:
            while self.epoch <= len(self.schedule.rates):
                self._end_epoch(self._train_epoch())

    def _train_epoch(self) -> dict[str, Any]:
        """Train what is left of the epoch and return its record."""
        epoch, loader = self.epoch, self.loaders.train
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rates[epoch - 1]
        self.method.train(not self.schedule.frozen_statistics)
        self.network.train(not self.schedule.frozen_statistics)
        self.method.set_epoch(epoch)
        self.stepper.begin_epoch()
        title = f"epoch {epoch}/{len(self.schedule.rates)}"
        progress = Progress(title, len(loader), self.batch, quiet=not self.world.main)
        try:
            for batch in self._batches():
                self._step(batch)
                self.batch += 1
                progress.advance(len(batch.all_indices) * self.world.size)
                if self.batch % self.schedule.show_step == 0 and self.batch < len(loader):
                    self.guard.report()
                    progress.show(self.meter.means())
                self._stop_or_save()
            self.guard.report()
        finally:
            progress.close()
        return {
            "epoch": epoch,
            "split": "train",
            **self.meter.means(),
            "lr": self.schedule.rates[epoch - 1],
            "images_per_second": round(progress.rate(), 1),
            "seconds": round(progress.seconds(), 2),
        }

    def _batches(self) -> Iterator[Batch]:
        """Yield what is left of the epoch; a damaged image stops the run with everything before it saved."""
        try:
            yield from self.loaders.train.epoch(self.epoch, self.batch)
        except UserError:
            if self.world.size == 1:  # saving takes all processes, and the others know nothing of this
                self.save()
            raise

    def _step(self, batch: Batch) -> None:
        self.meter.update(*self.stepper(batch.to(self.device), self.epoch, self.batch + 1))

    def _stop_or_save(self) -> None:
        """Between two batches: obey a signal, or write last.pth when the newest one has become old."""
        if self.world.size > 1 and self.batch % self.schedule.show_step:
            return  # the processes must agree, which costs a round of messages
        old = time.monotonic() - self._saved > self.schedule.checkpoint_seconds
        wish = highest(2 if self.interrupts.received else int(old), self.device)
        if wish:
            self.guard.report()
            self.save()
        if wish == 2:
            self._raise_interrupted()

    def _raise_interrupted(self) -> None:
        where = f"epoch {self.epoch}, batch {self.batch} of {len(self.loaders.train)} is saved"
        signum = self.interrupts.received or 15
        raise Interrupted(signum, f"{where}; the same command goes on from there")

    # ------------------------------------------------------------------ the end of an epoch

    def _end_epoch(self, record: dict[str, Any]) -> None:
        """Judge when it is time, write down what came out, and save."""
        epoch, last = self.epoch, len(self.schedule.rates)
        judged = None
        if epoch == last or (self.schedule.valid_step > 0 and epoch % self.schedule.valid_step == 0):
            judged = self._judge()
        self.epoch, self.batch, self.meter = epoch + 1, 0, Meter()
        better = better_single = False
        if judged:
            better, better_single = self.results.add(epoch, judged)
        if self.run and self.records:
            self.records.add(record)
            if judged:
                self.records.add({"epoch": epoch, "split": "valid", **judged})
                self._save_best(epoch, better, better_single)
            self._log_epoch(record, judged)
        keep = self.schedule.save_step > 0 and epoch % self.schedule.save_step == 0
        self.save(also=f"epoch_{epoch}.pth" if keep else None)
        if self.loaders.bad_images is not None:
            self.loaders.bad_images.check()
        if self.run and judged:  # after the checkpoint: a run is not called finished before its weights are safe
            self.run.write_json("results.json", self.outcome())

    def _judge(self) -> dict[str, Any]:
        judge = self.new_judge()
        share_buffers(self.network)
        try:
            # Processes that wait for each other must not stop one by one.
            asked = (lambda: self.interrupts.received is not None) if self.world.size == 1 else (lambda: False)
            with uncompiled():
                evaluate(
                    self.network, self.loaders.valid, self.loaders.normalize, judge, self.device, self.autocast, asked
                )
        except Stopped:
            self.save()
            self._raise_interrupted()
        self.judge = judge
        return judge.results()

    def _save_best(self, epoch: int, better: bool, better_single: bool) -> None:
        content = {**self.facts, "epoch": epoch, "results": self.results.last, "model": self.network.state_dict()}
        assert self.run
        if better:
            save_checkpoint(self.run.models / "best_ensemble.pth", content)
        if better_single:
            save_checkpoint(self.run.models / "best_single.pth", content)

    def _log_epoch(self, record: dict[str, Any], judged: dict[str, Any] | None) -> None:
        logger.info(
            "epoch %d/%d: loss %.4f, acc %.2f %%, lr %.4g, %.0f images/s, %s",
            record["epoch"],
            len(self.schedule.rates),
            record["loss"],
            100 * record["top1"],
            record["lr"],
            record["images_per_second"],
            clock(self.seconds()),
        )
        for line in summary(judged) if judged else []:
            logger.info("  %s", line)

    # ------------------------------------------------------------------ state

    def seconds(self) -> float:
        """Return the time spent on this run, earlier processes included."""
        return self._seconds_before + time.monotonic() - self._began

    def outcome(self) -> dict[str, Any]:
        """Return the content of results.json."""
        return {
            **{key: value for key, value in self.facts.items() if key not in ("architecture", "fingerprint")},
            "seconds": round(self.seconds(), 1),
            **self.results.state_dict(),
            **(self.loaders.bad_images.summary() if self.loaders.bad_images else {}),
        }

    def save(self, also: str | None = None) -> None:
        """Write last.pth, and the same under another name where one is given; every process takes part."""
        randoms = gather_to_all(random_state())
        bad_files = self._bad_files()
        self._saved = time.monotonic()
        if not self.run:
            return
        content = {
            **self.facts,
            "epoch": self.epoch,
            "batch": self.batch,
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "method": self.method.state_dict(),
            "meter": self.meter.state_dict(),
            "results": self.results.state_dict(),
            "random": randoms,
            "seconds": self.seconds(),
            **({"bad_files": bad_files} if bad_files else {}),
        }
        names: list[str] = ["last.pth", *([also] if also else [])]
        for name in names:
            save_checkpoint(Path(self.run.models) / name, content)

    def _bad_files(self) -> list[str]:
        """Return the image files that any process has skipped, and let every process know of them."""
        bad = self.loaders.bad_images
        if bad is None:
            return []
        for files in gather_to_all(sorted(bad.files)):
            bad.merge(files)
        return sorted(bad.files)

    def load(self, content: dict[str, Any]) -> None:
        """Go on from a checkpoint that fits (see `continuation`)."""
        self.network.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        self.method.load_state_dict(content["method"])
        self.meter.load_state_dict(content["meter"], self.device)
        self.results.load_state_dict(content["results"])
        self.epoch, self.batch = content["epoch"], content["batch"]
        self._seconds_before = content["seconds"]
        if self.loaders.bad_images is not None:
            self.loaders.bad_images.merge(content.get("bad_files", []))
        if len(content["random"]) == self.world.size:
            restore_random_state(content["random"][self.world.rank])
        else:
            logger.warning(
                "the checkpoint is of %d processes, this run has %d: random numbers start anew",
                len(content["random"]),
                self.world.size,
            )
