"""What the tests of the converters share."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[3]
SPLITS = ROOT.parent / "shared" / "data" / "splits"


@pytest.fixture
def splits() -> Path:
    """Return the folder of the published split files."""
    if not SPLITS.is_dir():
        pytest.skip(f"{SPLITS} is not there: the published split files are not part of this project")
    return SPLITS


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a tool as from the command line, which must succeed; returns what it tells."""

    def run(tool: str, *arguments: object) -> str:
        code, out, err = call(tool, arguments, capsys)
        assert code == 0, err
        return out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a tool with a mistake in its input; returns the message, without `error: `."""

    def refused(tool: str, *arguments: object) -> str:
        code, out, err = call(tool, arguments, capsys)
        assert code == 2
        assert err.startswith("error: ") and "Traceback" not in err
        assert out == ""
        return err.removeprefix("error: ").rstrip("\n")

    return refused


def call(tool: str, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run tools/<tool>.py, which is in no package; returns exit code, standard output and standard error."""
    spec = importlib.util.spec_from_file_location(f"tools_{tool}", ROOT / "tools" / f"{tool}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    code = module.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture
def content() -> Callable[[Path], dict]:
    """Read an annotation file as plain JSON."""
    return lambda path: json.loads(Path(path).read_text())


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder per class with tiny images; returns the folder above them."""

    def write(name: str, counts: dict[str, int]) -> Path:
        for label, (folder, count) in enumerate(counts.items()):
            (tmp_path / name / folder).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((4, 4, 3), 10 * label + number, np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / folder / f"{number:03d}.png")
        return tmp_path / name

    return write
