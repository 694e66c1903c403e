"""Run directories: never overwritten, found again, distinguished from those of other configs."""

import os
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.errors import UserError
from longtail.runs import directory
from longtail.runs.directory import (
    RunDirectory,
    absolute_paths,
    check_writable,
    create_run,
    differing_keys,
    run_to_resume,
    runs_of,
)

SAME = ["TRAIN.NUM_WORKERS", 3, "SHOW_STEP", 7, "OUTPUT_DIR", "elsewhere"]  # keys that do not change the result


@pytest.fixture
def cfg(tmp_path: Path) -> CfgNode:
    return load_config(None, ["OUTPUT_DIR", str(tmp_path / "out"), "NAME", "name"])


def test_create_run_never_reuses_a_folder(cfg: CfgNode, monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Frozen":
            return cls(2026, 1, 31, 12, 0, 0)

    monkeypatch.setattr(directory, "datetime", Frozen)
    names = [create_run(cfg).path.name for _ in range(3)]
    assert names == ["2026-01-31-12-00-00", "2026-01-31-12-00-00-2", "2026-01-31-12-00-00-3"]


def test_create_run_writes_the_whole_config(cfg: CfgNode) -> None:
    assert load_config(create_run(cfg).config) == cfg


def test_create_run_writes_absolute_paths(cfg: CfgNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative = load_config(None, ["OUTPUT_DIR", "out", "DATASET.ROOT", "data", "DATASET.TRAIN_JSON", ""])
    written = load_config(create_run(relative).config)
    assert (str(tmp_path / "out"), str(tmp_path / "data")) == (written.OUTPUT_DIR, written.DATASET.ROOT)
    assert written.DATASET.TRAIN_JSON == ""
    assert absolute_paths(written) == written


@pytest.mark.slow
def test_run_to_resume_is_free_and_has_a_checkpoint(cfg: CfgNode) -> None:
    run = create_run(cfg)
    run.unlock()
    assert run_to_resume(cfg) is None  # no checkpoint yet
    run.last.touch()
    found = run_to_resume(cfg)
    assert found is not None and found.path == run.path
    assert run_to_resume(cfg) is None  # locked
    found.unlock()
    run.write_json("results.json", {"epochs": 60, "last": {"epoch": 60}})
    again = run_to_resume(cfg)
    assert again is not None and not again.finished()  # its figures may still be missing
    again.unlock()
    run.write_json("results.json", {"epochs": 60, "seconds": 1.0, "finished": True})
    done = run_to_resume(cfg)
    assert done is not None and done.path == run.path and done.finished()


def test_run_to_resume_is_a_finished_one_only_if_it_is_the_newest_that_saved_something(
    cfg: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = create_run(cfg), create_run(cfg)
    for run in (older, newer):
        run.unlock()
    older.last.touch()
    older.write_json("results.json", {"seconds": 1.0, "finished": True})
    found = run_to_resume(cfg)
    assert found is not None and found.path == older.path
    newer.last.touch()
    unfinished = run_to_resume(cfg)
    assert unfinished is not None and unfinished.path == newer.path
    assert run_to_resume(cfg) is None
    assert caplog.messages == [f"{newer.path} is being trained by another process"]


def test_run_to_resume_is_no_unfinished_one_before_a_finished_one(cfg: CfgNode) -> None:
    """Somebody has given it up, and trained again with --resume never."""
    older, newer = create_run(cfg), create_run(cfg)
    for run in (older, newer):
        run.unlock()
        run.last.touch()
    newer.write_json("results.json", {"epochs": 60, "seconds": 1.0, "finished": True})
    found = run_to_resume(cfg)
    assert found is not None and found.path == newer.path


def test_runs_of_are_the_newest_first_and_of_the_same_config(cfg: CfgNode, tmp_path: Path) -> None:
    first, second = create_run(cfg), create_run(cfg)
    create_run(load_config(None, ["OUTPUT_DIR", str(tmp_path / "out"), "NAME", "name", "RAND_SEED", 1]))
    (first.path.parent / "notes").mkdir()
    assert [run.path for run in runs_of(cfg)] == [second.path, first.path]


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, '{"epochs": 3}', '{"finished": "True"}'])
def test_finished_of_damaged_results_is_false(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    assert not RunDirectory(tmp_path).finished()


def test_differing_keys_are_those_that_change_the_result(cfg: CfgNode) -> None:
    run = create_run(cfg)
    assert differing_keys(load_config(run.config, SAME), run) == []
    other = load_config(run.config, ["TRAIN.OPTIMIZER.BASE_LR", 0.5, "TRAIN.AMP", "bf16"])
    assert differing_keys(other, run) == ["TRAIN.AMP", "TRAIN.OPTIMIZER.BASE_LR"]


def test_differing_keys_of_a_run_whose_config_cannot_be_read(cfg: CfgNode) -> None:
    run = create_run(cfg)
    run.config.write_text("TRAIN: {EPOCHS: 3}")
    assert differing_keys(cfg, run) == ["(its config.yaml cannot be read)"]


def with_weights(cfg: CfgNode, path: Path) -> CfgNode:
    settings: list[Any] = ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path)]
    return load_config(None, ["OUTPUT_DIR", cfg.OUTPUT_DIR, "NAME", cfg.NAME, *settings])


def test_differing_keys_compare_files_by_content(cfg: CfgNode, tmp_path: Path) -> None:
    for name, content in (("a.pth", b"1"), ("copy.pth", b"1"), ("b.pth", b"2")):
        (tmp_path / name).write_bytes(content)
    run = create_run(with_weights(cfg, tmp_path / "a.pth"))
    assert differing_keys(with_weights(cfg, tmp_path / "copy.pth"), run) == []
    assert differing_keys(with_weights(cfg, tmp_path / "b.pth"), run) == ["NETWORK.PRETRAINED_MODEL (the file)"]
    (tmp_path / "a.pth").write_bytes(b"3")
    assert differing_keys(with_weights(cfg, tmp_path / "a.pth"), run) == ["NETWORK.PRETRAINED_MODEL (the file)"]


def test_check_writable_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"OUTPUT_DIR .*file/deeper cannot be used: .*file is not a folder"):
        check_writable(load_config(None, ["OUTPUT_DIR", str(tmp_path / "file" / "deeper")]))
    check_writable(load_config(None, ["OUTPUT_DIR", str(tmp_path / "a" / "b")]))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("writable", [True, False])
def test_check_writable_asks_for_permission(tmp_path: Path, writable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system call is replaced: the superuser may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: writable)
    cfg = load_config(None, ["OUTPUT_DIR", str(tmp_path / "out")])
    if writable:
        check_writable(cfg)
    else:
        with pytest.raises(UserError, match=f"{tmp_path} is not writable"):
            check_writable(cfg)


@pytest.mark.parametrize("content", ["", "TRAIN: [", "NO.KEY: 1\n"])
def test_create_run_names_runs_with_damaged_configs(
    cfg: CfgNode, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = create_run(cfg)
    assert caplog.messages == []
    first.config.write_text(content)
    create_run(cfg)
    assert caplog.messages == [f"{first.path} is not resumed: its config.yaml is damaged"]


@pytest.mark.parametrize("name", [".config.yaml.0123456789ab.tmp", "models/.last.pth.0123456789ab.tmp"])
def test_create_run_removes_temporary_files_of_killed_processes(cfg: CfgNode, name: str) -> None:
    killed, busy = create_run(cfg), create_run(cfg)
    killed.unlock()
    left = [run.path / name for run in (killed, busy)]
    for path in left:
        path.touch()
    create_run(cfg)
    assert [path.exists() for path in left] == [False, True]  # the other run is locked


def test_runs_that_cannot_be_locked_are_left_alone(
    cfg: CfgNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As another user's run in a shared folder."""
    other = create_run(cfg)
    other.unlock()
    other.last.touch()
    (other.path / ".results.json.0123456789ab.tmp").touch()
    lock = RunDirectory.lock

    def refuse(run: RunDirectory) -> bool:
        if run.path == other.path:
            raise UserError(".lock cannot be written: Permission denied")
        return lock(run)

    monkeypatch.setattr(RunDirectory, "lock", refuse)
    assert run_to_resume(cfg) is None
    assert caplog.messages == [f"{other.path} is not resumed: .lock cannot be written: Permission denied"]
    create_run(cfg).unlock()
    assert (other.path / ".results.json.0123456789ab.tmp").exists()
