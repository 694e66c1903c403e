"""Fixtures of the tests that train; a folder's conftest.py imports what it needs."""

from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from longtail.runs.directory import RunDirectory
from tests.helpers.photos import Photos, train_photos
from tests.helpers.training import CE, FinishedRun, TinyConfig, tiny_config, train, without_figures


@pytest.fixture
def tiny_cfg(tmp_path: Path) -> TinyConfig:
    """Return a function that makes configs whose runs are in the folder of the test."""

    def make(*overrides: Any, method: list[Any] = CE) -> CfgNode:
        return tiny_config(tmp_path / "output", *overrides, method=method)

    return make


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Return a function that trains a config without interruption, once for all tests; its run must not be changed."""
    runs: dict[str, RunDirectory] = {}

    def finished(*overrides: Any, method: list[Any] = CE) -> RunDirectory:
        key = repr((overrides, method))
        if key not in runs:
            runs[key] = train(tiny_config(tmp_path_factory.mktemp("finished"), *overrides, method=method))
        return runs[key]

    return finished


@pytest.fixture(autouse=True)
def no_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the figures of trainings; tests marked `figures` draw them."""
    if "figures" not in request.keywords:
        without_figures(monkeypatch)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    """Return a finished run on image files with class names; tests must not change it."""
    with pytest.MonkeyPatch.context() as patch:
        without_figures(patch)
        return train_photos(tmp_path_factory.mktemp("photos"), "TRAIN.TENSORBOARD.ENABLE", True)
