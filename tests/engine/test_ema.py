"""The average of the weights: its values, and that it is evaluated, saved and resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from longtail.checkpoint_file import read_checkpoint
from longtail.data import build_splits
from longtail.engine.ema import WeightAverage
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.stages import build, evaluate
from longtail.stages.build import build_training
from tests.helpers.training import (
    BATCHES,
    CONTRASTIVE,
    CPU,
    NCL,
    FinishedRun,
    TinyConfig,
    assert_same,
    read_json,
    stop_after,
    tiny_config,
    train,
    values,
)
from tests.helpers.worlds import train_in_worlds

EMA = ["TRAIN.EMA.DECAY", 0.5]


def test_update_follows_the_formula() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = WeightAverage(network, 0.6)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    decays = []
    for step in range(1, 6):
        for value in network.state_dict().values():
            value.add_(torch.ones_like(value) * step)
        average.update(network, step)
        decays.append(0.0 if step == 1 else min(0.6, 1 - step ** (-2 / 3)))
        for name, value in network.state_dict().items():
            whole = not value.is_floating_point()  # counters of batch norm are copied
            expected[name] = value.clone() if whole else decays[-1] * expected[name] + (1 - decays[-1]) * value
        assert_close(average.state_dict(), expected)
    assert decays[0] == 0 and decays[1] < decays[2] < decays[-1] == 0.6


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], msg=name)


@pytest.mark.slow
def test_average_of_experts_that_run_in_streams(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream cannot be copied."""
    streams = [torch.Stream(stream_id=number, device_index=0, device_type=1) for number in (3, 4, 5)]
    monkeypatch.setattr(build, "expert_streams", lambda mode, place, number: streams)
    cfg = tiny_cfg(*EMA, method=NCL)
    training: Any = build_training(cfg, build_splits(cfg), place=CPU, source="x.yaml")
    assert training.network.streams == streams
    assert training.average.network.streams == []


def test_average_is_in_evaluation_mode_and_not_trained() -> None:
    network = nn.BatchNorm1d(2).train()
    average = WeightAverage(network, 0.9)
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert network.training and network.weight.requires_grad


def test_state_is_restored() -> None:
    first, second = (WeightAverage(nn.Linear(2, 2), 0.9) for _ in range(2))
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    assert_same(first.state_dict(), second.state_dict())


@pytest.mark.slow
def test_average_is_evaluated_and_saved(
    finished_run: FinishedRun, tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run(*EMA)
    last, best = read_checkpoint(run.last), read_checkpoint(run.models / "best_ensemble.pth")
    assert best["model"].keys() == best["trained"].keys() == last["average"].keys() == last["model"].keys()
    assert any(not torch.equal(value, best["trained"][name]) for name, value in best["model"].items())
    monkeypatch.setattr(evaluate, "_write_details", lambda *args, **kwargs: None)
    folder = evaluate.validate(tiny_cfg(*EMA), run.path, place=CPU)
    assert read_json(folder / "results.json")["ensemble"] == read_json(run.results)["best"]["ensemble"]
    folder = evaluate.validate(tiny_cfg(*EMA, "TEST.MODEL_FILE", "last.pth"), run.path, place=CPU)
    assert read_json(folder / "results.json")["ensemble"] == read_json(run.results)["last"]["ensemble"]


@pytest.mark.slow
def test_average_counts_the_steps_of_all_epochs(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr(WeightAverage, "update", lambda average, network, step: steps.append(step))
    train(tiny_cfg(*EMA, "TRAIN.MAX_EPOCH", 2))
    assert steps == list(range(1, 2 * BATCHES + 1))


@pytest.mark.slow
def test_average_leaves_the_training_as_it_is(finished_run: FinishedRun) -> None:
    plain, averaged = read_checkpoint(finished_run().last), read_checkpoint(finished_run(*EMA).last)
    assert_same(plain["model"], averaged["model"])
    assert "average" not in plain
    assert "trained" not in read_checkpoint(finished_run().models / "best_ensemble.pth")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, BATCHES, BATCHES + 2])
def test_run_with_an_average_resumes_bit_by_bit(finished_run: FinishedRun, tiny_cfg: TinyConfig, steps: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(*EMA))
    assert_same(values(finished_run(*EMA)), values(train(tiny_cfg(*EMA))))


@pytest.mark.slow
def test_checkpoint_without_an_average_is_refused(finished_run: FinishedRun, tiny_cfg: TinyConfig) -> None:
    longer = tiny_cfg(*EMA, "TRAIN.MAX_EPOCH", 4)
    with pytest.raises(
        UserError, match=r"has no average of the weights and .* TRAIN\.EMA\.DECAY; set it to 0"
    ) as error:
        train(longer, resume=str(finished_run().last))
    assert "\n" not in str(error.value)
    assert not Path(longer.OUTPUT_DIR).exists()


def look(trainer: Trainer) -> Any:
    evaluator = trainer.evaluator
    assert evaluator
    return {"evaluated": trainer.training.evaluated().state_dict(), "confusion": evaluator.confusion(0).matrix}


@pytest.mark.slow
def test_all_processes_evaluate_the_same_average(tmp_path: Path) -> None:
    """Each process has batch-norm statistics of its own samples."""
    results = train_in_worlds(
        lambda world: tiny_config(tmp_path / "output", *EMA, "TRAIN.MAX_EPOCH", 1, method=CONTRASTIVE),
        tmp_path,
        worlds=[2],
        look=look,
    )
    first, second = results[2]
    assert_same(first, second)
    assert int(first["confusion"].sum()) == 797
