"""Curves for TensorBoard."""

import math
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from longtail.errors import UserError
from longtail.runs.directory import RunDirectory
from longtail.runs.loggers import build_loggers
from longtail.runs.loggers.curves import curves
from longtail.runs.loggers.tensorboard import TensorBoard

RECORD = {
    "epoch": 3,
    "split": "valid",
    "loss": 0.5,
    "bad": math.nan,
    "ensemble": {"top1": 0.25, "few": 0.0},
    "experts": [{"top1": 0.1}, {}],
}


def events(folder: Path) -> list[Any]:
    """Return the events of the only file: length (8 bytes), checksum (4), event, checksum (4)."""
    (file,) = folder.iterdir()
    data, found = file.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        event = Event()
        event.ParseFromString(data[12 : 12 + length])
        found.append(event)
        data = data[16 + length :]
    return found


def test_curves_are_the_finite_numbers_of_a_record() -> None:
    assert curves(RECORD) == {"loss/valid": 0.5, "ensemble/top1": 0.25, "ensemble/few": 0.0, "experts/1": 0.1}


def test_tensorboard_marks_a_restart_and_writes_at_once(tmp_path: Path) -> None:
    (board,) = build_loggers(["tensorboard"], RunDirectory(tmp_path), epoch=3)
    board.write(RECORD)
    written = events(tmp_path / "tensorboard")
    board.close()
    assert [event.step for event in written if event.session_log.status == SessionLog.START] == [3]
    values = {value.tag: value.simple_value for event in written for value in event.summary.value}
    assert values == {tag: pytest.approx(number) for tag, number in curves(RECORD).items()}
    assert {event.step for event in written if event.summary.value} == {3}


def test_tensorboard_in_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        TensorBoard(tmp_path / "file" / "tensorboard", 1)
