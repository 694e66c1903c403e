"""Every recipe for CIFAR on digits with a tiny network: interrupted once, with the results of a run without a stop."""

from pathlib import Path
from typing import Any

import pytest

from longtail.config import short_names
from longtail.engine.interrupts import Interrupted
from longtail.runs.directory import RunDirectory
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.recipe import run_recipe
from tests.helpers.training import CPU, assert_same, read_json, stop_after, values

RECIPES = [name for name in sorted(short_names(("recipes",))) if not name.startswith(("imagenet", "inat18"))]
SMALL = [
    *("BACKBONE.TYPE", "tiny", "TRAIN.BATCH_SIZE", "64", "TRAIN.AMP", "off", "DATASET.IMBALANCECIFAR.RATIO", "0.05"),
    *("TRAIN.MAX_EPOCH", "1", "TEST.BATCH_SIZE", "256", "TRAIN.TENSORBOARD.ENABLE", "False"),
]


EXPERTS = "['two_stages', 'two_stages', 'two_stages']"
NETWORKS = {
    "cadel": ["NETWORK.CASCADE.TAPS", "['body']", "NETWORK.CASCADE.WIDTH", "8"],
    "r32_experts": [
        "BACKBONE.MULTI_NETWORK_TYPE",
        "['two_stages', 'two_stages', 'two_stages']",
        "NETWORK.SHARED_TO",
        "first",
    ],
}


def run(name: str, output: Path) -> dict[str, dict[str, Any]]:
    overrides = [*SMALL, *NETWORKS.get(name, []), "OUTPUT_DIR", str(output)]
    summary = read_json(run_recipe(f"digits_lt,{name}", place=CPU, overrides=overrides))
    return {stage["stage"]: stage for stage in summary["stages"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_stopped_recipe_ends_as_one_that_was_not(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)
    whole = run(name, tmp_path / "whole")
    trained = [stage for stage, entry in whole.items() if entry["epochs"]]
    steps = len(trained) * 4  # of at least five each: inside the last training
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted, match="SIGTERM"):
            run(name, tmp_path / "broken")
    broken = run(name, tmp_path / "broken")
    assert list(broken) == list(whole)
    for stage, entry in whole.items():
        assert entry.get("last") == broken[stage].get("last")
    for stage in trained:
        first, second = (values(RunDirectory(Path(stages[stage]["run"]))) for stages in (whole, broken))
        assert_same(first[0]["model"], second[0]["model"], stage)
        assert_same(first[1], second[1], stage)
