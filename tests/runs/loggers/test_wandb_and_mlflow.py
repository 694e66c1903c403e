"""Weights & Biases and MLflow, with fake modules that record calls."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from longtail.config import to_yaml
from longtail.errors import UserError
from longtail.runs.directory import RunDirectory
from longtail.runs.loggers import build_loggers, check_loggers, logger_names
from longtail.runs.loggers.curves import curves
from longtail.runs.loggers.mlflow import metric_name
from longtail.runs.results import sealed
from tests.helpers.training import TinyConfig

RECORD = {"epoch": 3, "split": "valid", "loss": 0.5, "ensemble": {"top1": 0.25}, "recall": {"0 truck #1": 1.0}}


@pytest.fixture
def run(tmp_path: Path, tiny_cfg: TinyConfig) -> RunDirectory:
    folder = tmp_path / "2026-01-31"
    folder.mkdir()
    (folder / "config.yaml").write_text(to_yaml(tiny_cfg()))
    return RunDirectory(folder)


class FakeWandb(ModuleType):
    """Records the arguments of init, and what is logged."""

    def __init__(self, failure: str = "") -> None:
        super().__init__("wandb")
        self.started: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.metrics: list[tuple[str, str | None]] = []
        self.finished = 0
        self.failure = failure
        self.errors = SimpleNamespace(Error=RuntimeError)
        self.Settings = dict

    def init(self, **arguments: Any) -> Any:
        if self.failure:
            raise RuntimeError(self.failure)
        self.started.append(arguments)
        return SimpleNamespace(
            url="", dir="there", log=self.logged.append, finish=self._finish, define_metric=self._metric
        )

    def _metric(self, name: str, step_metric: str | None = None) -> None:
        self.metrics.append((name, step_metric))

    def _finish(self) -> None:
        self.finished += 1


def test_wandb_writes_curves_over_epochs(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    (logger,) = build_loggers(["wandb"], run, epoch=3)
    logger.write(RECORD)
    logger.close()
    assert fake.logged == [{"epoch": 3, **curves(RECORD)}] and ("*", "epoch") in fake.metrics
    (started,) = fake.started
    assert started["config"]["TRAIN.BATCH_SIZE"] == 64 and started["name"] == "tiny 2026-01-31"
    assert (started["project"], started["resume"], fake.finished) == ("longtail", "allow", 1)


def test_wandb_resumes_the_same_run(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for epoch in (1, 3):
        build_loggers(["wandb"], run, epoch=epoch)[0].close()
    assert len({started["id"] for started in fake.started}) == 1


def test_wandb_without_login_is_one_line(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb("api_key not\nconfigured"))
    with pytest.raises(UserError, match=r"TRAIN\.LOGGERS wandb: api_key not configured; run wandb login, or set W"):
        build_loggers(["wandb"], run, epoch=1)


class FakeClient:
    """MLflow's client with one store for all of its instances."""

    runs: dict[str, dict[str, Any]]

    def get_experiment_by_name(self, name: str) -> Any:
        return None

    def create_experiment(self, name: str) -> str:
        return f"experiment {name}"

    def create_run(self, experiment: str, run_name: str) -> Any:
        run = f"run {len(self.runs)}"
        self.runs[run] = {"name": run_name, "params": {}, "metrics": [], "status": ""}
        return SimpleNamespace(info=SimpleNamespace(run_id=run))

    def update_run(self, run: str, status: str) -> None:
        self.runs[run]["status"] = status

    set_terminated = update_run

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(params) <= 100 and len(metrics) <= 1000
        self.runs[run]["params"].update(dict(params))
        self.runs[run]["metrics"] += metrics


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    FakeClient.runs = {}
    modules: dict[str, dict[str, Any]] = {
        "mlflow": {},
        "mlflow.tracking": {"MlflowClient": FakeClient},
        "mlflow.entities": {
            "Param": lambda key, value: (key, value),
            "Metric": lambda key, value, timestamp, step: (key, value, step),
        },
        "mlflow.exceptions": {"MlflowException": RuntimeError},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return FakeClient.runs


def test_mlflow_writes_curves_and_the_keys_that_differ(run: RunDirectory, store: dict[str, dict[str, Any]]) -> None:
    (logger,) = build_loggers(["mlflow"], run, epoch=3)
    logger.write(RECORD)
    logger.close()
    (written,) = store.values()
    assert written["metrics"] == [(metric_name(tag), value, 3) for tag, value in curves(RECORD).items()]
    assert ("recall/0 truck _1", 1.0, 3) in written["metrics"]
    assert written["params"]["TRAIN.MAX_EPOCH"] == "3" and "TEST.TEMPERATURE" not in written["params"]
    assert (written["name"], written["status"]) == ("tiny 2026-01-31", "KILLED")  # the run is not finished


def test_mlflow_resumes_the_same_run(run: RunDirectory, store: dict[str, dict[str, Any]]) -> None:
    build_loggers(["mlflow"], run, epoch=1)[0].close()
    run.write_json("results.json", sealed({}))
    build_loggers(["mlflow"], run, epoch=3)[0].close()
    assert [written["status"] for written in store.values()] == ["FINISHED"]


def test_loggers_of_a_config(tiny_cfg: TinyConfig) -> None:
    assert logger_names(tiny_cfg()) == ["jsonl"]
    assert logger_names(tiny_cfg("TRAIN.TENSORBOARD.ENABLE", True)) == ["jsonl", "tensorboard"]
    both = tiny_cfg("TRAIN.TENSORBOARD.ENABLE", True, "TRAIN.LOGGERS", ["mlflow", "tensorboard"])
    assert logger_names(both) == ["jsonl", "tensorboard", "mlflow"]


def test_missing_package_is_refused_with_the_command(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package wandb, .*: pip install 'longtail\[wandb\]'"):
        check_loggers(tiny_cfg("TRAIN.LOGGERS", ["wandb"]))
    with pytest.raises(UserError, match=r"unknown logger 'wand'; available: .*; did you mean wandb\?"):
        check_loggers(tiny_cfg("TRAIN.LOGGERS", ["wand"]))
