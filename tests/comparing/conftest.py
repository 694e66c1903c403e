"""Synthetic finished runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.config import load_config, to_yaml
from tests.helpers.training_fixtures import no_figures, tiny_cfg

MakeRun = Callable[..., Path]

__all__ = ["MakeRun", "make_run", "no_figures", "tiny_cfg"]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes a run directory with config.yaml, results.json and environment.json."""
    count = 0

    def make(
        *overrides: Any, name: str = "ce", seed: int = 0, finished: bool = True, valid: str = "v", **metrics: float
    ) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / "output" / name / f"2026-01-01-00-00-{count:02d}"
        folder.mkdir(parents=True)
        cfg = load_config(None, ["DATASET.DATASET", "digits_lt", "NAME", name, "RAND_SEED", seed, *overrides])
        (folder / "config.yaml").write_text(to_yaml(cfg))
        entry = {"epoch": 3, "ensemble": metrics, "experts": []}
        best = {"epoch": 2, "ensemble": {key: value + 0.1 for key, value in metrics.items()}, "experts": []}
        results = {"seed": seed, "seconds": 7200.0, "parameters": 1234567, "last": entry, "best": best}
        (folder / "results.json").write_text(json.dumps({**results, "finished": finished}))
        (folder / "environment.json").write_text(json.dumps({"data": {"valid": valid}}))
        return folder

    return make
