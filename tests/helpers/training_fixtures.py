"""Fixtures of the tests that train; a folder's conftest.py imports what it needs."""

from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from tests.helpers.training import CE, TinyConfig, tiny_config, without_figures


@pytest.fixture
def tiny_cfg(tmp_path: Path) -> TinyConfig:
    """Return a maker of configs whose runs go to the test's own folder."""

    def make(*overrides: Any, method: list[Any] = CE) -> CfgNode:
        return tiny_config(tmp_path / "output", *overrides, method=method)

    return make


@pytest.fixture(autouse=True)
def no_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures of trainings; tests marked `figures` draw them."""
    if "figures" not in request.keywords:
        without_figures(monkeypatch)
