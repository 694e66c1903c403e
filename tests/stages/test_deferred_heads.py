"""The deferred classifier stage: new cosine heads are trained, everything below them is unchanged bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.models import read_weights
from longtail.runs.directory import RunDirectory
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.recipe import run_recipe
from tests.helpers.training import CPU, read_json, read_records

SETTINGS = [
    *("heads:TRAIN.MAX_EPOCH", 12, "heads:TRAIN.LR_SCHEDULER.WARM_EPOCH", 1),
    *("TRAIN.MAX_EPOCH", 2, "TRAIN.BATCH_SIZE", 64, "TRAIN.TENSORBOARD.ENABLE", False, "TEST.BATCH_SIZE", 256),
]
EXPERTS = [*SETTINGS, "BACKBONE.MULTI_NETWORK_TYPE", ["two_stages"] * 3]


def run(recipe: str, overrides: list[Any], folder: Path) -> list[RunDirectory]:
    summary = read_json(run_recipe(recipe, place=CPU, overrides=[*overrides, "OUTPUT_DIR", str(folder)]))
    return [RunDirectory(Path(stage["run"])) for stage in summary["stages"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("digits_lt,r32_experts", [*EXPERTS, "NETWORK.SHARED_TO", "first"]),
        ("digits_lt,ce,deferred", [*SETTINGS, "BACKBONE.MULTI_NETWORK_TYPE", ["two_stages"]]),
    ],
)
def test_deferred_stage_trains_new_heads_on_frozen_features(
    recipe: str, overrides: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)
    first, second = run(recipe, overrides, tmp_path)
    before, after = read_weights(first.last), read_weights(second.last)
    assert before.keys() - {name for name in before if ".head." in name} == after.keys() - {
        name for name in after if ".head." in name
    }
    assert any("running_mean" in name for name in after)
    for name, value in after.items():
        if ".head." not in name:
            assert torch.equal(value, before[name]), name
        elif name.endswith("weight"):
            assert value.shape == (10, 8)
            assert not torch.equal(value, before[name]), name
        else:
            assert not value.any(), f"{name}: cosine heads without a bias"
    assert "heads start from the class means of 276 training images" in (second.path / "train.log").read_text()
    losses = [record["loss"] for record in read_records(second, "train")]
    assert losses[-1] < losses[0]
    results = read_json(second.results)
    assert results["weights"][0]["new"] > 0
    assert results["experts"] == len(after.keys() & {f"experts.{number}.head.weight" for number in range(3)})
