"""longtail export."""

import importlib.util
from pathlib import Path

import pytest

from longtail.cli.export import FORMATS
from longtail.cli.main import main
from longtail.predicting import export
from tests.helpers.photos import Photos

Capture = pytest.CaptureFixture[str]


@pytest.mark.slow
def test_export_prints_the_largest_difference(photos: Photos, tmp_path: Path, capsys: Capture) -> None:
    words = ["export", str(photos.run.path), "--format", "torchscript", "--output", str(tmp_path)]
    assert main([*words, "TEST.LOGIT_ADJUSTMENT", "1.0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'model.pt'}: ")
    assert lines[1].startswith("largest difference of the logits from the network on 10 validation images: ")
    assert float(lines[1].rpartition(" ")[2]) < 1e-4


def test_export_formats_of_the_command_are_those_of_the_library() -> None:
    assert tuple(export.FORMATS) == FORMATS


@pytest.mark.slow
def test_export_refuses_an_unknown_format(photos: Photos, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as error:
        main(["export", str(photos.run.path), "--format", "caffe"])
    assert error.value.code == 2
    assert "invalid choice: 'caffe'" in capsys.readouterr().err


def test_export_names_the_extra_of_a_missing_package(
    photos: Photos, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if "onnx" in name else find(name, *rest))
    assert main(["export", str(photos.run.path), "--format", "onnx"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'longtail[onnx]'" in error and error.count("\n") == 1
