"""The leaderboard: its rows cover all methods, records are made once, and the page is made from them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from longtail.config import is_recipe, load_config, short_names
from longtail.errors import UserError
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.checks import check_names
from longtail.stages.recipe_file import load_recipe
from tests.helpers.training_fixtures import no_figures
from tools import leaderboard
from tools.run_settings import asked_settings, digest
from tools.small_runs import Row, Rows, SmallRecord, leaderboard_page, read_rows, read_small_records

__all__ = ["no_figures"]

TINY = ["BACKBONE.TYPE", "tiny", "TRAIN.MAX_EPOCH", "2", "TRAIN.BATCH_SIZE", "64"]


def record(name: str, seed: int, top1: float, **accuracies: float) -> SmallRecord:
    found = {"top1": top1, **accuracies}
    environment = {"processor": "P", "torch": "2", "commit": "abc"}
    settings = Row(name, f"digits_lt,{name}").digest
    return SmallRecord(name, f"digits_lt,{name}", seed, settings, found, 32, 40.0 + seed, environment)


def test_every_method_and_recipe_is_in_a_row_or_left_out() -> None:
    rows = read_rows()
    used = {part for row in rows.rows for part in row.name.split(",")}
    names = {*short_names(("methods",)), *short_names(("recipes",))} - {"drs", "drw"}
    assert names - used == set(rows.left_out)
    assert not used & set(rows.left_out)
    assert len({row.name for row in rows.rows}) == len(rows.rows)


@pytest.mark.parametrize("row", read_rows().rows, ids=lambda row: row.name)
def test_row_loads_and_has_a_short_schedule(row: Row) -> None:
    if is_recipe(row.source):
        recipe = load_recipe(row.source, row.overrides)
        configs = [recipe.load(stage, dict.fromkeys(stage.takes, str(recipe.path))) for stage in recipe.stages]
    else:
        configs = [load_config(row.source, row.overrides)]
        check_names(configs[0])
    for cfg in configs:
        assert cfg.TRAIN.MAX_EPOCH <= 100 and cfg.VALID_STEP == -1
        assert cfg.TRAIN.TWO_STAGE.START_EPOCH < cfg.TRAIN.MAX_EPOCH or not cfg.TRAIN.TWO_STAGE.DRW


@pytest.mark.slow
def test_leaderboard_trains_once_and_writes_record_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)
    folder, page = tmp_path / "records", tmp_path / "page.md"
    command = ["ce", "crt", "--seeds", "1", "2", "--output", str(tmp_path / "output"), "--records", str(folder)]
    command += ["--page", str(page), "--gpus", "cpu", "--set", *TINY]
    assert leaderboard.main(command) == 0
    records = {(each.row, each.seed): each for each in read_small_records(folder)}
    assert sorted(records) == [("ce", 1), ("ce", 2), ("crt", 1), ("crt", 2)]
    assert records["ce", 1].epochs == 2 and records["crt", 1].epochs == 4
    assert records["ce", 1].accuracies != records["ce", 2].accuracies
    assert records["ce", 1].seconds > 0 and records["ce", 1].environment["torch"]
    text = page.read_text()
    assert "| `ce` |" in text and "| `crt` |" in text and "Not run yet: `balanced_softmax`" in text
    capsys.readouterr()
    assert leaderboard.main(command) == 0
    assert capsys.readouterr().out.count("has a record") == 4
    assert page.read_text() == text


def test_leaderboard_refuses_unknown_rows_and_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--records", str(tmp_path), "--page", str(tmp_path / "page.md"), "--output", str(tmp_path)]
    assert leaderboard.main(["cee", *paths]) == 2
    assert leaderboard.main(["ce", *paths, "--set", "TRAIN.MAX_EPOCHS", "2"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert not list(tmp_path.iterdir())


def page_of(*records: SmallRecord, rows: tuple[str, ...] = ("ce", "ncl", "ldam")) -> list[str]:
    listed = [Row(name, f"digits_lt,{name}") for name in rows]
    return leaderboard_page(Rows("digits_lt", listed, {"x": "why"}), records).splitlines()


def test_page_orders_rows_by_their_means() -> None:
    lines = page_of(record("ce", 1, 0.7, few=0.5), record("ncl", 1, 0.8, few=0.6), record("ncl", 2, 0.9, few=0.8))
    assert "| 1 | `ncl` | 85.0 ± 7.1 | 70.0 ± 14.1 | 32 | 42 | 2 |" in lines
    assert "| 2 | `ce` | 70.0 | 50.0 | 32 | 41 | 1 |" in lines
    assert "Not run yet: `ldam`." in lines and "- `x`: why" in lines
    assert "Measured on P, torch 2, commit abc." in lines


def test_page_names_the_rows_of_other_hardware() -> None:
    gpu = {"devices": ["G"], "torch": "2", "commit": "def"}
    records = [record("ce", 1, 0.7), record("ncl", 1, 0.8), replace(record("ldam", 1, 0.9), environment=gpu)]
    assert "Measured on P, torch 2, commit abc; `ldam` on G, torch 2, commit def." in page_of(*records)


def test_page_leaves_records_of_other_settings_out() -> None:
    other = Row("ce", "digits_lt,ce", {"TRAIN.MAX_EPOCH": 2}).digest
    assert "Not run yet: `ce`." in page_of(replace(record("ce", 1, 0.7), settings=other), rows=("ce",))


def test_digest_of_a_row_depends_on_what_is_computed_in_every_stage() -> None:
    row = Row("crt", "digits_lt,crt")
    same = replace(row, settings={"TRAIN.NUM_WORKERS": 1, "VALID_STEP": 3})
    assert same.digest == row.digest
    both = asked_settings(row.source)
    for stage in both:
        assert digest({**both, stage: {**both[stage], "TRAIN.OPTIMIZER.MOMENTUM": 0.8}}) != row.digest


def test_read_small_records_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"row": "ce"}))
    with pytest.raises(UserError, match=r"a\.json cannot be read"):
        read_small_records(tmp_path)
