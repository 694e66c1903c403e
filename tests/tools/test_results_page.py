"""Records of runs, and the page that shows them next to published numbers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from longtail.config import KEYS, load_config, to_yaml
from longtail.errors import UserError
from longtail.runs.directory import RunDirectory
from longtail.runs.results import evaluation_outcome
from longtail.stages.recipe_file import load_recipe
from tools.record import main
from tools.results_page import Record, make_record, read_published, read_records, records_of, results_page, top_table
from tools.run_settings import stage_settings

ROOT = Path(__file__).parent.parent.parent
CONFIG = "cifar10_im100,ce,every_epoch"


def write_run(folder: Path, *overrides: Any, reached: int = 200, evaluated: int = 200, top1: float = 0.7) -> Path:
    """Write the files of a finished run of a config."""
    folder.mkdir(parents=True)
    cfg = load_config(CONFIG, overrides)
    (folder / "config.yaml").write_text(to_yaml(cfg))
    lines = [{"epoch": epoch, "split": "train", "seconds": 36.0} for epoch in range(1, reached + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"epoch": 2')
    last = {"epoch": evaluated, "ensemble": {"top1": top1, "many": 0.8}}
    results = {"epochs": 200, "images": 12406, "precision": "off", "best": last, "last": last}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "environment.json").write_text(
        '{"processor": "P", "devices": ["cpu"], "versions": {"torch": "2.14.1", "timm": "1"}}'
    )
    return folder


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return make_record(RunDirectory(write_run(tmp_path / "run")), CONFIG, images="lossless")


def test_make_record_of_a_finished_run(record: Record) -> None:
    assert record.finished and record.differs == {}
    assert (record.seed, record.epochs, record.reached, record.hours) == (42, 200, 200, 2.0)
    assert record.last == {"top1": 0.7, "many": 0.8}
    assert record.best == {"epoch": 200, "top1": 0.7}
    assert record.environment["versions"] == {"python": "", "torch": "2.14.1"}


def test_make_record_of_an_unfinished_run_has_no_last_accuracy(tmp_path: Path) -> None:
    record = make_record(RunDirectory(write_run(tmp_path / "run", reached=37, evaluated=35)), CONFIG)
    assert not record.finished
    assert (record.reached, record.last, record.best["epoch"]) == (37, {}, 35)


def test_make_record_lists_settings_that_change_the_experiment(tmp_path: Path) -> None:
    other = ["TRAIN.BATCH_SIZE", 64, "TRAIN.NUM_WORKERS", 3, "RAND_SEED", 7, "LOSS.SEQL.GAMMA", 0.5]
    record = make_record(RunDirectory(write_run(tmp_path / "run", *other)), CONFIG)
    assert record.differs == {"TRAIN.BATCH_SIZE": 64}
    assert record.seed == 7


def test_make_record_refuses_what_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the directory of a run that was trained"):
        make_record(RunDirectory(tmp_path), CONFIG)


def stage_of(record: Record, stage: str, **facts: Any) -> Record:
    """Return the record of a stage of cRT."""
    config = "cifar10_im100_json,crt"
    return replace(record, config=config, stage=stage, settings=stage_settings(config, stage), **facts)


def here(page: str) -> str:
    """Return the line of our own numbers of the first row; empty if there are none."""
    lines = page.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("| Cross-entropy |"))
    return next((line for line in lines[first:] if line.startswith("| | here")), "")


@pytest.mark.slow
def test_results_page_shows_mean_std_and_seeds(record: Record) -> None:
    published = read_published(ROOT / "docs" / "results.yaml")
    second = replace(record, seed=43, last={"top1": 0.72})
    assert here(results_page(published, [record, second])) == "| | here, lossless | 29.00 ± 1.41 (2) | | | |"
    table = top_table(published, [record, second])
    assert "| Cross-entropy | CIFAR-10-LT 100, lossless | 28.05 | 29.00 ± 1.41 (2) | 200 | 2.0 (CPU) |" in table


@pytest.mark.slow
def test_top_table_shows_the_hours_of_each_kind_of_device(record: Record) -> None:
    environment = {"devices": ["NVIDIA H200"]}
    moved = {**environment, "resumed": [{"epoch": 9, "devices": ["cpu"]}]}
    runs = [
        record,
        replace(record, seed=43, hours=0.1, environment=environment),
        replace(record, seed=44, hours=0.25, environment=environment),
        replace(record, seed=45, hours=1.5, environment=moved),
    ]
    table = top_table(read_published(ROOT / "docs" / "results.yaml"), runs)
    assert "| 2.0 (CPU), 0.10 to 0.25 (H200), 1.5 (H200 and CPU) |" in table


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"reached": 199},
        {"last": {}},
        {"settings": {"TRAIN.BATCH_SIZE": 64}},
        {"train_images": 12000},
        {"config": "cifar10_im50,ce"},
    ],
    ids=["unfinished", "not evaluated", "other settings", "other images", "other data"],
)
def test_results_page_counts_only_the_full_schedule_as_configured(record: Record, change: dict[str, Any]) -> None:
    published = read_published(ROOT / "docs" / "results.yaml")
    page = results_page(published, [replace(record, **change)])
    assert here(page) == ""
    assert "## Runs" in page  # it is listed nevertheless
    assert top_table(published, [replace(record, **change)]).count("\n") == 1


@pytest.mark.slow
def test_results_page_shows_the_last_stage_of_a_recipe(record: Record) -> None:
    published = read_published(ROOT / "docs" / "results.yaml")
    first = stage_of(record, "baseline", hours=9.0, began="2026-01-01")
    second = stage_of(record, "classifier", epochs=30, reached=30, last={"top1": 0.75}, hours=1.0, began="2026-01-02")
    assert "25.00 (1)" not in top_table(published, [first]) and "30.00 (1)" not in top_table(published, [first])
    assert "| cRT | CIFAR-10-LT 100, lossless | 25.01 | 25.00 (1) | 230 | 10.0 (CPU) |" in top_table(
        published, [first, second]
    )


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["baseline", "classifier"])
def test_results_page_leaves_a_recipe_out_if_the_settings_of_a_stage_have_changed(record: Record, changed: str) -> None:
    published = read_published(ROOT / "docs" / "results.yaml")
    stages = [
        stage_of(record, stage, began=f"2026-01-0{day}") for day, stage in enumerate(("baseline", "classifier"), 1)
    ]
    assert "| cRT |" in top_table(published, stages)
    older = [
        replace(each, settings={**each.settings, "TRAIN.OPTIMIZER.MOMENTUM": 0.8}) if each.stage == changed else each
        for each in stages
    ]
    assert "| cRT |" not in top_table(published, older)
    assert "`TRAIN.OPTIMIZER.MOMENTUM=0.8` |" in results_page(published, older)


def test_a_record_differs_in_keys_of_either_side(record: Record) -> None:
    asked = record.settings
    assert "TRAIN.BATCH_SIZE" in asked and "LOSS.FOCAL.GAMMA" not in asked
    missing = {name: value for name, value in asked.items() if name != "TRAIN.BATCH_SIZE"}
    default = KEYS["TRAIN.BATCH_SIZE"].default
    assert replace(record, settings=missing).differs == {"TRAIN.BATCH_SIZE": default}  # the config has set it since
    assert replace(record, settings={**asked, "TRAIN.REMOVED": 1}).differs == {"TRAIN.REMOVED": 1}
    assert replace(record, settings={}, code="released").differs == {}


def test_record_writes_files_that_are_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, folder = write_run(tmp_path / "run"), tmp_path / "records"
    assert main([CONFIG, str(run), "--folder", str(folder), "--images", "lossless"]) == 0
    assert capsys.readouterr().out == f"{folder}/cifar10_im100_ce_every_epoch-seed42.json: finished\n"
    assert read_records(folder) == [make_record(RunDirectory(run), CONFIG, images="lossless")]


def test_record_of_another_run_of_the_same_seed_is_kept(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("2026-01-01", "2026-01-02")]
    for run in (*runs, *runs):  # again: as after they went on
        assert main([CONFIG, str(run), "--folder", str(tmp_path / "records")]) == 0
    assert sorted(record.began for record in read_records(tmp_path / "records")) == ["2026-01-01", "2026-01-02"]


def test_results_page_counts_the_stages_of_one_run_of_a_recipe(record: Record) -> None:
    stages = [
        stage_of(record, stage, began=f"2026-01-0{day}", epochs=epochs, hours=1.5)
        for day, stage, epochs in (
            (1, "baseline", 200),
            (2, "classifier", 30),
            (3, "baseline", 200),
            (4, "classifier", 30),
        )
    ]
    published = read_published(ROOT / "docs" / "results.yaml")
    for known in (stages, stages[:2]):
        assert "| 30.00 (1) | 230 | 3.0 (CPU) |" in top_table(published, known)


def test_record_of_a_recipe_has_the_stages_that_train(tmp_path: Path) -> None:
    write_run(tmp_path / "crt" / "baseline" / "2026-01-01-00-00-00")
    write_run(tmp_path / "crt" / "baseline" / "2026-01-02-00-00-00", top1=0.6)
    assert main(["cifar10_im100,crt", str(tmp_path / "crt"), "--folder", str(tmp_path / "records")]) == 0
    (record,) = read_records(tmp_path / "records")
    assert (record.stage, record.last["top1"], record.differs) == ("baseline", 0.6, {})


def write_evaluation(folder: Path, stage: str, *, top1: float) -> Path:
    """Write the files of a finished stage tau_norm that evaluates the last checkpoint of the run in `folder`."""
    run = folder / "tau_norm" / stage
    run.mkdir(parents=True)
    recipe = load_recipe("cifar10_im100,tau_norm")
    (run / "config.yaml").write_text(to_yaml(recipe.load(recipe.stages[1], {})))
    head = {"config": "cifar10_im100,ce", "seed": 42}
    checkpoint = "/elsewhere/tau_norm/baseline/2026-01-01-00-00-00/models/last.pth"  # where it was trained
    evaluation = {"ensemble": {"top1": top1}, "experts": []}
    outcome = evaluation_outcome({**head, "checkpoint": checkpoint}, epoch=200, evaluation=evaluation, seconds=36)
    (run / "results.json").write_text(json.dumps(outcome))
    return run


def test_record_of_a_stage_that_evaluates_has_its_accuracy_and_the_training_of_its_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "tau_norm"
    write_run(folder / "baseline" / "2026-01-01-00-00-00", "TRAIN.BATCH_SIZE", 64)
    write_run(folder / "baseline" / "2026-01-03-00-00-00")  # newer than the one that was evaluated
    write_evaluation(folder, "2026-01-02-00-00-00", top1=0.75)
    records = {record.stage: record for record in records_of(folder, "cifar10_im100,tau_norm", images="lossless")}
    assert set(records) == {"baseline", "tau_norm"} and records["baseline"].differs == {}
    found = records["tau_norm"]
    assert found.finished and found.last == {"top1": 0.75} and found.differs == {"TRAIN.BATCH_SIZE": 64}
    assert (found.epochs, found.hours, found.train_images, found.images) == (0, 0.01, 12406, "lossless")
    assert found.environment["processor"] == "P"


def test_record_of_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "cifar10_im100_ce" / "2026-01-01-00-00-00"
    write_run(run)
    with pytest.raises(UserError, match=rf"has nothing to record: .* recipe; did you mean {run}\?$"):
        records_of(run.parent, "cifar10_im100,ce")
    with pytest.raises(UserError, match=r"recipe$"):
        records_of(tmp_path / "none", "cifar10_im100,ce")
    (run / "metrics.jsonl").unlink()  # a stage that was stopped before its first evaluation
    with pytest.raises(UserError, match="has nothing to record"):
        records_of(tmp_path, "cifar10_im100,crt")


@pytest.mark.slow
def test_results_page_shows_a_stage_that_evaluates_with_the_epochs_of_its_training(tmp_path: Path) -> None:
    folder = tmp_path / "tau_norm"
    write_run(folder / "baseline" / "2026-01-01-00-00-00")
    write_evaluation(folder, "2026-01-02-00-00-00", top1=0.75)
    table = top_table(read_published(ROOT / "docs" / "results.yaml"), records_of(folder, "cifar10_im100,tau_norm"))
    assert "| tau-normalization | CIFAR-10-LT 100 | 27.30 | 25.00 (1) | 200 | 2.0 (CPU) |" in table


def test_record_of_an_evaluation_without_its_training_is_refused(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "tau_norm", "2026-01-02-00-00-00", top1=0.75)
    with pytest.raises(
        UserError, match=r"baseline/2026-01-01-00-00-00 is missing, the training that a stage evaluates"
    ):
        list(records_of(tmp_path / "tau_norm", "cifar10_im100,tau_norm"))


def test_read_records_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"top1": 1}')
    with pytest.raises(UserError, match=r"record .*a\.json cannot be read"):
        read_records(tmp_path)


def test_shipped_records_are_of_known_configs() -> None:
    for record in read_records(ROOT / "docs" / "records"):
        assert record.config.split(",")[0].removesuffix("_json")
        assert record.reached <= record.epochs
