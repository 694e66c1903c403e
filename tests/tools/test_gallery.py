"""Filling the results page: what is missing, and the trainings of a row and of a recipe, with their records."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from longtail.errors import UserError
from tools import gallery
from tools.results_page import Published, Record, missing_trainings, read_published, read_records
from tools.run_settings import stage_settings

ROWS = [
    {"name": "Cross-entropy", "config": "ce", "text": "", "published": {"A": [30.0]}},
    {"name": "tau-normalization", "config": "tau_norm", "text": ""},
    {"name": "Its baseline", "config": "tau_norm", "stage": "baseline", "text": ""},
]
GROUP = {"title": "T", "text": "", "when": "", "sets": "digits", "rows": ROWS}
PAGE = {"sets": {"digits": [{"name": "Digits", "data": "digits_lt", "images": 276}]}, "groups": [GROUP]}
SHORT = ["TRAIN.MAX_EPOCH", "1", "TRAIN.BATCH_SIZE", "64"]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Return a small page, which is also the one of the tool."""
    (tmp_path / "results.yaml").write_text(yaml.safe_dump(PAGE))
    monkeypatch.setattr(gallery, "RESULTS", tmp_path / "results.yaml")
    return read_published(tmp_path / "results.yaml")


@pytest.fixture
def record() -> Record:
    accuracies = {"top1": 0.7}
    facts: dict[str, Any] = {"train_images": 276, "images": "", "precision": "off", "hours": 1.0}
    settings = stage_settings("digits_lt,ce", "")
    return Record("digits_lt,ce", "", 1, 32, 32, accuracies, {}, **facts, settings=settings)


def wanted(published: Published, *records: Record, seeds: tuple[int, ...] = (1,), images: str = "") -> list[str]:
    found = missing_trainings(published, records, data="digits_lt", seeds=seeds, images=images)
    return [f"{config} {seed}" for config, seed in found]


def test_missing_trainings_are_those_without_a_record_seed_by_seed(published: Published, record: Record) -> None:
    everything = ["digits_lt,ce 1", "digits_lt,tau_norm 1", "digits_lt,ce 2", "digits_lt,tau_norm 2"]
    assert wanted(published, seeds=(1, 2)) == everything
    assert wanted(published, record, seeds=(1, 2)) == everything[1:]
    assert wanted(published, record, replace(record, seed=2), seeds=(1, 2)) == [everything[1], everything[3]]


@pytest.mark.parametrize(
    "change", [{"reached": 31}, {"settings": {"TRAIN.MAX_EPOCH": 31}}, {"images": "JPEG"}, {"train_images": 275}]
)
def test_records_of_other_trainings_do_not_count(
    published: Published, record: Record, change: dict[str, object]
) -> None:
    assert "digits_lt,ce 1" in wanted(published, replace(record, **change))  # type: ignore[arg-type]


def test_recipe_is_missing_until_each_of_its_rows_has_a_record(published: Published, record: Record) -> None:
    first, last = (
        replace(record, config=config, stage=stage, settings=stage_settings(config, stage))
        for config, stage in (("digits_lt,tau_norm", "baseline"), ("digits_lt,tau_norm", "tau_norm"))
    )
    assert "digits_lt,tau_norm 1" in wanted(published, first)
    assert wanted(published, record, first, last) == []


def test_unknown_names_are_refused(published: Published) -> None:
    with pytest.raises(UserError, match="no column of digits; available: digits_lt"):
        list(missing_trainings(published, [], data="digits", seeds=[1]))
    with pytest.raises(UserError, match="no row cse of digits_lt; available: ce tau_norm"):
        list(missing_trainings(published, [], data="digits_lt", seeds=[1], rows=["cse"]))


@pytest.mark.slow
@pytest.mark.usefixtures("published")
def test_gallery_trains_and_records_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = tmp_path / "records", tmp_path / "output"
    command = ["digits_lt", "--gpus", "cpu", "--seeds", "7", "--at-once", "2", "--images", "as shipped"]
    command += ["--output", str(output), "--folder", str(folder), *SHORT]
    assert gallery.main([*command, "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    settings = f"OUTPUT_DIR {output}/seed7 RAND_SEED 7 {' '.join(SHORT)}"
    assert listed == [f"longtail train digits_lt,{name} {settings}" for name in ("ce", "tau_norm")]
    assert not output.exists()

    assert gallery.main([*command, "--minutes", "0"]) == 0
    assert capsys.readouterr().out.endswith("0 of 2 trainings are finished; the same command resumes the others\n")
    assert gallery.main(command) == 0
    assert capsys.readouterr().out.endswith("2 of 2 trainings are finished\n")
    records = {(record.config, record.stage): record for record in read_records(folder)}
    assert set(records) == {
        ("digits_lt,ce", ""),
        ("digits_lt,tau_norm", "baseline"),
        ("digits_lt,tau_norm", "tau_norm"),
    }
    for record in records.values():
        assert (record.seed, record.images, record.differs["TRAIN.MAX_EPOCH"]) == (7, "as shipped", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("published")
def test_gallery_reports_trainings_that_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seed42").touch()  # where the folder of the run belongs
    command = ["digits_lt", "--rows", "ce", "--output", str(tmp_path), "--folder", str(tmp_path / "records")]
    assert gallery.main(command) == 1
    log = tmp_path / "digits_lt_ce-seed42.log"
    output = capsys.readouterr()
    assert f"{log}: exit code 2: error: " in output.out and f"{tmp_path}/seed42 is not a folder\n" in output.out
    assert output.err == f"error: failed: {log}\n"


@pytest.mark.usefixtures("published")
def test_gallery_checks_all_configs_before_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["digits_lt", "--output", str(tmp_path / "output"), "baseline:TRAIN.MAX_EPOCH", "1"]
    assert gallery.main(command) == 2  # a setting of a stage, but not all rows are recipes
    assert "baseline:TRAIN.MAX_EPOCH" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("at_once", "before", "threads"), [(1, "", "4"), (3, "4", "1"), (2, "4", "2"), (9, "8", "1"), (1, "2", "2")]
)
def test_trainings_share_the_cores(monkeypatch: pytest.MonkeyPatch, at_once: int, before: str, threads: str) -> None:
    monkeypatch.setattr(gallery, "available_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", before)
    assert gallery.with_threads(at_once)["OMP_NUM_THREADS"] == threads


def test_gallery_refuses_to_train_nothing_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main(["cifar10_im100", "--at-once", "0"]) == 2
    assert "--at-once 0: at least 1" in capsys.readouterr().err
