"""Train, evaluate and load from Python."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import longtail
from longtail import api
from longtail.errors import UserError
from tests.helpers.training import NCL, read_json, tiny_config, without_figures

UNTYPED: Any = longtail  # for arguments of wrong types


@pytest.mark.slow
def test_train_evaluate_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_figures(monkeypatch)
    monkeypatch.setattr("longtail.stages.evaluate._write_details", lambda *args, **kwargs: None)
    cfg = tiny_config(tmp_path, "TRAIN.MAX_EPOCH", 2, method=NCL)
    run = longtail.train(cfg, gpus="cpu")
    assert longtail.train(cfg, gpus="cpu") == run  # it is finished
    results = read_json(run / "results.json")
    assert longtail.evaluate(run, gpus="cpu")["ensemble"] == results["best"]["ensemble"]
    adjusted = longtail.evaluate(str(run), ["TEST.LOGIT_ADJUSTMENT", 1.0], gpus="cpu")
    assert adjusted["logit_adjustment"] == 1.0

    network = longtail.load(run, checkpoint="last.pth")
    assert not any(module.training for module in network.modules())
    random = torch.Generator().manual_seed(0)
    output = network(torch.rand(2, 3, 32, 32, generator=random))
    assert output.logits.shape == (3, 2, 10) and output.logits.device.type == "cpu"


def test_missing_run_and_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path} is not a run directory: it has no config.yaml$"):
        longtail.evaluate(tmp_path, gpus="cpu")
    with pytest.raises(UserError, match="is not a run directory"):
        longtail.load(tmp_path)
    (tmp_path / "config.yaml").write_text("DATASET: {DATASET: digits_lt}\nBACKBONE: {TYPE: tiny}\n")
    with pytest.raises(
        UserError, match=r"^checkpoint best_ensemble\.pth is neither in .* nor a file; TEST\.MODEL_FILE"
    ):
        longtail.load(tmp_path)


def test_package_has_the_functions_of_the_api() -> None:
    assert {name for name in longtail.__all__ if name != "load_config"} == {"train", "evaluate", "load"}
    for name in ("train", "evaluate", "load"):
        assert getattr(longtail, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="module 'longtail' has no attribute 'fit'"):
        longtail.fit  # noqa: B018


@pytest.mark.slow
def test_train_in_another_thread_is_that_of_the_main_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_figures(monkeypatch)
    runs = []
    thread = threading.Thread(target=lambda: runs.append(longtail.train(tiny_config(tmp_path), gpus="cpu")))
    thread.start()
    thread.join()
    results = [
        read_json(run / "results.json") for run in (*runs, longtail.train(tiny_config(tmp_path / "2"), gpus="cpu"))
    ]
    assert len(results) == 2 and results[0]["last"] == results[1]["last"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cfg: UNTYPED.train("digits_lt,ce", gpus="cpu"), "a config is 'digits_lt,ce'; it must come from"),
        (lambda cfg: UNTYPED.train(cfg, gpus=["cpu"]), r"GPUs \"\['cpu'\]\": expected cpu, or different numbers"),
        (lambda cfg: UNTYPED.train(cfg, gpus="cpu", resume=None), "cannot resume from None: expected auto, never,"),
        (lambda cfg: UNTYPED.load(3), "a run is 3; it must be the path of a run directory"),
        (lambda cfg: UNTYPED.evaluate(None), "a run is None; it must be the path of a run directory"),
        (lambda cfg: UNTYPED.load_config(3), "config '3' is neither a YAML file, nor a name under configs/"),
    ],
)
def test_arguments_of_other_types_are_refused(tmp_path: Path, call: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(tiny_config(tmp_path))
