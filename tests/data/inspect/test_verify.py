"""Tests that the verification reports all kinds of errors, which are planted in real images."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from longtail.data.inspect.verify import KINDS, as_json, verify
from longtail.data.inspect.verify_text import as_text
from longtail.errors import UserError


@pytest.fixture
def digits(tmp_path: Path) -> Any:
    """Write 40 handwritten digits (8x8, JPEG) of four classes: 24 training and 16 validation images."""
    data = load_digits(n_class=4)
    files = {}
    for split, first, last in (("train", 0, 24), ("valid", 24, 40)):
        (tmp_path / split).mkdir()
        entries = []
        for number in range(first, last):
            gray = Image.fromarray((data.images[number] * 15.9).astype(np.uint8))
            gray.resize((24, 24)).save(tmp_path / split / f"{number}.jpg", quality=95)
            label = int(data.target[number])
            size = {"im_height": 24, "im_width": 24}
            entries.append({"image_id": number, "fpath": f"{split}/{number}.jpg", "category_id": label, **size})
        files[split] = tmp_path / f"{split}.json"
        files[split].write_text(json.dumps({"annotations": entries, "num_classes": 4}))
    return files


def change(file: Path, edit: Any) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def run(digits: Any, workers: Any = 0) -> Any:
    report = verify([str(digits["train"]), str(digits["valid"])], workers=workers)
    return report, [(f.kind, Path(f.split).name, f.index, f.path, f.detail) for f in report.findings]


def image(digits: Any, number: Any) -> Any:
    split = "train" if number < 24 else "valid"
    return digits["train"].parent / split / f"{number}.jpg"


def false_jpeg_height(path: Any) -> None:
    """Set four times the height in the frame header of a JPEG file."""
    content = bytearray(path.read_bytes())
    offset = content.index(b"\xff\xc0") + 5
    content[offset : offset + 2] = (96).to_bytes(2, "big")
    path.write_bytes(bytes(content))


def false_png_width(path: Any) -> None:
    """Write a PNG file with a false width in its header, which contradicts its checksum."""
    Image.new("RGB", (24, 24)).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[19] += 8
    path.write_bytes(bytes(content))


def test_verify_valid_data_set(digits: Any) -> None:
    report, findings = run(digits)
    assert findings == []
    train, valid = report.splits
    assert (sum(train.counts), sum(valid.counts)) == (24, 16)
    assert train.sizes == {(24, 24): 24}
    assert as_text(report).splitlines()[-1] == "no errors in 40 images"


PER_FILE: dict[str, tuple[Any, str]] = {
    "missing": (Path.unlink, "does not exist"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    "empty": (lambda path: path.write_bytes(b""), "has no bytes"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-60]), "cannot be read: "),
    "text": (
        lambda path: path.write_text("<html>not found</html>"),
        "it is not an image of a known format (JPEG, PNG, ",
    ),
    "zeros": (lambda path: path.write_bytes(bytes(700)), "it is not an image of a known format (JPEG, PNG, "),
    "size": (false_jpeg_height, "is 96x24, its annotation says 24x24"),  # the decoder fills the rest with gray
    "header": (false_png_width, "cannot be read: "),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", PER_FILE)
@pytest.mark.parametrize("workers", [0, 1])
def test_verify_damaged_file(digits: Any, damage: Any, workers: Any) -> None:
    act, expected = PER_FILE[damage]
    act(image(digits, 7))
    _, findings = run(digits, workers)
    ((kind, split, index, path, detail),) = findings
    assert kind == (damage if damage in KINDS else "damaged")
    assert (split, index, path) == ("train.json", 7, "train/7.jpg")
    assert expected in detail and "\n" not in detail


def test_verify_image_over_pixel_limit(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (60, 50)).save(image(digits, 30))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 24)
    _, findings = run(digits)
    assert [(f[0], f[2]) for f in findings] == [("damaged", 6)]
    assert "it has 50 x 60 pixels; allowed: at most 1,152 pixels" in findings[0][4]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_verify_no_permission(digits: Any) -> None:
    image(digits, 3).chmod(0)
    _, findings = run(digits)
    assert findings == [("no permission", "train.json", 3, "train/3.jpg", "cannot be opened: no permission")]


def test_verify_duplicate(digits: Any) -> None:
    shutil.copy(image(digits, 2), image(digits, 10))  # both show the digit 2
    _, findings = run(digits)
    assert findings == [("duplicate", "train.json", 10, "train/10.jpg", "has the same bytes as 2 (train/2.jpg)")]


def test_verify_duplicate_pixels_in_another_format(digits: Any) -> None:
    Image.open(image(digits, 2)).save(image(digits, 10), "PNG")
    _, findings = run(digits)
    assert [f[4] for f in findings] == ["has the same pixels as 2 (train/2.jpg)"]


def test_verify_duplicate_of_another_class(digits: Any) -> None:
    shutil.copy(image(digits, 2), image(digits, 11))
    _, findings = run(digits)
    assert findings[0][4] == "has the same bytes as 2 (train/2.jpg), there of class 2 instead of 3"


def test_verify_duplicate_path(digits: Any) -> None:
    change(digits["train"], lambda content: content["annotations"].append(content["annotations"][5]))
    _, findings = run(digits)
    assert findings == [("duplicate", "train.json", 24, "train/5.jpg", "is the same file as 5 (train/5.jpg)")]


def test_verify_leak(digits: Any) -> None:
    shutil.copy(image(digits, 1), image(digits, 29))
    _, findings = run(digits)
    expected = f"has the same bytes as {digits['train']} 1 (train/1.jpg)"
    assert findings == [("leak", "valid.json", 5, "valid/29.jpg", expected)]


def test_verify_leak_and_duplicate(digits: Any) -> None:
    for number in (29, 35):
        shutil.copy(image(digits, 1), image(digits, number))
    _, findings = run(digits)
    assert [(f[0], f[2]) for f in findings] == [("leak", 5), ("duplicate", 11), ("leak", 11)]


@pytest.mark.parametrize("label", [4, -1, "1", None, 1.0, True])
def test_verify_label_out_of_range(digits: Any, label: Any) -> None:
    change(digits["train"], lambda content: content["annotations"][9].update(category_id=label))
    report, findings = run(digits)
    assert findings == [("label", "train.json", 9, "train/9.jpg", f"has category_id {label!r}; allowed: 0 to 3")]
    assert sum(report.splits[0].counts) == 23


def test_verify_class_without_images(digits: Any) -> None:
    for file in digits.values():
        change(file, lambda content: content.update(num_classes=5))
    _, findings = run(digits)
    assert [f[:3] for f in findings] == [("class", "train.json", 4), ("class", "valid.json", 4)]


def test_verify_different_numbers_of_classes(digits: Any) -> None:
    change(digits["train"], lambda content: content.update(num_classes=5))
    _, findings = run(digits)
    assert ("classes", "valid.json", -1, "", f"has 4 classes, {digits['train']} has 5") in findings


def test_verify_size_differs_from_annotation(digits: Any) -> None:
    change(digits["train"], lambda content: content["annotations"][9].update(im_width=32))
    _, findings = run(digits)
    assert findings == [("size", "train.json", 9, "train/9.jpg", "is 24x24, its annotation says 24x32")]


@pytest.mark.parametrize("entry", [None, [], {}, {"fpath": ""}, {"fpath": 3, "category_id": 0}])
def test_verify_malformed_annotation(digits: Any, entry: Any) -> None:
    change(digits["train"], lambda content: content["annotations"].append(entry))
    report, findings = run(digits)
    assert [f[:3] for f in findings] == [("annotation", "train.json", 24)]
    assert len(report.splits[0].entries) == 24


@pytest.mark.slow
def test_verify_all_faults_at_once(digits: Any) -> None:
    image(digits, 0).unlink()
    image(digits, 4).write_bytes(b"")
    false_png_width(image(digits, 8))
    shutil.copy(image(digits, 3), image(digits, 15))
    shutil.copy(image(digits, 1), image(digits, 29))
    change(digits["train"], lambda content: content["annotations"][9].update(category_id=7))
    report, findings = run(digits, workers=1)
    kinds = ["label", "missing", "empty", "damaged", "duplicate", "leak"]
    assert [f[0] for f in findings] == kinds
    written = as_json(report)
    assert (written["good"], written["errors"], list(written["found"])) == (False, 6, kinds)
    assert written["found"]["empty"] == [
        {"split": str(digits["train"]), "index": 4, "path": "train/4.jpg", "detail": "has no bytes"}
    ]
    assert json.loads(json.dumps(written)) == written
    text = as_text(report)
    assert "empty files: 1\n" in text and f"{digits['train']} 4: train/4.jpg has no bytes\n" in text
    assert text.endswith("6 errors of 6 kinds in 40 images")


def test_as_text_shows_ten_faults_of_a_kind(digits: Any) -> None:
    for number in range(13):
        image(digits, number).unlink()
    report, _ = run(digits)
    assert as_text(report).count("does not exist") == 10
    assert "  ... and 3 more\n" in as_text(report)
    assert len(as_json(report)["found"]["missing"]) == 13


def test_report_sizes(digits: Any) -> None:
    Image.new("L", (50, 20)).save(image(digits, 5))
    change(digits["train"], lambda content: [entry.pop("im_width") for entry in content["annotations"]])
    report, findings = run(digits)
    assert findings == []
    split = as_json(report)["splits"][0]
    assert split["sizes"] == [{"height": 24, "width": 24, "images": 23}, {"height": 20, "width": 50, "images": 1}]
    assert split["smallest"] == {"height": 24, "width": 24, "index": 0, "path": "train/0.jpg"}
    assert split["largest"] == {"height": 20, "width": 50, "index": 5, "path": "train/5.jpg"}
    assert split["class_counts"] == report.splits[0].counts
    assert split["shot_groups"] == {"many": 0, "medium": 0, "few": 4}
    assert "smallest 24x24 (0, train/0.jpg), largest 20x50 (5, train/5.jpg)" in as_text(report)


def test_verify_root(digits: Any, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    moved = digits["train"].rename(tmp_path / "lists" / "train.json")
    assert len(verify([str(moved)]).findings) == 24
    assert verify([str(moved)], root=str(tmp_path)).findings == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; it must hold JSON"),
        ("{", "line 1 column 2: "),
        ("[]", 'must hold {"annotations"'),
        ('{"annotations": {}, "num_classes": 2}', 'must hold {"annotations"'),
        ('{"annotations": [{}], "num_classes": 0}', "C from 1"),
        ('{"annotations": [], "num_classes": 2}', "lists no images"),
    ],
)
def test_verify_invalid_annotation_file(tmp_path: Path, content: Any, message: Any) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError) as error:
        verify([str(tmp_path / "a.json")])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_verify_missing_annotation_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json does not exist$"):
        verify([str(tmp_path / "a.json")])
