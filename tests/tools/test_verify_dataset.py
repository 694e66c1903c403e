"""Tests of tools/verify_dataset.py: report, JSON file and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.helpers.scripts import load_script

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs tools/verify_dataset.py: exit code, standard output and standard error."""
    module = load_script("tools/verify_dataset.py")

    def call(*arguments: Any) -> Any:
        code = module.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def splits(image_folder: Callable[..., str]) -> Any:
    return image_folder("train", [0, 0, 1], 2), image_folder("valid", [0, 1], 2)


def test_verify_dataset_without_faults(command: Any, splits: Any, tmp_path: Path) -> None:
    code, out, err = command(*splits, "--json", tmp_path / "report.json")
    assert (code, err) == (0, "")
    assert f"{splits[0]}: 3 images in 2 classes\n  images of a class: 2 to 1, imbalance 2 (2 few)\n" in out
    assert out.endswith("no errors in 5 images\n")
    assert json.loads((tmp_path / "report.json").read_text())["good"] is True


def test_verify_dataset_with_faults(command: Any, splits: Any, tmp_path: Path) -> None:
    (tmp_path / "valid" / "1.png").unlink()
    code, out, err = command(*splits, "--workers", 1, "--json", tmp_path / "report.json")
    assert (code, err) == (1, "")
    assert f"missing files: 1\n  {splits[1]} 1: valid/1.png does not exist\n" in out
    assert json.loads((tmp_path / "report.json").read_text())["found"]["missing"][0]["path"] == "valid/1.png"


def write_class_folders(root: Path) -> None:
    """Write two different images of each of two classes."""
    for label, name in enumerate(("ant", "bee")):
        (root / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (100 * label, number, len(str(root)))).save(root / name / f"{number}.png")


def test_verify_dataset_of_a_folder_of_classes(command: Any, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    write_class_folders(root)
    code, out, _ = command(root)
    assert code == 0
    assert f"{root} train: 4 images in 2 classes" in out
    assert "ant 2  bee 2" in out
    (root / "bee" / "2.png").write_bytes((root / "ant" / "0.png").read_bytes())
    (root / "bee" / "3.png").write_bytes(b"not an image")
    code, out, _ = command(root)
    assert code == 1
    assert f"  {root} train 4: bee/2.png has the same bytes as 0 (ant/0.png), there of class 0 instead of 1\n" in out
    assert f"{root} train 5: bee/3.png" in out


def test_verify_dataset_refuses_a_root_of_own_images(command: Any, tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos")
    code, out, err = command(tmp_path / "photos", "--root", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: --root {tmp_path} is for annotation files; {tmp_path / 'photos'} is")


def test_verify_dataset_finds_leaks_between_folders_of_splits(command: Any, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_class_folders(tmp_path / "photos" / split)
    code, out, _ = command(tmp_path / "photos")
    assert code == 1
    assert "images also listed in another split: 4" in out


def test_verify_dataset_refuses_folders_that_look_like_splits(command: Any, tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write_class_folders(tmp_path / "photos" / split)
    code, out, err = command(tmp_path / "photos")
    assert (code, out) == (2, "")
    assert "same subfolders, as splits have: dev, train with ant, bee; splits are named train, val and test" in err


def test_verify_dataset_skips_run_directories(command: Any, tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos")
    run = tmp_path / "photos" / "output" / "photos" / "2026-01-31-12-00-00"
    write_class_folders(run)
    for name in ("config.yaml", "inputs.json"):
        (run / name).touch()
    code, out, _ = command(tmp_path / "photos")
    assert code == 0 and "4 images in 2 classes" in out


def test_verify_dataset_of_a_list(command: Any, tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos")
    (tmp_path / "images.csv").write_text("path,label,split\nphotos/ant/0.png,a,train\nphotos/bee/0.png,b,valid\n")
    code, out, err = command(tmp_path / "images.csv")
    assert (code, out) == (2, "")
    assert "b" in err
    (tmp_path / "images.csv").write_text("path,label\nphotos/ant/0.png,a\nphotos/bee/0.png,b\n")
    code, out, _ = command(tmp_path / "images.csv")
    assert code == 0
    assert "images.csv train: 2 images in 2 classes" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "annotation file nowhere.json does not exist"),
        (["{train}", "--workers", "-1"], "--workers is -1; it must be at least 0"),
        (["{train}", "--root", "nowhere"], "--root nowhere is not a folder"),
        (
            ["{train}", "--json", "nowhere/report.json"],
            "--json nowhere/report.json is a folder, or its folder does not",
        ),
    ],
)
def test_verify_dataset_user_errors(command: Any, splits: Any, arguments: Any, message: Any) -> None:
    code, out, err = command(*[argument.format(train=splits[0]) for argument in arguments])
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["a.json", "--workers", "many"], ["a.json", "--nonsense"]])
def test_verify_dataset_invalid_usage(command: Any, arguments: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        command(*arguments)
    assert ended.value.code == 2
