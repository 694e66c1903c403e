"""Run directories: never overwritten, found again, told apart."""

import json
import os

import pytest
from longtail.engine.run_directory import RunDirectory, check_writable, create_run, differing_keys, unfinished_run

from longtail.config import load_config
from longtail.engine import run_directory
from longtail.errors import UserError


@pytest.fixture
def cfg(tmp_path):
    return load_config(None, ["OUTPUT_DIR", str(tmp_path / "out"), "NAME", "name"])


def test_runs_of_the_same_second_get_folders_of_their_own(cfg, monkeypatch):
    class Frozen(run_directory.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 31, 12, 0, 0)

    monkeypatch.setattr(run_directory, "datetime", Frozen)
    names = [create_run(cfg).path.name for _ in range(3)]
    assert names == ["2026-01-31-12-00-00", "2026-01-31-12-00-00-2", "2026-01-31-12-00-00-3"]


def test_the_tree_is_written_whole(cfg):
    assert load_config(create_run(cfg).config) == cfg


def test_only_a_free_unfinished_run_with_a_checkpoint_goes_on(cfg):
    run = create_run(cfg)
    run.unlock()
    assert unfinished_run(cfg) is None  # no checkpoint yet
    run.last.touch()
    found = unfinished_run(cfg)
    assert found is not None and found.path == run.path
    assert unfinished_run(cfg) is None  # now locked
    found.unlock()
    run.write_json("results.json", {"epochs": 60, "last": {"epoch": 55}})
    again = unfinished_run(cfg)
    assert again is not None
    again.unlock()
    run.write_json("results.json", {"epochs": 60, "last": {"epoch": 60}})
    assert unfinished_run(cfg) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"epochs": 3, "last": null}'])
def test_a_damaged_result_is_not_a_finished_run(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    assert not RunDirectory(tmp_path).finished()


def test_only_keys_that_change_the_result_tell_runs_apart(cfg):
    run = create_run(cfg)
    same = load_config(run.config, ["TRAIN.NUM_WORKERS", 3, "SHOW_STEP", 7, "OUTPUT_DIR", "elsewhere"])
    assert differing_keys(same, run) == []
    other = load_config(run.config, ["TRAIN.OPTIMIZER.BASE_LR", 0.5, "TRAIN.AMP", "bf16"])
    assert differing_keys(other, run) == ["TRAIN.AMP", "TRAIN.OPTIMIZER.BASE_LR"]


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"OUTPUT_DIR .*file/deeper cannot be used: .*file is not a folder"):
        check_writable(load_config(None, ["OUTPUT_DIR", str(tmp_path / "file" / "deeper")]))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match="is not writable"):
        check_writable(load_config(None, ["OUTPUT_DIR", str(tmp_path / "out")]))
    tmp_path.chmod(0o755)


def test_records_of_a_killed_process_are_dropped(cfg):
    from longtail.engine.records import Records

    run = create_run(cfg)
    lines = [json.dumps({"epoch": epoch, "split": "train"}) for epoch in (1, 2, 3)]
    run.metrics.write_text("\n".join(lines) + '\n{"epoch": 4, "spl')
    records = Records(run, tensorboard=False, epoch=3)
    records.add({"epoch": 3, "split": "train", "top1": 0.5})
    assert [json.loads(line)["epoch"] for line in run.metrics.read_text().splitlines()] == [1, 2, 3]
