"""Tests of the converter of own lists."""

import os
from pathlib import Path
from typing import Any

import pytest

from longtail.data.annotations import read_annotations


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def arguments(tmp_path: Path, train: Path, *options: Any) -> Any:
    return "--train", train, "--image_path", tmp_path, "--output_path", tmp_path / "out", "--no-check", *options


def table(tmp_path: Path, split: str = "train") -> list[str]:
    return (tmp_path / f"out/{split}_labels.csv").read_text().splitlines()[1:]


@pytest.mark.parametrize("separator", [" ", "\t", "   "])
def test_own_lists_number_labels_from_0(run: Any, tmp_path: Path, separator: str) -> None:
    lines = [f"{name}{separator}{label}" for name, label in (("a b.png", 7), ("c.png", 1), ("d.png", 7), ("e.png", 10))]
    run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "train.txt", *lines)))
    written = read_annotations(tmp_path / "out/train.json")
    assert written.labels == [1, 0, 1, 2]
    assert written.paths[0] == str(tmp_path / "out" / tmp_path / "a b.png")
    assert written.class_names == ("1", "7", "10")
    assert table(tmp_path) == ["0,1,1,1", "1,7,7,2", "2,10,10,1"]


def test_own_lists_with_labels_from_0_need_no_table(run: Any, tmp_path: Path) -> None:
    run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "train.txt", "a.png 0", "b.png 1")))
    assert read_annotations(tmp_path / "out/train.json").class_names == ()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train.json"]


def test_own_lists_of_names(run: Any, content: Any, tmp_path: Path) -> None:
    train = write(tmp_path / "train.txt", "a.png owl", "b.png bee")
    valid = write(tmp_path / "val.txt", "c.png owl")
    run("convert_from_lists", *arguments(tmp_path, train, "--valid", valid))
    assert content(tmp_path / "out/valid.json")["classes"] == ["bee", "owl"]
    assert read_annotations(tmp_path / "out/valid.json").labels == [1]
    assert table(tmp_path, "valid") == ["0,bee,bee,0", "1,owl,owl,1"]


def test_own_lists_csv_with_splits(run: Any, tmp_path: Path) -> None:
    lines = [
        "\ufeffPath, Label,split",
        '"a, b.png",owl,train',
        "c.png,bee,Train",
        "d.png,owl,val",
        "e.png,bee,test",
        "f.png,owl,",
    ]
    run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "images.csv", *lines)))
    splits = {name: read_annotations(tmp_path / f"out/{name}.json") for name in ("train", "valid", "test")}
    assert {name: split.labels for name, split in splits.items()} == {"train": [1, 0, 1], "valid": [1], "test": [0]}
    assert os.path.basename(splits["train"].paths[0]) == "a, b.png"


def test_own_lists_keep_quoted_commas_and_ignore_empty_fields(run: Any, tmp_path: Path) -> None:
    lines = ["path,label", 'a.png,"shirt, red"', 'b.png, "shirt, red"', "c.png,hat,,", "", "d.png,hat"]
    run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "train.csv", *lines)))
    written = read_annotations(tmp_path / "out/train.json")
    assert (written.class_names, written.labels) == (("hat", "shirt, red"), [1, 1, 0, 0])


def test_own_lists_labels_after_a_tab_may_hold_spaces(run: Any, tmp_path: Path) -> None:
    run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "a.txt", "a b.png\tred shirt", "c.png\t\that")))
    assert read_annotations(tmp_path / "out/train.json").class_names == ("hat", "red shirt")


def test_own_lists_hold_out(run: Any, tmp_path: Path) -> None:
    lines = [f"{number}.png {number % 2}" for number in range(20)]
    run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "a.txt", *lines), "--valid_fraction", 0.2))
    labels = {name: read_annotations(tmp_path / f"out/{name}.json").labels for name in ("train", "valid")}
    assert {name: sorted(values) for name, values in labels.items()} == {
        "train": [0] * 8 + [1] * 8,
        "valid": [0, 0, 1, 1],
    }


def test_own_lists_hold_out_groups_and_keep_weights(run: Any, content: Any, tmp_path: Path) -> None:
    lines = [f"{number}.png,{number % 2},p{number % 5},{number / 10}" for number in range(20)]
    train = write(tmp_path / "a.csv", "path,label,patient,weight", *lines)
    run("convert_from_lists", *arguments(tmp_path, train, "--valid_fraction", 0.2, "--group", "patient"))
    numbers = {
        name: [int(Path(path).stem) for path in read_annotations(tmp_path / f"out/{name}.json").paths]
        for name in ("train", "valid")
    }
    assert sorted(numbers["train"] + numbers["valid"]) == list(range(20))
    assert len({number % 5 for number in numbers["valid"]}) == 1 and len(numbers["valid"]) == 4
    assert content(tmp_path / "out/valid.json")["annotations"][0]["weight"] == numbers["valid"][0] / 10
    assert read_annotations(tmp_path / "out/train.json").weights == [number / 10 for number in numbers["train"]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "lists no images"),
        (["a.png"], "line 1 is 'a.png'; expected: path label, without commas"),
        (["a.png, owl"], "line 1 is 'a.png, owl'; expected: path label, without commas"),
        (["a.png,shirt, red"], "line 1 is 'a.png,shirt, red'; expected: path label, without commas"),
        (["a.png\towl\ttrain"], r"line 1 is 'a.png\towl\ttrain'; expected: path label"),
        (["a.png 1", "b.png 2", "a.png 2"], "line 3: a.png is listed in line 1 too, there with label 1"),
        (["a.png " + "1" * 5000], "line 1 has the label 11111111111111111111..., which is too long"),
    ],
)
def test_own_lists_refuse_invalid_lines(refused: Any, tmp_path: Path, lines: list[str], message: str) -> None:
    assert message in refused("convert_from_lists", *arguments(tmp_path, write(tmp_path / "train.txt", *lines)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,class", "a,b"], "the first line is 'file,class'; it must name the columns path,label"),
        (["path;label", "a.png;b"], "the first line is 'path;label'; it must name the columns path,label, with commas"),
        (["path\tlabel", "a.png\tb"], r"the first line is 'path\tlabel'; it must name the columns path,label"),
        (
            ["path,label", "a.png,hat", "b.png,shirt, red"],
            'train.csv: line 3 has 3 fields, the first line 2; quote a field with commas: "shirt, red"',
        ),
        (["path,label", "a.png,"], "line 2 has no path or no label"),
        (["path,label,split", "a.png,1,dev"], "line 2 has split 'dev'; allowed: train, valid, test"),
        (["path,label,split", "a.png,1,val"], "the lists name no training images"),
    ],
)
def test_own_lists_refuse_invalid_csv(refused: Any, tmp_path: Path, lines: list[str], message: str) -> None:
    assert message in refused("convert_from_lists", *arguments(tmp_path, write(tmp_path / "train.csv", *lines)))


def test_own_lists_refuse_labels_without_training_images(refused: Any, tmp_path: Path) -> None:
    train, valid = write(tmp_path / "a.txt", "a.png 1", "b.png 2"), write(tmp_path / "b.txt", "c.png 3")
    error = refused("convert_from_lists", *arguments(tmp_path, train, "--valid", valid))
    assert error == "valid images have labels that no training image has: 3"


@pytest.mark.parametrize("again", ["a.png", "./a.png", "sub/../a.png", "{folder}/a.png"])
def test_own_lists_refuse_an_image_that_is_listed_twice(refused: Any, tmp_path: Path, again: str) -> None:
    again = again.format(folder=tmp_path)
    train = write(tmp_path / "train.txt", "a.png 0", "b.png 1", f"{again} 1")
    error = refused("convert_from_lists", *arguments(tmp_path, train))
    assert error == f"list {train}: line 3: {again} is listed in line 1 too, there with label 0"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("path,label", "a.png,1", "b.png,01"), "labels 01 and 1 are the same number; write it in one way"),
        (("path,label,label", "a.png,0,1"), "list {train} has two columns 'label'; one is needed"),
        (("path,label", 'a.png,"x', "b.png,y"), "list {train} line 3: unexpected end of data"),
        (("path,label", f"a.png,{'x' * 200_000}"), "list {train} line 2: field larger than field limit (131072)"),
    ],
)
def test_own_lists_refuse_what_csv_would_change(refused: Any, tmp_path: Path, lines: Any, message: str) -> None:
    train = write(tmp_path / "train.csv", *lines)
    error = refused("convert_from_lists", *arguments(tmp_path, train))
    assert error == message.format(train=train)


def test_own_lists_keep_line_feeds_and_separators_in_quotes(run: Any, content: Any, tmp_path: Path) -> None:
    lines = ["path,label", 'a.png,"great\nowl"', "b.png,bee\u2028x", "c.png,cafe\u0301", "d.png,caf\u00e9"]
    run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "train.csv", *lines)))
    assert content(tmp_path / "out/train.json")["classes"] == ["bee\u2028x", "caf\u00e9", "great\nowl"]


def test_own_lists_name_groups_that_their_splits_share(run: Any, tmp_path: Path) -> None:
    lines = ["path,label,group,split", "a.png,0,p1,train", "b.png,1,p2,train", "c.png,1,p1,val", "d.png,1,p3,val"]
    output = run("convert_from_lists", *arguments(tmp_path, write(tmp_path / "train.csv", *lines)))
    assert "WARNING: 1 groups have both train and valid images: p1" in output
