"""Every recipe of Bag of Tricks as it ships, on digits with a tiny network: stopped once, it ends as if it was not."""

import json
from pathlib import Path

import pytest
from longtail.engine.recipe import run_recipe
from longtail.engine.run_directory import RunDirectory
from test_resume import assert_same, stop_after, values

from longtail.engine import judging
from longtail.engine.interrupts import Interrupted

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "cifar10_lt" / "im100" / "recipes").glob("*.yaml"))
SMALL = [
    *("DATASET.DATASET", "digits_lt", "DATASET.VIEWS", "['crop']", "DATASET.NORMALIZATION", "digits"),
    *("DATASET.IMBALANCECIFAR.RATIO", "0.05", "BACKBONE.TYPE", "tiny", "TRAIN.BATCH_SIZE", "64", "TRAIN.AMP", "off"),
    *("TRAIN.MAX_EPOCH", "1", "TEST.BATCH_SIZE", "256", "TRAIN.TENSORBOARD.ENABLE", "False"),
]


def run(recipe: Path, output: Path) -> dict[str, dict]:
    summary = json.loads(run_recipe(str(recipe), "cpu", "auto", [*SMALL, "OUTPUT_DIR", str(output)]).read_text())
    return {stage["stage"]: stage for stage in summary["stages"]}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_stopped_recipe_ends_as_one_that_was_not(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "_write_details", lambda *args: None)
    whole = run(recipe, tmp_path / "whole")
    trained = [name for name, stage in whole.items() if stage["epochs"]]
    steps = len(trained) * 4  # of at least five each: inside the last training
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted, match="SIGTERM"):
            run(recipe, tmp_path / "broken")
    broken = run(recipe, tmp_path / "broken")
    assert list(broken) == list(whole)
    for name, stage in whole.items():
        assert stage.get("last") == broken[name].get("last")
    for name in trained:
        first, second = (values(RunDirectory(Path(stages[name]["run"]))) for stages in (whole, broken))
        assert_same(first[0]["model"], second[0]["model"], name)
        assert_same(first[1], second[1], name)
