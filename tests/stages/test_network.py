"""The network of a training: the weights and states that it starts from."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import longtail
from longtail.checkpoint_file import read_checkpoint, save_checkpoint
from longtail.errors import UserError
from longtail.predicting.export import export
from longtail.runs.directory import parent_of_runs
from longtail.stages.evaluate import validate
from tests.helpers.training import (
    CONTRASTIVE,
    CPU,
    NCL,
    FinishedRun,
    TinyConfig,
    read_json,
    train,
)

COSINE: list[Any] = ["CLASSIFIER.TYPE", "cos"]
RETRAINED: list[Any] = ["CLASSIFIER.TYPE", "cRT"]
Warned = Callable[[Callable[[], object]], list[str]]


def start_from(path: Path) -> list[Any]:
    return ["TRAIN.MAX_EPOCH", 1, "NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path)]


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Warned:
    """Return a function that returns the warnings about other architectures while a function runs."""

    def warned(work: Callable[[], object]) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            work()
        return [message for message in caplog.messages if "were trained as" in message]

    return warned


@pytest.mark.slow
def test_full_state_under_another_head_is_warned_about(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, warned: Warned
) -> None:
    checkpoint = finished_run().last
    start = ["TRAIN.MAX_EPOCH", 1, "RESUME_MODEL", str(checkpoint), "RESUME_MODE", "state_dict"]
    message = f"weights of {checkpoint} were trained as 1 x tiny with FC heads; they are used as 1 x tiny with"
    assert warned(lambda: train(tiny_cfg(*start, *COSINE))) == [f"{message} cos heads"]
    assert warned(lambda: train(tiny_cfg(*start, "NAME", "same"))) == []


@pytest.mark.slow
def test_evaluation_under_another_head_is_warned_about(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, warned: Warned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtail.stages.evaluate._write_details", lambda *args, **kwargs: None)
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 1, method=NCL))
    (message,) = warned(lambda: validate(tiny_cfg(*COSINE, method=NCL), run.path, place=CPU))
    assert message.endswith("were trained as 3 x tiny with FC heads; they are used as 3 x tiny with cos heads")
    assert warned(lambda: validate(tiny_cfg(method=NCL), run.path, place=CPU)) == []


@pytest.mark.slow
def test_loaded_weights_are_in_the_results(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    checkpoint = finished_run().last
    (report,) = read_json(train(tiny_cfg(*start_from(checkpoint))).results)["weights"]
    assert report["file"] == str(checkpoint) and report["share"] == 1.0 and report["new"] == 0
    (report,) = read_json(train(tiny_cfg(*start_from(checkpoint), *RETRAINED)).results)["weights"]
    assert report["share"] == 1.0 and report["new"] == 2  # of all but the new head


@pytest.mark.slow
def test_training_starts_from_an_exported_file(tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path) -> None:
    run = finished_run()
    file = export(longtail.load(run.path), "safetensors", tmp_path / "export").path
    start = [*start_from(file), "TRAIN.OPTIMIZER.BASE_LR", 1e-12]
    trained = train(tiny_cfg(*start))
    assert read_json(trained.results)["weights"][0]["share"] == 1.0
    weights, started = (read_checkpoint(path)["model"] for path in (run.models / "best_ensemble.pth", trained.last))
    torch.testing.assert_close(started["experts.0.head.weight"], weights["experts.0.head.weight"])
    (report,) = read_json(train(tiny_cfg(*start, *COSINE)).results)["weights"]
    assert report["new"] > 0  # a head of another kind is not taken


@pytest.mark.slow
def test_weights_file_that_is_not_read_is_warned_about(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, caplog: pytest.LogCaptureFixture
) -> None:
    file = str(finished_run().models / "best_ensemble.pth")
    with caplog.at_level(logging.WARNING):
        train(tiny_cfg("TRAIN.MAX_EPOCH", 1, "NETWORK.PRETRAINED_MODEL", file))
    assert "NETWORK.PRETRAINED_MODEL is not read; NETWORK.PRETRAINED True starts from it" in caplog.messages


@pytest.mark.slow
def test_weights_that_fill_too_little_are_refused(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    path = tmp_path / "little.pth"
    torch.save({"model": {"experts.0.head.weight": torch.zeros(10, 8), "experts.0.head.bias": torch.zeros(10)}}, path)
    start = start_from(path)
    with pytest.raises(UserError, match=r"little\.pth fill 8\.3 % of the network, less than \d+ %") as error:
        train(tiny_cfg(*start))
    assert "missing in the file" in str(error.value) and "NETWORK.MIN_LOADED 0 loads whatever fits" in str(error.value)
    assert not parent_of_runs(tiny_cfg()).exists()
    (report,) = read_json(train(tiny_cfg(*start, "NETWORK.MIN_LOADED", 0.0)).results)["weights"]
    assert report["parameters"] == 90


@pytest.mark.slow
def test_state_of_a_method_starts_another_training(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    from longtail.data import build_splits
    from longtail.stages.build import build_training

    run = finished_run(method=CONTRASTIVE)
    state = read_checkpoint(run.last)["method"]
    cfg = tiny_cfg("METHOD.STATE", str(run.last), method=CONTRASTIVE)
    method = build_training(cfg, build_splits(cfg), place=CPU, source="x.yaml").method
    for name, value in method.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "file", "message"),
    [
        ([], "best_ensemble.pth", r"holds no state of a training method; use a last\.pth or epoch_N\.pth"),
        (["NETWORK.MOCO_K", 50], "last.pth", r"queue\.\w+ is \[3, 100(, 4)?\], this method's is \[3, 50(, 4)?\]"),
    ],
)
def test_state_of_a_method_that_does_not_fit_is_refused(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, overrides: list[Any], file: str, message: str
) -> None:
    path = finished_run(method=CONTRASTIVE).models / file
    with pytest.raises(UserError, match=f"^METHOD.STATE {path}:? {message}"):
        train(tiny_cfg("METHOD.STATE", str(path), *overrides, method=CONTRASTIVE))


@pytest.mark.slow
def test_state_of_a_method_with_nan_is_refused(tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path) -> None:
    content = read_checkpoint(finished_run(method=CONTRASTIVE).last)
    name = next(name for name, value in content["method"].items() if value.is_floating_point())
    content["method"][name].fill_(torch.nan)
    del content["version"]
    save_checkpoint(path := tmp_path / "nan.pth", content)
    with pytest.raises(
        UserError, match=f"^weights of {path} are not finite: {re.escape(name)}; use another checkpoint$"
    ):
        train(tiny_cfg("METHOD.STATE", str(path), method=CONTRASTIVE))


@pytest.mark.slow
def test_state_of_another_method_is_refused(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    path = finished_run().last
    with pytest.raises(UserError, match=f"METHOD.STATE {path} holds nothing of this training method; it has: "):
        train(tiny_cfg("METHOD.STATE", str(path), method=CONTRASTIVE))
