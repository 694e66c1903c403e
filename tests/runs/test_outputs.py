"""The checkpoints of a finished run and their digests."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from longtail.runs.directory import RunDirectory
from longtail.runs.outputs import LOST, changed_outputs, output_records
from tests.helpers.training import FinishedRun, read_json


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_output_records_name_the_checkpoints_that_stages_may_take(finished_run: FinishedRun) -> None:
    run = finished_run("SAVE_STEP", 1)
    names = ["best_ensemble", "best_single", "epoch_1", "epoch_2", "epoch_3", "last"]
    expected = {f"models/{name}.pth": digest(run.models / f"{name}.pth") for name in names}
    assert output_records(run) == expected == read_json(run.results)["outputs"]
    assert run.previous.is_file()
    assert changed_outputs(run) == []


def test_changed_outputs_are_missing_or_other_files(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.models.mkdir()
    for name in ("last.pth", "epoch_1.pth", "epoch_2.pth"):
        (run.models / name).write_bytes(name.encode())
    run.write_json("results.json", {"outputs": output_records(run)})
    (run.models / "epoch_3.pth").write_bytes(b"not recorded")
    assert changed_outputs(run) == []
    (run.models / "epoch_1.pth").unlink()
    (run.models / "epoch_2.pth").write_bytes(b"")
    assert changed_outputs(run) == ["models/epoch_1.pth", "models/epoch_2.pth"]


def test_changed_outputs_of_a_run_without_records(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert changed_outputs(run) == []
    contents: list[Any] = [[], {"outputs": None}, {"outputs": ["models/last.pth"]}]
    for content in contents:
        run.write_json("results.json", content)
        assert changed_outputs(run) == []
    run.write_json("results.json", {"outputs": {"models/last.pth": LOST}})
    assert changed_outputs(run) == []  # it was not there when the run ended
