"""An interrupted and resumed run gives the results of an uninterrupted one; errors of resuming."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.checkpoint_file import is_intact, read_checkpoint, save_checkpoint
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.output_folders import ENVIRONMENT
from longtail.runs.directory import RunDirectory, parent_of_runs
from longtail.runs.results import RunFacts
from longtail.runs.resume import STATE, ResumePoint, find_resume_point, load_compatible, resumed_batch
from tests.helpers.training import (
    BATCHES,
    BBN,
    CASCADE,
    CE,
    CONTRASTIVE,
    CUTMIX,
    DIVE,
    MANIFOLD,
    MIXUP,
    NCL,
    REMIX,
    FinishedRun,
    TinyConfig,
    assert_same,
    read_json,
    read_records,
    stop_after,
    train,
    values,
)

WEIGHTED = ["TRAIN.SAMPLER.TYPE", "weighted sampler", "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE"]
DEFERRED = [*CE, *WEIGHTED, "progressive", "TRAIN.TWO_STAGE.DRS", True]
SAMPLERS = {
    "balance": [*CE, *WEIGHTED, "balance"],
    "square": [*CE, *WEIGHTED, "square"],
    "progressive": DEFERRED,
    "repeat_factor": [*CE, "TRAIN.SAMPLER.TYPE", "repeat-factor sampler"],
    "reverse": [*CE, "TRAIN.SAMPLER.TYPE", "bbn sampler"],
    "square_of_ncl": [*NCL, "TRAIN.SAMPLER.MULTI_NETWORK_TYPE", ["weighted_square"]],
}
COMBINED = [
    *("TRAIN.SAMPLER.TYPE", "repeat-factor sampler", "TRAIN.EMA.DECAY", 0.9, "LOSS.CLASS_WEIGHTS.TYPE", "inverse"),
    *("TRAIN.LR_SCHEDULER.TYPE", "warmup_cosine"),
]
STEPS = {"first": 1, "middle": 2, "end": BATCHES, "second_epoch": BATCHES + 3}
METHODS = {
    "ce": CE,
    "ncl": NCL,
    "contrastive": CONTRASTIVE,
    "cascade": CASCADE,
    "cutmix_ema": [*CUTMIX, *COMBINED],
    "sam_ema": [*CE, *COMBINED, "TRAIN.OPTIMIZER.SAM_RHO", 0.05],
}
MIXING = {"mixup": MIXUP, "cutmix": CUTMIX, "manifold": MANIFOLD, "remix": REMIX, "bbn": BBN, "distillation": DIVE}


def stop(cfg: Any, steps: int, how: str = "auto") -> RunDirectory:
    """Train until a signal arrives in batch number `steps`; return the newest run directory."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train(cfg, how)
    return RunDirectory(max(parent_of_runs(cfg).iterdir()))


def resume(cfg: Any, steps: int) -> RunDirectory:
    """Train, stopped in batch number `steps` and resumed; return the run directory."""
    stopped = stop(cfg, steps)
    torch.manual_seed(999)  # whatever else the new process drew
    resumed = train(cfg)
    assert resumed.path == stopped.path
    return resumed


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", STEPS)
def test_stopped_run_resumes_bit_by_bit(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, method: str, where: str
) -> None:
    resumed = resume(tiny_cfg(method=METHODS[method]), STEPS[where])
    assert_same(values(finished_run(method=METHODS[method])), values(resumed))


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXING)
def test_stopped_run_of_a_mixing_method_resumes_bit_by_bit(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, name: str
) -> None:
    settings: list[Any] = ["TRAIN.MAX_EPOCH", 2]
    if name == "distillation":
        settings += ["TRAIN.COMBINER.DIVE.TEACHER_MODEL", str(finished_run().models / "best_ensemble.pth")]
    whole = finished_run(*settings, method=MIXING[name])
    resumed = resume(tiny_cfg(*settings, method=MIXING[name]), BATCHES + 2)
    assert_same(values(whole), values(resumed))
    assert read_checkpoint(resumed.last)["method"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_stopped_run_of_every_sampler_resumes_bit_by_bit(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, name: str
) -> None:
    """In the second epoch, the first after START_EPOCH 1."""
    resumed = resume(tiny_cfg(method=SAMPLERS[name]), BATCHES + 2)
    assert_same(values(finished_run(method=SAMPLERS[name])), values(resumed))


@pytest.mark.slow
def test_deferred_sampling_changes_nothing_before_its_epoch(finished_run: FinishedRun) -> None:
    plain, deferred = (read_records(finished_run(method=method), "train") for method in (CE, DEFERRED))
    assert [one["loss"] == other["loss"] for one, other in zip(plain, deferred, strict=True)] == [True, False, False]


@pytest.mark.slow
def test_crash_between_metrics_and_checkpoint_lists_no_epoch_twice(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        original = Trainer.save

        def save(trainer: Trainer, also: str | None = None) -> None:
            if trainer.epoch == 3:
                raise RuntimeError("power failure")
            original(trainer, also)

        patch.setattr(Trainer, "save", save)
        with pytest.raises(RuntimeError, match="power failure"):
            train(tiny_cfg())
    assert_same(values(finished_run()), values(train(tiny_cfg())))


@pytest.mark.slow
def test_crash_before_the_figures_draws_them_and_finishes(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longtail.stages.train.output_records", lambda run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(cfg)
    (path,) = parent_of_runs(cfg).iterdir()
    run = RunDirectory(path)
    assert not run.finished()
    shutil.rmtree(run.figures)  # as in a copy without empty folders
    resumed = train(cfg)
    assert resumed.path == path and resumed.finished()
    assert run.figures.is_dir()
    assert_same(values(finished_run()), values(resumed))


@pytest.mark.slow
def test_seed_decides_the_run(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    first, second = finished_run(method=NCL), train(tiny_cfg(method=NCL))
    assert first.path != second.path
    assert_same(values(first), values(second))
    other = read_checkpoint(finished_run("RAND_SEED", 1, method=NCL).last)["model"]
    assert not torch.equal(
        other["experts.0.head.weight"], read_checkpoint(first.last)["model"]["experts.0.head.weight"]
    )


@pytest.mark.slow
def test_auto_after_a_finished_run_does_nothing_and_reports_it(
    tiny_cfg: TinyConfig, caplog: pytest.LogCaptureFixture
) -> None:
    finished = train(tiny_cfg())
    files = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*") if path.is_file()}
    with caplog.at_level(logging.INFO, "longtail"):
        assert train(tiny_cfg()).path == finished.path
    assert caplog.messages[-1:] == [f"already finished in {finished.path}; --resume never starts a new run"]
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*") if path.is_file()} == files
    assert train(tiny_cfg(), "never").path != finished.path


@pytest.mark.slow
def test_auto_starts_a_new_run_for_another_config(tiny_cfg: TinyConfig) -> None:
    stopped = stop(tiny_cfg("TRAIN.OPTIMIZER.BASE_LR", 0.01), 2)
    assert train(tiny_cfg("TRAIN.OPTIMIZER.BASE_LR", 0.02, "TRAIN.MAX_EPOCH", 1)).path != stopped.path
    assert train(tiny_cfg("TRAIN.OPTIMIZER.BASE_LR", 0.01, "SHOW_STEP", 7)).path == stopped.path


@pytest.mark.slow
def test_run_of_another_process_is_left_alone(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg()
    path = stop(cfg, 2).path
    other = RunDirectory(path)
    assert other.lock()
    assert find_resume_point(cfg, "auto").run is None
    with pytest.raises(UserError, match=rf"^cannot resume from {path}: another process is training this run$"):
        train(cfg, str(path))
    other.unlock()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, Path.unlink], ids=["cut", "lost"])
def test_damaged_checkpoint_gives_way_to_the_one_before_it(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = stop(tiny_cfg(), 2 * BATCHES + 2)
    damage(run.last)
    resumed = train(tiny_cfg())
    said = f"{run.last} is damaged or lost; resuming from an older checkpoint of the run"
    assert said in caplog.messages and said in run.log.read_text()
    assert resumed.path == run.path
    assert_same(values(finished_run()), values(resumed))
    assert is_intact(run.previous)


@pytest.mark.slow
def test_damaged_checkpoints_give_way_to_that_of_an_epoch(tiny_cfg: TinyConfig) -> None:
    run = stop(tiny_cfg("SAVE_STEP", 1), 2 * BATCHES + 2)
    for path in (run.last, run.previous):
        cut(path)
    point = find_resume_point(tiny_cfg("SAVE_STEP", 1), "auto")
    assert point.checkpoint == run.models / "epoch_2.pth"
    assert point.damaged == (run.last, run.previous)


@pytest.mark.slow
def test_run_without_an_intact_checkpoint_is_refused(tiny_cfg: TinyConfig) -> None:
    run = stop(tiny_cfg(), BATCHES + 2)
    for path in (run.last, run.previous):
        cut(path)
    with pytest.raises(UserError, match=r"last\.pth is damaged.*; delete it to start again$"):
        train(tiny_cfg())


@pytest.mark.slow
def test_named_checkpoint_that_is_damaged_is_refused(tiny_cfg: TinyConfig) -> None:
    run = stop(tiny_cfg(), BATCHES + 2)
    cut(run.last)
    with pytest.raises(UserError, match=r"last\.pth is damaged.*previous\.pth is intact: train with"):
        train(tiny_cfg(), str(run.path))


@pytest.mark.slow
def test_restarted_process_resumes_the_run_of_its_launch_whatever_the_command_says(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg()
    other, stopped = train(cfg), stop(cfg, 2, "never")
    for run, launch in ((other, "an older one"), (stopped, "this one")):
        run.write_json(ENVIRONMENT, {**read_json(run.environment), "launch": launch})
    assert find_resume_point(cfg, "never").checkpoint is None
    point = find_resume_point(cfg, "never", launch="this one")
    assert point.run is not None and point.run.path == stopped.path
    point.run.unlock()
    finished = find_resume_point(cfg, str(stopped.path), launch="an older one")
    assert finished.run is not None and finished.run.path == other.path
    assert find_resume_point(cfg, "never", launch="no checkpoint yet") == ResumePoint()


@pytest.mark.slow
def test_finished_run_continues_for_more_epochs_in_a_new_folder(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    finished = finished_run()
    before = finished.last.read_bytes()
    longer = train(tiny_cfg("TRAIN.MAX_EPOCH", 4), str(finished.path))
    assert longer.path != finished.path
    assert finished.last.read_bytes() == before
    assert [record["epoch"] for record in read_records(longer)] == [4, 4]
    assert "the run had other values of" in longer.log.read_text()


@pytest.mark.slow
def test_checkpoint_of_an_epoch_continues_in_a_new_folder(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    finished = finished_run("SAVE_STEP", 1)
    resumed = train(tiny_cfg("SAVE_STEP", 1), str(finished.models / "epoch_2.pth"))
    assert resumed.path.parent != finished.path.parent
    assert f"resuming from {finished.models / 'epoch_2.pth'} (epoch_2.pth is not the run's newest state)" in (
        resumed.log.read_text()
    )
    state, other = (read_checkpoint(run.last)["model"] for run in (finished, resumed))
    assert_same(state, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value"),
    [("TRAIN.OPTIMIZER.WEIGHT_DECAY", 0.5), ("TRAIN.OPTIMIZER.MOMENTUM", 0.5), ("TRAIN.OPTIMIZER.NESTEROV", False)],
)
def test_changed_key_of_the_optimizer_is_used(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, key: str, value: Any
) -> None:
    resumed = train(tiny_cfg("TRAIN.MAX_EPOCH", 4, key, value), str(finished_run().path))
    (group,) = read_checkpoint(resumed.last)["optimizer"]["param_groups"]
    assert group[key.split(".")[-1].lower()] == value


@pytest.mark.slow
@pytest.mark.parametrize("precisions", [("off", "fp16"), ("fp16", "off")])
def test_precision_may_change(tiny_cfg: TinyConfig, finished_run: FinishedRun, precisions: tuple[str, str]) -> None:
    first, second = precisions
    run = finished_run("TRAIN.AMP", first)
    resumed = train(tiny_cfg("TRAIN.MAX_EPOCH", 4, "TRAIN.AMP", second), str(run.path))
    state = read_checkpoint(resumed.last)
    assert bool(state["scaler"]) == (second == "fp16")
    assert all(torch.isfinite(value).all() for value in state["model"].values())


@pytest.mark.slow
def test_scale_of_the_gradients_of_fp16_is_restored(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path
) -> None:
    content = read_checkpoint(finished_run("TRAIN.AMP", "fp16").last)
    del content["version"]
    content["scaler"]["scale"] = 8.0
    save_checkpoint(tmp_path / "last.pth", content)
    resumed = train(tiny_cfg("TRAIN.AMP", "fp16", "TRAIN.MAX_EPOCH", 4), str(tmp_path / "last.pth"))
    assert read_checkpoint(resumed.last)["scaler"]["scale"] == 8.0


@pytest.mark.slow
def test_key_resume_model_continues_a_run(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    checkpoint = finished_run("SAVE_STEP", 1).models / "epoch_2.pth"
    resumed = train(tiny_cfg("RESUME_MODEL", str(checkpoint)))
    assert [record["epoch"] for record in read_records(resumed, "train")] == [3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny"]], "it has the architecture 1 x tiny with FC heads, this run"),
        (["CLASSIFIER.TYPE", "cos"], "it has the architecture 1 x tiny with FC heads, this run has"),
        (["DATASET.IMBALANCECIFAR.RATIO", 0.05], "it has training images with the fingerprint .*, this run has"),
        (["TRAIN.OPTIMIZER.TYPE", "ADAM"], "it has an optimizer SGD, this run has an optimizer Adam"),
        (CONTRASTIVE, "it has the architecture 1 x tiny with FC heads, this run has the architecture 3 x tiny with FC"),
        (["TRAIN.MAX_EPOCH", 2], "was trained for 3 epochs, more than TRAIN.MAX_EPOCH, 2"),
    ],
)
def test_checkpoint_that_does_not_fit_is_refused(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, overrides: list[Any], message: str, tmp_path: Path
) -> None:
    checkpoint = str(finished_run().last)
    with pytest.raises(UserError, match=message) as error:
        train(tiny_cfg(*overrides), checkpoint)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_state_of_a_method_that_does_not_fit_is_refused(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    run = finished_run(method=CONTRASTIVE)
    message = "written by another network, training method or optimizer and cannot be resumed: .*queue.*100.*50"
    with pytest.raises(UserError, match=message) as error:
        train(tiny_cfg("NETWORK.MOCO_K", 50, method=CONTRASTIVE), str(run.last))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["nowhere", "nowhere/last.pth", ""])
def test_nothing_to_resume_is_refused(tiny_cfg: TinyConfig, path: str) -> None:
    with pytest.raises(UserError, match=f"^cannot resume from {path}: expected auto, never, a run directory with"):
        train(tiny_cfg(), path)


@pytest.mark.slow
def test_weights_alone_cannot_be_resumed(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    with pytest.raises(UserError, match=r"does not hold the complete state of a run; to start from its weights set"):
        train(tiny_cfg(), str(finished_run().models / "best_ensemble.pth"))


FACTS = RunFacts("x.yaml", 1, epochs=5, classes=2, images=8, experts=1, parameters=9, precision="off", architecture="a")


def test_load_compatible_refuses_checkpoints_of_other_software(tmp_path: Path) -> None:
    torch.save({"architecture": "resnet", "optimizer": {}, "state_dict": {}}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth does not hold the complete state of a run"):
        load_compatible(tmp_path / "a.pth", FACTS)


def test_load_compatible_compares_classes(tmp_path: Path) -> None:
    content = {**dict.fromkeys(STATE, 0), **FACTS.to_json(), "epoch": 1}
    save_checkpoint(tmp_path / "a.pth", content)
    assert load_compatible(tmp_path / "a.pth", FACTS)["epoch"] == 1
    save_checkpoint(tmp_path / "b.pth", {**content, "classes": 100})
    with pytest.raises(
        UserError, match=r"^cannot resume from .*b\.pth: it has 100 classes, this run has 2 classes; --resume"
    ):
        load_compatible(tmp_path / "b.pth", FACTS)


@pytest.mark.parametrize(
    ("samples", "batch", "per_step", "expected", "words"),
    [
        (192, 3, 64, 3, ""),
        (192, 3, 96, 2, "step 2"),
        (192, 3, 80, 2, "step 2, 32 samples are trained again"),
        (192, 3, 32, 6, "step 6"),
    ],
)
def test_resumed_batch_counts_samples(
    samples: int, batch: int, per_step: int, expected: int, words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert resumed_batch({"samples": samples, "batch": batch}, per_step) == expected
    start = f"the checkpoint was written after {samples} samples of the epoch in {batch} steps"
    assert caplog.messages == (
        [f"{start}; with {per_step} samples per step the run resumes after {words}"] if words else []
    )


def test_resumed_batch_of_a_checkpoint_without_samples() -> None:
    assert resumed_batch({"batch": 3}, 64) == 3
