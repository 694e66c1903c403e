"""Finding the image files below a folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data.images.folders import ImageWalk
from longtail.errors import UserError


def test_image_walk_takes_images_below_a_folder_once(tmp_path: Path) -> None:
    for name in ("b.png", "sub/a.png", ".hidden/c.png", "@eaDir/d.png", ".e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "b.png").rename(tmp_path / "without_suffix")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "sub" / "first").symlink_to(tmp_path)
    (tmp_path / "sub" / "second").symlink_to(tmp_path)
    for name in ("run/config.yaml", "run/inputs.json", "run/figures/curves.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    walk = ImageWalk(tmp_path)
    assert walk.images() == [str(tmp_path / name) for name in ("sub/a.png", "without_suffix")]
    assert walk.left_out == {
        "hidden or service folder": 2,
        "hidden file": 1,
        "run directory or other output": 1,
        ".txt": 1,
        "link to a folder that was already visited": 2,
    }


@pytest.mark.parametrize("name", [b"\xff.png", b"\xff/a.png"])
def test_image_walk_refuses_names_that_are_not_utf_8(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(UserError, match=r"^image .*udcff.*: its name is not UTF-8; rename it$"):
        ImageWalk(tmp_path).images()
