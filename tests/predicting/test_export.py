"""Export of a trained network."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import changed
from longtail.data.pack import Settings, pack
from longtail.errors import UserError
from longtail.models import build_model
from longtail.predicting.export import FORMATS, Ensemble, example_views, export, preprocessing
from longtail.predicting.trained import Trained, load_trained
from tests.helpers.photos import NAMES, Photos
from tests.helpers.scripts import ROOT
from tests.helpers.training import CPU

pytestmark = pytest.mark.slow

MISSING = {
    name: [need for need in form.needs if importlib.util.find_spec(need) is None] for name, form in FORMATS.items()
}
KINDS = [
    pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed"))
    for name, missing in MISSING.items()
]
ADJUSTED: list[Any] = ["TEST.LOGIT_ADJUSTMENT", 1.0, "TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.PRIOR", "reversed"]
ADJUSTED += ["TEST.TEMPERATURE", 1.7, "TEST.CLASS_OFFSETS", [0.0, 0.5, -0.25]]


def loaded(photos: Photos, *overrides: Any) -> Trained:
    return load_trained(changed(photos.cfg, *overrides), photos.run.path, place=CPU)


def photo_lists(photos: Photos, folder: Path) -> list[Any]:
    """Copy the images and their annotation files to a folder; return the keys that name the files."""
    shutil.copytree(photos.folder / "images", folder / "images")
    for split in ("train", "valid"):
        shutil.copy(photos.folder / f"{split}.json", folder)
    return ["DATASET.TRAIN_JSON", str(folder / "train.json"), "DATASET.VALID_JSON", str(folder / "valid.json")]


def run_file(kind: str, path: Path, trained: Trained, images: Tensor) -> Tensor:
    """Run an exported file as its users do."""
    if kind == "torchscript":
        logits: Tensor = torch.jit.load(str(path))(images)
        return logits
    if kind == "exported":
        return torch.export.load(path).module()(images)
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        return torch.from_numpy(session.run(None, {"images": images.contiguous().numpy()})[0])
    from safetensors.torch import load_file

    network = build_model(trained.cfg, 3)
    network.load_state_dict(load_file(path))
    return Ensemble(network, trained.members).eval()(images)


@pytest.mark.parametrize("overrides", [[], ADJUSTED], ids=["plain", "adjusted"])
@pytest.mark.parametrize("kind", KINDS)
def test_export_gives_the_logits_of_the_network(
    photos: Photos, tmp_path: Path, kind: str, overrides: list[Any]
) -> None:
    trained = loaded(photos, *overrides)
    made = export(trained, kind, tmp_path / "new" / "folder")
    assert made.difference < 1e-4
    assert made.images == "10 validation images"
    for batch in (1, 3):  # another number of images than in the export
        images = torch.randn(batch, 3, 32, 32)
        with torch.no_grad():
            found = run_file(kind, made.path, trained, images)
            assert torch.allclose(found, trained(images).logits.mean(0), atol=1e-4)


def test_export_writes_labels_and_preprocessing(photos: Photos, tmp_path: Path) -> None:
    made = export(loaded(photos), "torchscript", tmp_path)
    assert json.loads((tmp_path / "labels.json").read_text()) == NAMES
    content = json.loads((tmp_path / "preprocessing.json").read_text())
    assert (content["height"], content["width"], content["color"], content["transforms"]) == (32, 32, "RGB", [])
    assert content["mean"] == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-5)
    assert content["std"] == pytest.approx([0.2023, 0.1994, 0.2010], abs=1e-5)
    assert made.path == tmp_path / "model.pt"


def test_preprocessing_describes_the_input(photos: Photos) -> None:
    trained = loaded(photos)
    pixels = torch.randint(256, (3, 32, 32), dtype=torch.uint8)
    content = preprocessing(trained, size=(32, 32))
    mean, std = (torch.tensor(content[key])[:, None, None] for key in ("mean", "std"))
    wanted = trained.normalize(trained.view(pixels)[None, None])[0, 0]
    assert torch.allclose((pixels / 255 - mean) / std, wanted, atol=1e-4)
    resized = preprocessing(loaded(photos, "DATASET.TEST_VIEW", "transforms"), size=(224, 224))
    assert resized["transforms"] == [
        {"name": "shorter_resize_for_crop", "length": 256},
        {"name": "center_crop", "size": (224, 224)},
    ]
    names = ["v2.Resize(40)", "center_crop"]
    listed = loaded(photos, "DATASET.TEST_VIEW", "transforms", "TRANSFORMS.TEST_TRANSFORMS", names)
    described = preprocessing(listed, size=(224, 224))["transforms"]
    assert json.loads(json.dumps(described)) == [{"name": "v2.Resize(40)"}, {"name": "center_crop", "size": [224, 224]}]


def test_export_without_validation_images_compares_on_noise(photos: Photos, tmp_path: Path) -> None:
    absent = ["DATASET.VALID_JSON", "absent.json", "INPUT_SIZE", (32, 32)]
    assert export(loaded(photos, *absent), "torchscript", tmp_path).images == "10 images of noise"


def test_export_without_validation_images_takes_noise_of_the_size_of_the_views(photos: Photos, tmp_path: Path) -> None:
    resized = ["DATASET.TEST_VIEW", "transforms", "INPUT_SIZE", (32, 32), "TEST.TTA", "five_crops"]
    trained = loaded(photos, *resized, "DATASET.VALID_JSON", "absent.json")
    made = export(trained, "exported", tmp_path)
    content = json.loads((tmp_path / "preprocessing.json").read_text())
    assert made.images == "10 images of noise"
    assert content["transforms"][-1] == {"name": "center_crop", "size": [36, 36]}
    assert (content["height"], content["width"]) == (36, 36)
    images = torch.randn(2, 3, 36, 36)
    with torch.no_grad():
        found = run_file("exported", made.path, trained, images)
        assert torch.allclose(found, trained(images).logits.mean(0), atol=1e-4)


def test_listed_images_that_are_gone_are_replaced_by_noise(photos: Photos, tmp_path: Path) -> None:
    lists = photo_lists(photos, tmp_path)
    assert example_views(loaded(photos, *lists))[1] == "10 validation images"
    (tmp_path / "images" / "valid_0_3.png").unlink()
    assert example_views(loaded(photos, *lists))[1] == "9 validation images"
    shutil.rmtree(tmp_path / "images")
    views, where = example_views(loaded(photos, *lists, "INPUT_SIZE", (32, 32)))
    assert (where, tuple(views.shape)) == ("10 images of noise", (10, 3, 32, 32))


@pytest.mark.parametrize("kind", KINDS)
def test_export_with_one_validation_image_takes_any_number_of_images(photos: Photos, tmp_path: Path, kind: str) -> None:
    content = json.loads((photos.folder / "valid.json").read_text())
    first = {**content["annotations"][0], "fpath": photos.valid_paths()[0]}
    (tmp_path / "one.json").write_text(json.dumps({**content, "annotations": [first]}))
    trained = loaded(photos, "DATASET.VALID_JSON", str(tmp_path / "one.json"))
    made = export(trained, kind, tmp_path)
    assert made.images == "one validation image"
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(run_file(kind, made.path, trained, images), trained(images).logits.mean(0), atol=1e-4)


def test_packed_images_are_compared_without_the_original_files(photos: Photos, tmp_path: Path) -> None:
    original = changed(photos.cfg, *photo_lists(photos, tmp_path / "photos"))
    files = pack(original, tmp_path / "packed", Settings(32, format="uint8"))
    shutil.rmtree(tmp_path / "photos")
    packed = ["DATASET.TRAIN_JSON", str(files["train"]), "DATASET.VALID_JSON", str(files["valid"])]
    views, where = example_views(loaded(photos, *packed))
    assert where == "10 validation images"
    assert torch.equal(views, example_views(loaded(photos))[0])


def test_export_refuses_corrections_that_weights_cannot_hold(photos: Photos, tmp_path: Path) -> None:
    trained = loaded(photos, "TEST.LOGIT_ADJUSTMENT", 1.0)
    for head in trained.network.network.heads:  # type: ignore[union-attr]
        head.bias = None
    with pytest.raises(UserError, match="no bias"):
        export(trained, "safetensors", tmp_path)


def test_export_refuses_a_missing_package(photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed: pip install 'longtail\[onnx\]'"):
        export(loaded(photos), "onnx", tmp_path)


def test_export_reports_a_network_that_cannot_be_exported_in_one_line(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("data dependent\nbranch")

    monkeypatch.setattr(torch.jit, "trace", fail)
    with pytest.raises(UserError, match="cannot be exported as torchscript: RuntimeError: data dependent branch"):
        export(loaded(photos), "torchscript", tmp_path)


def test_export_refuses_a_file_that_differs(photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pt").write_bytes(b"an earlier export")
    wrong = FORMATS["torchscript"]._replace(load=lambda *args: lambda images: torch.zeros(len(images), 3) + 9)
    monkeypatch.setitem(FORMATS, "torchscript", wrong)
    with pytest.raises(UserError, match="is not written: --format torchscript differs from the network"):
        export(loaded(photos), "torchscript", tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"an earlier export"]


@pytest.mark.parametrize("kind", KINDS)
def test_export_to_a_full_disk_keeps_the_existing_file(photos: Photos, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"model{FORMATS[kind].suffix}"
    path.write_bytes(b"an earlier export")
    program = """
import resource, sys
from longtail.cli.main import main
import tests.helpers.training  # the network of the run

resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
sys.exit(main(sys.argv[1:]))
"""
    words = ["export", str(photos.run.path), "--format", kind, "--output", str(tmp_path)]
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (2, f"error: file {path} cannot be written: File too large\n")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"an earlier export"]


@pytest.mark.skipif(bool(MISSING["onnx"]), reason="onnx is not installed")
def test_export_refuses_weights_that_onnx_cannot_hold(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtail.predicting.export.ONNX_BYTES", 1000)
    with pytest.raises(UserError, match=r"--format onnx holds at most 1e-06 GB, and the weights have .* GB"):
        export(loaded(photos), "onnx", tmp_path)
