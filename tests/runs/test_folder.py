"""Folders with a lock, and the JSON files in them."""

import json
import math
import os
import signal
from pathlib import Path

import pytest

from longtail.errors import UserError
from longtail.runs.folder import LockedFolder, finite, read_json


def test_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    first, second = LockedFolder(tmp_path), LockedFolder(tmp_path)
    assert first.lock()
    assert not second.lock()
    first.unlock()
    first.unlock()
    assert second.lock()
    second.unlock()


def test_lock_is_not_held_by_forked_processes(tmp_path: Path) -> None:
    folder = LockedFolder(tmp_path)
    assert folder.lock()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:  # a worker that outlives its parent
        os.write(writing, b".")
        signal.pause()
    try:
        assert os.read(reading, 1) == b"."
        assert not LockedFolder(tmp_path).lock()  # the child has not released it
        folder.unlock()
        other = LockedFolder(tmp_path)
        assert other.lock()
        other.unlock()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)


def test_lock_of_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: No such file"):
        LockedFolder(tmp_path / "absent").lock()


def test_write_json_is_standard_json(tmp_path: Path) -> None:
    content = {"loss": math.nan, "top1": [0.5, math.inf], "epochs": (1, 2)}
    LockedFolder(tmp_path).write_json("a.json", content)
    assert read_json(tmp_path / "a.json") == {"loss": None, "top1": [0.5, None], "epochs": [1, 2]}
    assert "NaN" not in (tmp_path / "a.json").read_text()
    assert finite({"a": {"b": -math.inf}}) == {"a": {"b": None}}


def test_write_text_and_json_report_errors_in_one_line(tmp_path: Path) -> None:
    folder = LockedFolder(tmp_path / "absent")
    with pytest.raises(UserError, match=r"file .*absent.* cannot be written: No such file"):
        folder.write_json("a.json", {})
    with pytest.raises(UserError, match=r"file .*absent.* cannot be written: No such file"):
        folder.write_text("a.txt", "")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_read_json_of_a_damaged_file_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") is None
    assert read_json(tmp_path / "absent.json") is None


def test_write_json_replaces_the_whole_file(tmp_path: Path) -> None:
    folder = LockedFolder(tmp_path)
    folder.write_json("a.json", {"long": "x" * 100})
    folder.write_json("a.json", {})
    assert json.loads((tmp_path / "a.json").read_text()) == {}


def test_read_json_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.json")
    assert read_json(tmp_path / "results.json") is None
