"""metrics.jsonl."""

import json
import math
from pathlib import Path

import pytest

from longtail.errors import UserError
from longtail.runs.directory import RunDirectory
from longtail.runs.loggers import build_loggers, read_history
from longtail.runs.loggers.jsonl import JsonLines


def lines_of(*epochs: int) -> str:
    return "".join(json.dumps({"epoch": epoch, "split": "train"}) + "\n" for epoch in epochs)


def test_json_lines_drops_what_a_killed_process_wrote(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines_of(1, 2, 3) + '{"epoch": 4, "spl')
    lines = JsonLines(path, epoch=3)
    lines.write({"epoch": 3, "split": "train", "top1": 0.5})
    lines.close()
    assert path.read_text() == lines_of(1, 2) + '{"epoch": 3, "split": "train", "top1": 0.5}\n'


def test_json_lines_is_standard_json(tmp_path: Path) -> None:
    JsonLines(tmp_path / "a").write({"epoch": 1, "split": "valid", "loss": math.nan, "experts": [{"top1": math.inf}]})
    assert read_history(tmp_path / "a") == [{"epoch": 1, "split": "valid", "loss": None, "experts": [{"top1": None}]}]


@pytest.mark.parametrize("line", ["", "{", "[]", "3", '{"epoch": "1", "split": "train"}', '{"epoch": 1}', "[" * 99_999])
def test_read_history_skips_what_is_not_a_record(tmp_path: Path, line: str) -> None:
    (tmp_path / "a").write_text(f"{lines_of(1)}{line}\n{lines_of(2)}")
    assert [record["epoch"] for record in read_history(tmp_path / "a")] == [1, 2]
    assert read_history(tmp_path / "absent") == []


def test_build_loggers_refuses_unknown_names(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    (logger,) = build_loggers(["jsonl"], run, epoch=1)
    assert isinstance(logger, JsonLines) and run.metrics.read_text() == ""
    with pytest.raises(UserError, match="did you mean tensorboard"):
        build_loggers(["tensorbord"], run, epoch=1)
