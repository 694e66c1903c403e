"""The short run that compares the loaders: enlarging images, and the conclusion."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from short_runs.loaders import enlarge, verdict


def test_enlarge_writes_larger_copies(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"annotations": [{"fpath": str(tmp_path / "a.png"), "category_id": 0}]}))
    enlarge(file, side=96)
    entry = json.loads(file.read_text())["annotations"][0]
    assert entry["category_id"] == 0
    with Image.open(entry["fpath"]) as image:
        assert image.size == (96, 96)
        assert image.format == "JPEG"


def test_verdict_compares_with_the_spread_of_pillow() -> None:
    assert "+1.00 %, within one standard deviation (2.00 %)" in verdict([0.48, 0.5, 0.52], [0.5, 0.51, 0.52])
    assert "NOT within" in verdict([0.5, 0.5, 0.5], [0.5, 0.51, 0.52])
