"""Bad images of all processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.data.images.bad_images import BadImages
from longtail.engine.bad_images import share_bad_images
from longtail.stages.evaluate import validate
from tests.helpers.processes import run_processes
from tests.helpers.training import TinyConfig, read_json, train
from tests.helpers.worlds import place_in


def shared(rank: int, world: int) -> list[str]:
    share_bad_images(None)
    bad = BadImages(10)
    bad.merge(["same.png", f"{rank}.png"])
    share_bad_images(bad)
    return sorted(bad.files)


@pytest.mark.slow
def test_every_process_knows_the_bad_images_of_all(tmp_path: Path) -> None:
    assert run_processes(shared, tmp_path, worlds=[1, 2]) == {
        1: [["0.png", "same.png"]],
        2: [["0.png", "1.png", "same.png"]] * 2,
    }


@pytest.mark.slow
def test_evaluation_reports_the_bad_images_of_all_processes(
    tiny_cfg: TinyConfig, tmp_path: Path, image_folder: Callable[..., str]
) -> None:
    lists = [image_folder(name, [0, 1] * 4, 2, ((96, 96),)) for name in ("train", "valid")]  # not read at the start
    keys: list[Any] = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", lists[0], "DATASET.VALID_JSON", lists[1]]
    cfg = tiny_cfg(*keys, "DATASET.ON_BAD_IMAGE", "skip", "TRAIN.BATCH_SIZE", 4, "TRAIN.MAX_EPOCH", 1, "VALID_STEP", 1)
    run = train(cfg)
    bad = tmp_path / "valid" / "3.png"  # of process 1
    bad.write_bytes(b"")
    (tmp_path / "results").mkdir()
    folders = run_processes(
        lambda rank, world: str(validate(cfg, run.path, place=place_in(rank, world))), tmp_path / "results", worlds=[2]
    )
    content = read_json(Path(folders[2][0]) / "results.json")
    assert content["bad_images"] == {"count": 1, "files": [str(bad)]}
