"""Every benchmark runs at a tiny size, and the table is right."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accuracy
import costs
import gpu_parts
import pytest
import run
import torch
from measuring import Row, interleaved, table
from training import config

TINY: dict[str, dict[str, Any]] = {
    "augmentation": {"images": 8, "rounds": 1},
    "jpeg_loader": {"files": 2, "rounds": 1, "size": 32},
    "epoch": {"images": 32, "batch": 16, "rounds": 1, "backbone": "res8_measured"},
    "evaluation": {"images": 32, "batch": 16, "rounds": 1, "backbone": "res8_measured"},
    "large_images": {
        "device": torch.device("cpu"),
        "batch": 20,
        "size": 32,
        "steps": 1,
        "rounds": 1,
        "backbone": "res8_measured",
    },
    "schedule": {
        "images": 32,
        "valid": 20,
        "epochs": 5,
        "batch": 16,
        "backbone": "res8_measured",
    },
    "start": {"train": 128, "valid": 20, "rounds": 1},
}


def test_rows_are_all_measured_here() -> None:
    files = {file for file, _ in (run.ROWS | run.GPU_ROWS).values()}
    assert files == {*TINY, "threads"}  # for threads see test_threads.py


@pytest.mark.slow
@pytest.mark.parametrize("file", TINY)
def test_measure_returns_positive_values(file: Any) -> None:
    rows = __import__(file).measure(**TINY[file])
    assert rows
    for row in rows:
        assert row.ours > 0
        assert row.ratio is None or row.ratio > 0
        assert row.of_matrix_rate is None or row.of_matrix_rate > 0


@pytest.mark.slow
def test_interleaved_runs_rounds_after_a_warm_up() -> None:
    calls = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert "".join(calls) == "ab" + "ababab"
    assert len(times["a"].seconds) == len(times["b"].seconds) == 3


@pytest.mark.slow
def test_interleaved_peak_memory_excludes_what_was_in_use() -> None:
    held = torch.zeros(20_000_000)  # 80 MB, all of it touched
    times = interleaved({"much": lambda: torch.ones(10_000_000), "nothing": lambda: None}, 1)
    assert held.sum() == 0
    assert 35 < times["much"].peak_mb < 60
    assert times["nothing"].peak_mb < 10


def test_row_ratio() -> None:
    assert Row("speed", "images/s", 30.0, 10.0).ratio == 3
    assert Row("time", "s", 10.0, 30.0, higher_is_better=False).ratio == 3
    assert Row("alone", "s", 10.0).ratio is None


def test_table_cells() -> None:
    text = table([Row("speed", "images/s", 3000.0, 1000.0, of_matrix_rate=0.5, peak_mb=1234.0), Row("time", "s", 2.5)])
    first, second = text.splitlines()[2:]
    assert first.split() == ["speed", "images/s", "3,000", "1,000", "3.00", "50%", "1,234", "-"]
    assert second.split() == ["time", "s", "2.5", "-", "-", "-", "-", "-"]


@pytest.mark.slow
def test_run_prints_a_table_and_writes_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(run.ROWS, "augmentation", ("augmentation", {"images": 8}))
    path = tmp_path / "record.json"
    assert run.main(["--rows", "augmentation", "--rounds", "1", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "augmentation, 32 x 32, 1 core" in shown
    record = json.loads(path.read_text())
    assert record["machine"]["torch"] == torch.__version__
    assert record["rows"][0]["ratio"] == record["rows"][0]["ours"] / record["rows"][0]["baseline"]


@pytest.mark.slow
def test_costs_grow_with_the_image(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "NETWORKS", [("res8_measured", 16), ("res8_measured", 32)])
    assert costs.main(["--images", "100", "--classes", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 2 + 2 + 2
    small, large = (float(line.split(" G operations")[0].split()[-1]) for line in lines[-2:])
    assert 0 < small < large


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "gpu_epoch"], "gpu_epoch: this machine has no GPU"),
        (["--rows", "speed"], "invalid choice: 'speed'"),
        (["--rounds", "0"], "'0' is not an integer of at least 1"),
    ],
)
def test_run_refuses_invalid_options(arguments: Any, message: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        run.main(arguments)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_parts_needs_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu_parts.main([])
    assert capsys.readouterr().err.endswith("error: this machine has no GPU\n")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_parts_prints_the_parts_of_an_epoch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_parts, "IMAGES", 640)
    gpu_parts.parts("loop")
    assert re.fullmatch(r"TRAIN\.CUDA_GRAPH loop: epoch \S+ s, .* later steps \S+ ms\n", capsys.readouterr().out)


@pytest.mark.slow
def test_accuracy_compares_ours_with_the_reference(
    image_folder: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["BACKBONE.MULTI_NETWORK_TYPE", ["res8_measured"] * 3]
    monkeypatch.setattr(accuracy, "config", lambda *pairs: config(*pairs, *small))
    train = image_folder("train", [0] * 64 + list(range(10)) * 2, 10, [(32, 32)])
    valid = image_folder("valid", list(range(10)), 10, [(32, 32)])
    assert accuracy.main([train, valid, "--epochs", "1", "--seeds", "2", "--gpus", "cpu"]) == 0
    ours, reference = capsys.readouterr().out.splitlines()
    for line, name in ((ours, "ours"), (reference, "reference")):
        assert re.fullmatch(rf"{name} +top1 \d+\.\d\d \+- \d+\.\d\d.*", line)
    assert accuracy.main([train, train.replace("train", "absent"), "--gpus", "cpu"]) == 2
    assert capsys.readouterr().err.startswith("error: annotation file ")
