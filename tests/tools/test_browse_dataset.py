"""Tests of tools/browse_dataset.py."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.helpers.scripts import load_script

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs tools/browse_dataset.py on Digits-LT: exit code, output and errors."""
    module = load_script("tools/browse_dataset.py")

    def call(*arguments: Any) -> Any:
        code = module.main(["--cfg", "digits_lt,ncl", "--samples", "1", *[str(argument) for argument in arguments]])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.slow
def test_browse_dataset_seed(command: Any, tmp_path: Path) -> None:
    pictures = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / f"{name}.png"
        code, out, err = command("--output", path, "RAND_SEED", seed)
        assert (code, out, err) == (0, f"{path}: 3 images, each with 1 view\n", "")
        pictures[name] = path.read_bytes()
    assert pictures["a"] == pictures["b"] != pictures["c"]
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 500


@pytest.mark.slow
def test_browse_dataset_default_output(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("NAME", "mine")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


@pytest.mark.slow
def test_browse_dataset_of_a_folder_of_images(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (40, 30), (number, 100, 0)).save(tmp_path / "photos" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    code, out, err = command("--cfg", "photos")  # the last --cfg counts
    assert (code, err) == (0, "")
    assert out.startswith("photos.png: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "0"], "--samples is 0; allowed: 1 to 64"),
        (["--output", "nowhere/a.png"], "--output nowhere/a.png must be a .png file in a folder that exists"),
        (["--output", "a.jpg"], "--output a.jpg must be a .png file in a folder that exists"),
        (["DATASET.VIEWS", "['corp']"], "unknown augmentation policy 'corp'"),
        (["TRAIN.BATCH_SIZE", "1000"], "digits_lt train has 276 images, fewer than one step needs"),
    ],
)
def test_browse_dataset_user_errors(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, message: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = command(*arguments)
    assert code == 2
    assert err.startswith(f"error: {message}") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
