"""A run that was stopped and continued ends as one that was not."""

import json
import signal
from pathlib import Path

import pytest
import torch
from longtail.engine.run_directory import RunDirectory
from tiny import CE, CONTRASTIVE, NCL

from longtail.engine import trainer as trainer_module
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.engine.training import train
from longtail.errors import UserError
from longtail.models import read_checkpoint

BATCHES = 4  # per epoch: 276 images, 64 in a batch


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a signal arrive while batch number `steps` of the process is computed."""
    original = Trainer._step
    done = 0

    def step(self, batch):
        nonlocal done
        done += 1
        if done == steps:
            signal.raise_signal(signal.SIGTERM)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)


def values(run: RunDirectory) -> tuple[dict, list, dict]:
    """Return what a run computed: the newest state, and metrics and results without their times."""
    state = read_checkpoint(run.last)
    state.pop("seconds")
    metrics = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    for record in metrics:
        record.pop("seconds", None)
        record.pop("images_per_second", None)
    results = json.loads(run.results.read_text())
    results.pop("seconds")
    return state, metrics, results


def assert_same(first: object, second: object, where: str = "") -> None:
    """Compare nested containers of tensors bit by bit."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for number, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{where}/{number}")
    else:
        assert first == second, where


@pytest.mark.parametrize("method", [CE, NCL, CONTRASTIVE], ids=["plain", "nested", "contrastive"])
@pytest.mark.parametrize("steps", [1, 2, BATCHES, BATCHES + 3], ids=["first", "middle", "end", "second-epoch"])
def test_a_stopped_run_goes_on_bit_by_bit(tiny_cfg, monkeypatch, method, steps):
    whole = train(tiny_cfg("NAME", "whole", method=method), "x.yaml", "cpu")

    cfg = tiny_cfg(method=method)
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train(cfg, "x.yaml", "cpu")
    torch.manual_seed(999)  # whatever else the new process drew before it went on
    resumed = train(cfg, "x.yaml", "cpu", resume="auto")

    assert len(list(resumed.path.parent.iterdir())) == 1  # in the same folder
    assert_same(values(whole), values(resumed))


WEIGHTED = ["TRAIN.SAMPLER.TYPE", "weighted sampler", "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE"]
SAMPLERS = {
    "balance": [*CE, *WEIGHTED, "balance"],
    "square": [*CE, *WEIGHTED, "square"],
    "progressive, deferred": [*CE, *WEIGHTED, "progressive", "TRAIN.TWO_STAGE.DRS", True],
    "reverse": [*CE, "TRAIN.SAMPLER.TYPE", "bbn sampler"],
    "NCL square": [*NCL, "TRAIN.SAMPLER.MULTI_NETWORK_TYPE", ["weighted_square"]],
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_goes_on_in_the_middle_of_an_epoch(tiny_cfg, monkeypatch, name):
    whole = train(tiny_cfg("NAME", "whole", method=SAMPLERS[name]), "x.yaml", "cpu")
    cfg = tiny_cfg(method=SAMPLERS[name])
    with monkeypatch.context() as patch:
        stop_after(BATCHES + 2, patch)  # of the second epoch, the first after START_EPOCH 1
        with pytest.raises(Interrupted):
            train(cfg, "x.yaml", "cpu")
    assert_same(values(whole), values(train(cfg, "x.yaml", "cpu")))


def test_deferred_re_sampling_changes_nothing_before_its_epoch(tiny_cfg):
    plain = train(tiny_cfg(), "x.yaml", "cpu")
    deferred = train(tiny_cfg(*SAMPLERS["progressive, deferred"]), "x.yaml", "cpu")
    losses = [
        [
            record["loss"]
            for record in map(json.loads, run.metrics.read_text().splitlines())
            if record["split"] == "train"
        ]
        for run in (plain, deferred)
    ]
    assert [one == other for one, other in zip(*losses, strict=True)] == [True, False, False]


def test_a_run_stopped_while_it_judges_goes_on(tiny_cfg, monkeypatch):
    whole = train(tiny_cfg("NAME", "whole"), "x.yaml", "cpu")
    with monkeypatch.context() as patch:
        original = trainer_module.evaluate

        def evaluate(*args, **kwargs):
            signal.raise_signal(signal.SIGINT)
            return original(*args, **kwargs)

        patch.setattr(trainer_module, "evaluate", evaluate)
        with pytest.raises(Interrupted, match="SIGINT"):
            train(tiny_cfg(), "x.yaml", "cpu")
    assert_same(values(whole), values(train(tiny_cfg(), "x.yaml", "cpu")))


def test_a_crash_between_metrics_and_checkpoint_lists_no_epoch_twice(tiny_cfg, monkeypatch):
    whole = train(tiny_cfg("NAME", "whole"), "x.yaml", "cpu")
    with monkeypatch.context() as patch:
        original = Trainer.save

        def save(self, also=None):
            if self.epoch == 3:
                raise RuntimeError("power failure")
            original(self, also)

        patch.setattr(Trainer, "save", save)
        with pytest.raises(RuntimeError, match="power failure"):
            train(tiny_cfg(), "x.yaml", "cpu")
    assert_same(values(whole), values(train(tiny_cfg(), "x.yaml", "cpu")))


def test_two_runs_with_one_seed_are_equal(tiny_cfg):
    first, second = (train(tiny_cfg(method=NCL), "x.yaml", "cpu", resume="never") for _ in range(2))
    assert first.path != second.path
    assert_same(values(first), values(second))


def test_another_seed_gives_other_weights(tiny_cfg):
    first, second = (train(tiny_cfg("RAND_SEED", seed), "x.yaml", "cpu") for seed in (1, 2))
    weights = [read_checkpoint(run.last)["model"]["experts.0.head.weight"] for run in (first, second)]
    assert not torch.equal(*weights)


def test_auto_starts_anew_after_a_finished_run_and_for_another_tree(tiny_cfg, monkeypatch):
    finished = train(tiny_cfg(), "x.yaml", "cpu")
    assert train(tiny_cfg(), "x.yaml", "cpu").path != finished.path
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg("TRAIN.OPTIMIZER.BASE_LR", 0.01), "x.yaml", "cpu")
    folders = set(finished.path.parent.iterdir())
    assert train(tiny_cfg("TRAIN.OPTIMIZER.BASE_LR", 0.02), "x.yaml", "cpu").path not in folders


def test_auto_leaves_a_run_alone_that_another_process_trains(tiny_cfg, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(), "x.yaml", "cpu")
    (path,) = (Path(tiny_cfg().OUTPUT_DIR) / "tiny").iterdir()
    other = RunDirectory(path)
    assert other.lock()
    assert train(tiny_cfg(), "x.yaml", "cpu").path != path
    with pytest.raises(UserError, match="another process is training this run"):
        train(tiny_cfg(), "x.yaml", "cpu", resume=str(path))
    other.unlock()


def test_a_finished_run_can_be_continued_for_more_epochs_in_a_new_folder(tiny_cfg):
    finished = train(tiny_cfg(), "x.yaml", "cpu")
    before = finished.last.read_bytes()
    longer = train(tiny_cfg("TRAIN.MAX_EPOCH", 4), "x.yaml", "cpu", resume=str(finished.path))
    assert longer.path != finished.path
    assert finished.last.read_bytes() == before
    assert [record["epoch"] for record in map(json.loads, longer.metrics.read_text().splitlines())] == [4, 4]


def test_resuming_a_finished_run_does_nothing(tiny_cfg):
    finished = train(tiny_cfg(), "x.yaml", "cpu")
    before = finished.last.read_bytes()
    assert train(tiny_cfg(), "x.yaml", "cpu", resume=str(finished.path)).path == finished.path.resolve()
    assert finished.last.read_bytes() == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny"]], "the architecture 1 x tiny with FC heads"),
        (["CLASSIFIER.TYPE", "cos"], "the architecture 1 x tiny with FC heads"),
        (["DATASET.IMBALANCECIFAR.RATIO", 0.05], "training images"),
        ([*CONTRASTIVE, "NETWORK.MOCO_K", 50], "this run has .*, mlp projections to 4 and queues of 50 keys"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tiny_cfg, overrides, message):
    run = train(tiny_cfg(), "x.yaml", "cpu")
    folders = set(run.path.parent.iterdir())
    with pytest.raises(UserError, match=message):
        train(tiny_cfg(*overrides), "x.yaml", "cpu", resume=str(run.last))
    assert set(run.path.parent.iterdir()) == folders


@pytest.mark.parametrize("path", ["nowhere", "nowhere/last.pth", ""])
def test_nothing_to_resume_is_refused(tiny_cfg, path):
    with pytest.raises(UserError, match="cannot resume from"):
        train(tiny_cfg(), "x.yaml", "cpu", resume=path)


def test_weights_alone_cannot_be_resumed(tiny_cfg):
    run = train(tiny_cfg(), "x.yaml", "cpu")
    with pytest.raises(UserError, match="weights only"):
        train(tiny_cfg(), "x.yaml", "cpu", resume=str(run.models / "best_ensemble.pth"))


def test_a_run_inside_an_epoch_saves_by_the_clock(tiny_cfg, monkeypatch):
    saved = []
    original = Trainer.save

    def save(self, also=None):
        saved.append((self.epoch, self.batch))
        original(self, also)

    monkeypatch.setattr(Trainer, "save", save)
    train(tiny_cfg("TRAIN.CHECKPOINT_MINUTES", 0, "TRAIN.MAX_EPOCH", 1), "x.yaml", "cpu")
    assert saved == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 0)]
