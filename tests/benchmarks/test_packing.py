"""The comparison of packed photographs runs at a tiny size, and measures the packed files."""

import re
from pathlib import Path

import packing
import pytest

from tests.helpers.photographs import jpeg, photograph


@pytest.mark.slow
def test_packing_compares_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(photograph(seed=number)))
    assert packing.main([str(tmp_path), "--sides", "70", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    baseline, whole, jpeg_70, uint8_70 = (line for line in lines if "later" in line)
    sizes = [int(match[1]) for line in (whole, jpeg_70, uint8_70) if (match := re.search(r"(\d+) KB", line))]
    assert sizes == [sizes[0], min(sizes), 20]  # 70 x 93 pixels of three bytes
    assert "ratio 1.00 (1.00 to 1.00)" in baseline
    assert [line.split(":")[0] for line in lines if line.startswith("packing")] == [
        "packing jpeg 70",
        "packing uint8 70",
    ]


def test_packing_needs_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packing.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} contains no JPEG files\n"
