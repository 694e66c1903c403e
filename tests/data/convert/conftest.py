"""Fixtures of the converter tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.scripts import load_script

ROOT = Path(__file__).parents[3]
SPLITS = ROOT.parent / "shared" / "data" / "splits"


@pytest.fixture
def splits() -> Path:
    """Return the folder of the published split files."""
    if not SPLITS.is_dir():
        pytest.skip(f"{SPLITS} does not exist: the published split files are not part of this project")
    return SPLITS


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a tool that must succeed; return its output."""

    def run(tool: str, *arguments: object) -> str:
        code, out, err = call(tool, arguments, capsys)
        assert code == 0, err
        return out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a tool that must fail with a user error; return the message without `error: `."""

    def refused(tool: str, *arguments: object) -> str:
        code, out, err = call(tool, arguments, capsys)
        assert code == 2
        assert err.startswith("error: ") and "Traceback" not in err
        assert out == ""
        return err.removeprefix("error: ").rstrip("\n")

    return refused


def call(tool: str, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run tools/<tool>.py; return exit code, standard output and standard error."""
    code = load_script(f"tools/{tool}.py").main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture
def content() -> Callable[[Path], dict[str, Any]]:
    """Return a function that reads an annotation file as plain JSON."""
    return lambda path: json.loads(Path(path).read_text())


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes class folders with tiny images and returns the folder above."""

    def write(name: str, counts: dict[str, int]) -> Path:
        for label, (folder, count) in enumerate(counts.items()):
            (tmp_path / name / folder).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((4, 4, 3), 10 * label + number, np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / folder / f"{number:03d}.png")
        return tmp_path / name

    return write
