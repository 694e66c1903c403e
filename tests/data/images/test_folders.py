"""Finding the image files below a folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from longtail.data.images.folders import ImageWalk


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
