"""The training loop: the input of each step, when it evaluates and saves, and when it stops."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from longtail.checkpoint_file import read_checkpoint
from longtail.data import Batch
from longtail.data.loaders import MemoryLoader
from longtail.engine import trainer as trainer_module
from longtail.engine.inference import evaluate
from longtail.engine.interrupts import Interrupted, Interrupts
from longtail.engine.optim import step_rate
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.methods import Step, Supervised
from longtail.models import build_model, load_released_weights, read_weights
from longtail.runs.directory import RunDirectory, parent_of_runs
from tests.helpers.training import (
    BATCHES,
    CE,
    CONTRASTIVE,
    NCL,
    FinishedRun,
    TinyConfig,
    assert_same,
    patch_step,
    read_json,
    read_records,
    stop_after,
    train,
    values,
)


def only_run(cfg: Any) -> RunDirectory:
    (path,) = parent_of_runs(cfg).iterdir()
    return RunDirectory(path)


def optimizer_type(run: RunDirectory) -> str:
    return str(read_json(run.results)["optimizer_type"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains(tiny_cfg: TinyConfig, precision: str) -> None:
    run = train(tiny_cfg("TRAIN.AMP", precision, method=NCL))
    weights = read_weights(run.last)
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert weights["experts.0.head.weight"].dtype == torch.float32
    assert read_json(run.results)["precision"] == precision


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("ADAM", "Adam"), ("ADAMW", "AdamW"), ("timm/lamb", "Lamb")])
def test_other_optimizers_lower_the_loss(tiny_cfg: TinyConfig, name: str, kind: str) -> None:
    run = train(tiny_cfg("TRAIN.OPTIMIZER.TYPE", name, "TRAIN.OPTIMIZER.BASE_LR", 0.01))
    losses = [record["loss"] for record in read_records(run, "train")]
    assert losses[-1] < losses[0]
    assert optimizer_type(run) == kind


@pytest.mark.slow
def test_evaluation_after_the_last_epoch_only(tiny_cfg: TinyConfig) -> None:
    run = train(tiny_cfg("VALID_STEP", -1, "SAVE_STEP", -1))
    results = read_json(run.results)
    assert results["best"]["epoch"] == results["last"]["epoch"] == 3
    assert [record["epoch"] for record in read_records(run, "valid")] == [3]
    assert not list(run.models.glob("epoch_*"))


@pytest.mark.slow
def test_frozen_backbone_and_statistics_stay(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    torch.manual_seed(7)
    fresh: Any = build_model(tiny_cfg(), 10)
    torch.save(fresh.experts[0].backbone.state_dict(), tmp_path / "backbone.pth")
    weights = ("BACKBONE.PRETRAINED_MODEL", str(tmp_path / "backbone.pth"))
    run = train(tiny_cfg("BACKBONE.FREEZE", True, "EVAL_MODE", True, *weights))
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    load_released_weights(fresh, read_weights(run.last))
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, before[name]) == ("backbone" in name), name


@pytest.mark.slow
def test_partner_reaches_the_method_normalized_like_its_batch(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Batch] = []
    original = Supervised.training_step

    def training_step(method: Supervised, batch: Batch) -> Step:
        seen.append(batch)
        return original(method, batch)

    monkeypatch.setattr(Supervised, "training_step", training_step)
    run = train(tiny_cfg("TRAIN.SAMPLER.TYPE", "bbn sampler", "TRAIN.MAX_EPOCH", 1))
    assert len(seen) == BATCHES
    for batch in seen:
        assert batch.partner is not None
        for images in (batch.images, batch.partner.images):
            assert images.dtype == torch.float32
            assert images.min() < 0 < images.max() < 10  # mean 0, std about 1
    assert "sampling: every image once per epoch; partners" in run.log.read_text()


@pytest.mark.slow
def test_partner_that_equals_its_batch_is_normalized_to_the_same_values(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = MemoryLoader.epoch
    seen: list[Batch] = []

    def epoch(loader: MemoryLoader, number: int, start: int = 0) -> Any:
        for batch in original(loader, number, start):
            yield batch._replace(partner=batch)

    original_step = Supervised.training_step

    def training_step(method: Supervised, batch: Batch) -> Step:
        seen.append(batch)
        return original_step(method, batch)

    monkeypatch.setattr(MemoryLoader, "epoch", epoch)
    monkeypatch.setattr(Supervised, "training_step", training_step)
    train(tiny_cfg("TRAIN.MAX_EPOCH", 1))
    assert len(seen) == BATCHES
    for batch in seen:
        assert batch.partner is not None
        assert torch.equal(batch.images, batch.partner.images)


@pytest.mark.slow
def test_rate_follows_a_schedule_per_step(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny_cfg("TRAIN.LR_SCHEDULER.TYPE", "warmup_cosine", "TRAIN.LR_SCHEDULER.WARM_EPOCH", 1)
    rates: list[float] = []
    patch_step(monkeypatch, lambda trainer: rates.append(trainer.training.optimizer.param_groups[0]["lr"]))
    run = train(cfg)
    assert rates == [step_rate(cfg, epoch, step, BATCHES) for epoch in (1, 2, 3) for step in range(BATCHES)]
    assert len(set(rates)) == len(rates)
    assert [record["lr"] for record in read_records(run, "train")] == rates[::BATCHES]


@pytest.mark.slow
def test_layer_decay_scales_the_rate_of_each_layer(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, float] = {}

    def look(trainer: Trainer) -> None:
        for group in trainer.training.optimizer.param_groups:
            found.update(dict.fromkeys(group["names"], group["lr"]))

    patch_step(monkeypatch, look)
    train(tiny_cfg("TRAIN.OPTIMIZER.LAYER_DECAY", 0.5, "TRAIN.OPTIMIZER.DECAY_1D", False, "TRAIN.MAX_EPOCH", 1))
    assert {name.split(".")[2]: rate for name, rate in found.items()} == {"backbone": 0.025, "head": 0.05}


@pytest.mark.slow
def test_clipping_bounds_the_step_and_logs_the_norm_before_it(tiny_cfg: TinyConfig) -> None:
    plain = ["TRAIN.OPTIMIZER.MOMENTUM", 0.0, "TRAIN.OPTIMIZER.WEIGHT_DECAY", 0.0, "TRAIN.MAX_EPOCH", 1]
    cfg = tiny_cfg(*plain, "TRAIN.OPTIMIZER.CLIP_NORM", 1e-3)
    run = train(cfg)
    torch.manual_seed(42)
    start = build_model(cfg, 10).state_dict()
    end = read_weights(run.last)
    moved = torch.stack(
        [(end[name] - start[name]).norm() for name in end if "running" not in name and "num" not in name]
    )
    assert 0 < float(moved.norm()) <= BATCHES * 0.05 * 1e-3 * 1.001
    assert read_records(run, "train")[0]["gradient_norm"] > 1e-2


@pytest.mark.slow
def test_state_is_saved_by_the_clock(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[tuple[int, int]] = []
    original = Trainer.save

    def save(trainer: Trainer, also: str | None = None) -> None:
        saved.append((trainer.epoch, trainer.batch))
        original(trainer, also)

    monkeypatch.setattr(Trainer, "save", save)
    train(tiny_cfg("TRAIN.CHECKPOINT_MINUTES", 0, "TRAIN.MAX_EPOCH", 1))
    assert saved == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 0)]


@pytest.mark.slow
def test_previous_state_is_kept(finished_run: FinishedRun) -> None:
    run = finished_run("SAVE_STEP", 1)
    last, previous = read_checkpoint(run.last), read_checkpoint(run.previous)
    assert (last["epoch"], previous["epoch"]) == (4, 3)
    assert_same(previous, read_checkpoint(run.models / "epoch_2.pth"))
    assert_same(last, read_checkpoint(run.models / "epoch_3.pth"))


@pytest.mark.slow
def test_best_checkpoints_are_those_of_the_best_epochs(finished_run: FinishedRun) -> None:
    run = finished_run(method=NCL)
    results = read_json(run.results)
    accuracies = {record["epoch"]: record for record in read_records(run, "valid")}
    best, single = results["best"], results["best_single"]
    assert best["ensemble"]["top1"] == max(record["ensemble"]["top1"] for record in accuracies.values())
    assert best["ensemble"] == accuracies[best["epoch"]]["ensemble"]
    assert read_checkpoint(run.models / "best_ensemble.pth")["epoch"] == best["epoch"]
    assert single["top1"] == max(expert["top1"] for record in accuracies.values() for expert in record["experts"])
    assert accuracies[single["epoch"]]["experts"][single["expert"] - 1]["top1"] == single["top1"]
    assert read_checkpoint(run.models / "best_single.pth")["epoch"] == single["epoch"]


@pytest.mark.slow
@pytest.mark.parametrize("signum", Interrupts.SIGNALS)
def test_signal_saves_the_state_and_stops(tiny_cfg: TinyConfig, signum: signal.Signals) -> None:
    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:
        stop_after(2, patch, signum)
        message = f"^stopped by {signum.name}; epoch 1, batch 2 of 4 is saved; the same command resumes from there$"
        with pytest.raises(Interrupted, match=message) as error:
            train(cfg)
    assert error.value.signum == signum
    state = read_checkpoint(only_run(cfg).last)
    assert (state["epoch"], state["batch"], state["samples"]) == (1, 2, 128)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [1, 2, 4])
def test_signal_during_an_evaluation_saves_the_trained_epoch(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, asked: int
) -> None:
    """The evaluation has four batches of up to 256 images."""
    with pytest.MonkeyPatch.context() as patch:
        original, batches = MemoryLoader.epoch, 0

        def epoch(loader: MemoryLoader, number: int, start: int = 0) -> Any:
            nonlocal batches
            for batch in original(loader, number, start):
                batches += len(loader.labels) == 797
                if batches == asked:
                    signal.raise_signal(signal.SIGINT)
                yield batch

        patch.setattr(MemoryLoader, "epoch", epoch)
        with pytest.raises(Interrupted, match="SIGINT; epoch 1, batch 4 of 4 is saved"):
            train(tiny_cfg())
    assert_same(values(finished_run()), values(train(tiny_cfg())))


@pytest.mark.slow
def test_signal_before_an_evaluation_is_obeyed_at_its_first_batch(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def stop_and_evaluate(*args: Any, **kwargs: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return evaluate(*args, **kwargs)

        patch.setattr(trainer_module, "evaluate", stop_and_evaluate)
        with pytest.raises(Interrupted, match="SIGINT"):
            train(tiny_cfg())
    assert_same(values(finished_run()), values(train(tiny_cfg())))


@pytest.mark.slow
def test_signal_during_the_last_save_stops_before_anything_follows(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        original = Trainer.save

        def save(trainer: Trainer, also: str | None = None) -> None:
            if trainer.epoch == 4:
                signal.raise_signal(signal.SIGTERM)
            original(trainer, also)

        patch.setattr(Trainer, "save", save)
        message = "^stopped by SIGTERM; all 3 epochs are saved; the same command finishes the run$"
        with pytest.raises(Interrupted, match=message):
            train(tiny_cfg())
    assert_same(values(finished_run()), values(train(tiny_cfg())))


@pytest.mark.slow
def test_signal_while_a_batch_is_awaited(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    with pytest.MonkeyPatch.context() as patch:
        original = MemoryLoader.epoch

        def epoch(loader: MemoryLoader, number: int, start: int = 0) -> Any:
            for step, batch in enumerate(original(loader, number, start), start):
                if (number, step) == (2, 1) and len(loader.labels) == 276:
                    signal.raise_signal(signal.SIGTERM)
                    loader.waiting()  # type: ignore[attr-defined]
                yield batch

        patch.setattr(MemoryLoader, "epoch", epoch)
        patch.setattr(MemoryLoader, "on_wait", lambda loader, callback: setattr(loader, "waiting", callback))
        with pytest.raises(Interrupted, match="SIGTERM; epoch 2, batch 1 of 4 is saved"):
            train(tiny_cfg())
    assert_same(values(finished_run()), values(train(tiny_cfg())))


@pytest.mark.slow
def test_damaged_image_stops_the_run_after_the_steps_before_it_are_saved(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:
        original = MemoryLoader.epoch

        def epoch(loader: MemoryLoader, number: int, start: int = 0) -> Any:
            for step, batch in enumerate(original(loader, number, start), start):
                if (number, step) == (2, 3):
                    raise UserError("image x.png cannot be read")
                yield batch

        patch.setattr(MemoryLoader, "epoch", epoch)
        with pytest.raises(UserError, match=r"^image x\.png cannot be read"):
            train(cfg)
    state = read_checkpoint(only_run(cfg).last)
    assert (state["epoch"], state["batch"]) == (2, 3)
    assert_same(values(finished_run()), values(train(cfg)))


@pytest.mark.slow
def test_damaged_image_of_an_evaluation_stops_the_run_after_the_epoch_is_saved(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise UserError("image x.png cannot be read")

        patch.setattr(trainer_module, "evaluate", refuse)
        with pytest.raises(UserError, match=r"^image x\.png cannot be read"):
            train(cfg)
    state = read_checkpoint(only_run(cfg).last)
    assert (state["epoch"], state["batch"]) == (1, BATCHES)
    assert_same(values(finished_run()), values(train(cfg)))


@pytest.mark.slow
def test_progress_is_reported_every_few_steps(tiny_cfg: TinyConfig) -> None:
    log = train(tiny_cfg("SHOW_STEP", 2, "TRAIN.MAX_EPOCH", 1)).log.read_text()
    assert "epoch 1/1 batch 2/4: loss " in log
    assert "batch 4/4" not in log  # the line of the epoch follows
    assert "epoch 1/1: loss " in log


@pytest.mark.slow
def test_networks_modes_are_set_in_every_epoch(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[bool] = []

    def look(trainer: Trainer) -> None:
        modes.extend(
            module.training for module in trainer.training.network.modules() if isinstance(module, nn.BatchNorm2d)
        )

    patch_step(monkeypatch, look)
    train(tiny_cfg(method=CE))
    assert modes == [True] * 3 * BATCHES


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_method_is_in_the_mode_of_the_network(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch, frozen: bool
) -> None:
    """A momentum encoder keeps its statistics, too, if those of the network are frozen."""
    modes: set[bool] = set()
    patch_step(monkeypatch, lambda trainer: modes.update(part.training for part in trainer.training.method.modules()))
    train(tiny_cfg("EVAL_MODE", frozen, "TRAIN.MAX_EPOCH", 1, method=CONTRASTIVE))
    assert modes == {not frozen}


@pytest.mark.slow
def test_method_hears_of_the_end_of_every_step(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the optimizer."""
    name, weights = "experts.0.head.weight", []
    monkeypatch.setattr(
        Supervised, "on_step_end", lambda method: weights.append(method.evaluated().get_parameter(name).clone())
    )
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 1))
    assert len(weights) == BATCHES
    assert torch.equal(weights[-1], read_weights(run.last)[name])


@pytest.mark.slow
def test_trainer_without_a_run_directory_writes_nothing(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    """As in the processes of rank 1, 2, ..."""
    from longtail.data import build_splits
    from longtail.runs.resume import ResumePoint
    from longtail.runs.run import Run
    from longtail.stages.build import build_training
    from tests.helpers.worlds import place_in

    cfg = tiny_cfg("TRAIN.MAX_EPOCH", 1)
    place = place_in(0, 1)
    run = Run(cfg, place, ResumePoint())
    Trainer(build_training(cfg, build_splits(cfg), place=place, source="x.yaml"), run).fit()
    run.close()
    assert not list(tmp_path.iterdir())
