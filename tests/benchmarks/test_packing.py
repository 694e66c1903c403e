"""The comparison of packed photographs runs at a tiny size, and measures what it packed."""

import re
from pathlib import Path

import packing
import pytest

from tests.helpers.photographs import jpeg, photograph


def test_packing_compares_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(photograph(seed=number)))
    assert packing.main([str(tmp_path), "--sides", "40", "--rounds", "1"]) == 0
    packed, whole, small = capsys.readouterr().out.splitlines()
    assert packed.startswith("side 40: packing ")
    sizes = [int(match[1]) for line in (whole, small) if (match := re.search(r"(\d+) KB", line))]
    assert sizes[1] < sizes[0]
    assert whole.endswith("ratio 1.00")


def test_packing_needs_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packing.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} holds no JPEG files\n"
