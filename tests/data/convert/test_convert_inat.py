"""Tests of the converter of iNaturalist's COCO-style files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.data.annotations import read_annotations
from longtail.data.convert.published import compare
from longtail.data.convert.summary import describe


@pytest.fixture
def coco() -> Any:
    """Return three images of two classes, with images and annotations in different orders."""
    return {
        "images": [
            {"id": 7, "file_name": "train_val2018/Aves/1/a.jpg", "height": 600, "width": 800},
            {"id": 3, "file_name": "train_val2018/Fungi/0/b.jpg", "height": 500, "width": 400},
            {"id": 5, "file_name": "train_val2018/Aves/1/c.jpg", "height": 10, "width": 20},
        ],
        "annotations": [
            {"id": 0, "image_id": 3, "category_id": 0},
            {"id": 1, "image_id": 5, "category_id": 1},
            {"id": 2, "image_id": 7, "category_id": 1},
        ],
        "categories": [{"id": 1, "name": "Aves sp."}, {"id": 0, "name": "Fungi sp."}],
    }


@pytest.fixture
def arguments(tmp_path: Path) -> Any:
    """Return the arguments for a file with this content."""

    def arguments(content: Any, *options: Any) -> Any:
        source = tmp_path / "train2018.json"
        source.write_text(content if isinstance(content, str) else json.dumps(content))
        output = tmp_path / "out" / "train.json"
        return (
            "--input_json_file",
            source,
            "--image_path",
            "/data",
            "--output_json_file",
            output,
            "--no-check",
            *options,
        )

    return arguments


def test_convert_inat(run: Any, content: Any, coco: Any, arguments: Any, tmp_path: Path) -> None:
    output = run("convert_from_iNat", *arguments(coco))
    assert content(tmp_path / "out/train.json") == {
        "version": 1,
        "num_classes": 2,
        "classes": ["Fungi sp.", "Aves sp."],
        "annotations": [
            {"image_id": 0, "fpath": f"/data/{coco['images'][0]['file_name']}", "im_height": 600, "im_width": 800,
             "category_id": 1},
            {"image_id": 1, "fpath": f"/data/{coco['images'][1]['file_name']}", "im_height": 500, "im_width": 400,
             "category_id": 0},
            {"image_id": 2, "fpath": f"/data/{coco['images'][2]['file_name']}", "im_height": 10, "im_width": 20,
             "category_id": 1},
        ],
    }  # fmt: skip
    assert "3 images, 2 classes, 2 to 1 images per class, imbalance factor 2, 0 many / 0 medium / 2 few-shot" in output
    assert "WARNING" not in output  # no published iNaturalist has two classes


def test_convert_inat_numbers_categories_from_0(
    run: Any, content: Any, coco: Any, arguments: Any, tmp_path: Path
) -> None:
    coco["categories"] = [{"id": 100, "name": "Aves sp."}, {"id": 9, "name": "Fungi sp."}]
    for annotation in coco["annotations"]:
        annotation["category_id"] = 100 if annotation["category_id"] == 1 else 9
    output = run("convert_from_iNat", *arguments(coco))
    written = content(tmp_path / "out/train.json")
    assert [entry["category_id"] for entry in written["annotations"]] == [1, 0, 1]
    assert written["classes"] == ["Fungi sp.", "Aves sp."]
    table = (tmp_path / "out/train_labels.csv").read_text().splitlines()
    assert table == ["category_id,source_label,name,images", "0,9,Fungi sp.,1", "1,100,Aves sp.,2"]
    assert "train_labels.csv: the 2 labels of the source are numbered from 0" in output


@pytest.mark.parametrize("height", [-3, 10**400, "8"])
def test_convert_inat_leaves_out_impossible_sizes(
    run: Any, content: Any, coco: Any, arguments: Any, tmp_path: Path, height: Any
) -> None:
    coco["images"][1]["height"] = height
    run("convert_from_iNat", *arguments(coco))
    assert "im_height" not in content(tmp_path / "out/train.json")["annotations"][0]


def test_convert_inat_without_sizes_and_names(
    run: Any, content: Any, coco: Any, arguments: Any, tmp_path: Path
) -> None:
    del coco["images"][1]["width"], coco["categories"][0]["name"]
    run("convert_from_iNat", *arguments(coco))
    written = content(tmp_path / "out/train.json")
    assert "classes" not in written and "im_height" not in written["annotations"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda coco: coco.pop("annotations"), "has no annotations; a file of training or validation images is needed"),
        (lambda coco: coco.update(images=[], categories=None), "has no images and no categories"),
        (
            lambda coco: coco["images"][0].pop("file_name"),
            ": images[0] has no file_name; this is not a COCO-style file",
        ),
        (
            lambda coco: coco["images"][0].update(id=[1]),
            ": images[0] has id '[1]'; it must be a whole number or a string",
        ),
        (lambda coco: coco["categories"][0].update(id="1"), ": categories[0] has id '1'; it must be a whole number"),
        (lambda coco: coco["categories"][0].update(id=0), ": several categories have the same id"),
        (
            lambda coco: coco["annotations"].pop(1),
            "image 5 (train_val2018/Aves/1/c.jpg) has 0 annotations; it must have one",
        ),
        (
            lambda coco: coco["annotations"].append(coco["annotations"][0]),
            "image 3 (train_val2018/Fungi/0/b.jpg) has 2 annotations; it must have one",
        ),
        (
            lambda coco: coco["annotations"][0].update(category_id=2),
            "image 3 (train_val2018/Fungi/0/b.jpg) has category_id 2, which is not among the categories",
        ),
        (
            lambda coco: coco["images"][1].update(file_name=3),
            ": images[1] has file_name '3'; it must be a string",
        ),
        (
            lambda coco: coco["annotations"].append({"image_id": 99, "category_id": 0}),
            "annotated image 99 is not among the images",
        ),
    ],
)
def test_convert_inat_invalid_file(
    refused: Any, coco: Any, arguments: Any, tmp_path: Path, change: Any, message: Any
) -> None:
    change(coco)
    error = refused("convert_from_iNat", *arguments(coco))
    assert error.startswith(f"{tmp_path}/train2018.json") and message in error and "\n" not in error
    assert not (tmp_path / "out").exists()


def test_convert_inat_several_faults(refused: Any, coco: Any, arguments: Any, tmp_path: Path) -> None:
    coco["images"][1]["id"] = 7
    assert refused("convert_from_iNat", *arguments(coco)).splitlines() == [
        f"{tmp_path}/train2018.json: 3 errors:",
        "  annotated image 3 is not among the images",
        "  image 7 is listed 2 times",
        "  image 7 is listed 2 times",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "line 1 column 13: Expecting value; it must"),
        ("[]", "must hold an object with images"),
    ],
)
def test_convert_inat_invalid_json(refused: Any, arguments: Any, text: Any, message: Any) -> None:
    assert message in refused("convert_from_iNat", *arguments(text))


def test_convert_inat_missing_files(refused: Any, coco: Any, arguments: Any, tmp_path: Path) -> None:
    error = refused("convert_from_iNat", *arguments(coco)[:-1])
    assert "3 of 3 images do not exist" in error
    given = arguments(coco)
    (tmp_path / "train2018.json").unlink()
    assert refused("convert_from_iNat", *given) == f"annotation file {tmp_path}/train2018.json does not exist"


@pytest.mark.parametrize("existing", ["file", "folder"])
def test_convert_inat_existing_output(
    run: Any, refused: Any, coco: Any, arguments: Any, tmp_path: Path, existing: Any
) -> None:
    output = tmp_path / "out" / "train.json"
    output.parent.mkdir()
    if existing == "folder":
        output.mkdir()
        error = refused("convert_from_iNat", *arguments(coco, "--force"))
        assert error == f"{output} is a folder; the name of a JSON file is needed"
    else:
        output.touch()
        assert refused("convert_from_iNat", *arguments(coco)) == f"{output} exists; --force replaces it"
        run("convert_from_iNat", *arguments(coco, "--force"))
        assert read_annotations(output).labels == [1, 0, 1]


# ------------------------------------------------------------------ the published numbers


@pytest.mark.slow
def test_convert_inat_published_validation_list(run: Any, splits: Any, tmp_path: Path) -> None:
    source, output = splits / "iNaturalist18_val.txt", tmp_path / "valid.json"
    arguments = ("--image_path", "/data", "--output_json_file", output, "--no-check")
    log = run("convert_from_iNat", "--input_json_file", source, *arguments)
    assert "24,426 images, 8,142 classes, 3 images per class (balanced)" in log
    assert "the numbers are those published for iNaturalist 2018 val" in log
    assert read_annotations(output).paths[0].startswith("/data/train_val2018/Plantae/7291/")


def test_compare_inat_2018_train(splits: Any) -> None:
    shots = np.load(splits / "iNaturalist18_num_shots.npz")["num_per_class"].astype(int).tolist()
    assert describe(shots).startswith(
        "437,513 images, 8,142 classes, 1,000 to 2 images per class, imbalance factor 500, 845 many / "
    )
    names = [f"iNaturalist 2018 {split}" for split in ("train", "val")]
    assert compare(shots, names) == ("iNaturalist 2018 train", "")
    shots[0] -= 1
    name, difference = compare(shots, names)
    assert name is None
    assert difference.startswith("iNaturalist 2018 train: 437,512 images instead of 437,513; iNaturalist 2018 val: ")
