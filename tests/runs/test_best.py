"""The best checkpoints of a run that is resumed are those that its results name."""

import shutil
from pathlib import Path

import pytest

from longtail.checkpoint_file import read_checkpoint, save_checkpoint
from longtail.engine.interrupts import Interrupted
from longtail.output_folders import BEST, BEST_SINGLE
from longtail.runs.directory import RunDirectory, parent_of_runs
from tests.helpers.training import BATCHES, FinishedRun, TinyConfig, assert_same, read_json, stop_after, train, values

BETTER = ["TRAIN.OPTIMIZER.BASE_LR", 1e-12]  # no later epoch is better


def best_epochs(run: RunDirectory) -> tuple[int, int]:
    """Return the best epochs that results.json names, which must be those of the best checkpoints."""
    results = read_json(run.results)
    epochs = tuple(read_checkpoint(run.models / name)["epoch"] for name in (BEST, BEST_SINGLE))
    assert epochs == (results["best"]["epoch"], results["best_single"]["epoch"])
    return epochs


def own_copy(run: RunDirectory, tmp_path: Path) -> RunDirectory:
    """Return a copy of a run that a test may change."""
    return RunDirectory(Path(shutil.copytree(run.path, tmp_path / "copy")))


@pytest.mark.slow
def test_new_directory_has_the_best_checkpoints_of_the_run_it_continues(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    first = finished_run()
    longer = train(tiny_cfg("TRAIN.MAX_EPOCH", 4, *BETTER), str(first.path))
    assert best_epochs(longer) == best_epochs(first)
    for name in (BEST, BEST_SINGLE):
        assert (longer.models / name).read_bytes() == (first.models / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("lost", [BEST, BEST_SINGLE])
def test_best_epoch_whose_checkpoint_is_lost_is_forgotten(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path, lost: str
) -> None:
    first = own_copy(finished_run(), tmp_path)
    before = best_epochs(first)
    (first.models / lost).unlink()
    longer = train(tiny_cfg("TRAIN.MAX_EPOCH", 4, *BETTER), str(first.path))
    assert best_epochs(longer) == ((4, before[1]) if lost == BEST else (before[0], 4))
    assert f"{first.models / lost} is not that of epoch" in longer.log.read_text()


@pytest.mark.slow
def test_checkpoint_of_an_earlier_epoch_does_not_take_a_later_best(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path
) -> None:
    first = own_copy(finished_run("SAVE_STEP", 1), tmp_path)
    content = read_checkpoint(first.models / BEST)
    content.pop("version")
    save_checkpoint(first.models / BEST, {**content, "epoch": 3})
    best_epochs(train(tiny_cfg("SAVE_STEP", 1), str(first.models / "epoch_2.pth")))


@pytest.mark.slow
def test_checkpoint_of_the_last_epoch_gives_a_complete_run(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path
) -> None:
    first = own_copy(finished_run("SAVE_STEP", 1), tmp_path)
    (first.models / BEST).unlink()
    second = train(tiny_cfg("SAVE_STEP", 1), str(first.models / "epoch_3.pth"))
    assert second.path != first.path
    assert best_epochs(second)[0] == 3
    assert_same(read_checkpoint(second.last)["model"], read_checkpoint(first.last)["model"])


@pytest.mark.slow
def test_run_that_was_killed_between_its_best_and_its_newest_checkpoint(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:
        stop_after(2 * BATCHES + 1, patch)
        with pytest.raises(Interrupted):
            train(cfg)
    (path,) = parent_of_runs(cfg).glob(f"*/models/{BEST}")
    content = read_checkpoint(path)
    content.pop("version")
    save_checkpoint(path, {**content, "epoch": 3})
    resumed = train(cfg)
    assert resumed.models == path.parent
    assert best_epochs(resumed)[0] == 3
    assert_same(values(finished_run())[0]["model"], values(resumed)[0]["model"])
