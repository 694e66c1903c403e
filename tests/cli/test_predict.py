"""longtail predict."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from longtail.cli.main import main
from longtail.cli.predict import split_words
from tests.helpers.photos import NAMES, Photos

Capture = pytest.CaptureFixture[str]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_predict_writes_csv_to_standard_output(photos: Photos, capsys: Capture) -> None:
    paths = photos.valid_paths()
    assert main(["predict", str(photos.run.path), *paths[:6], "--gpus", "cpu"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["path"] for row in rows] == paths[:6]
    assert list(rows[0]) == ["path", "class", "name", "probability"]
    for row in rows:
        assert row["name"] == NAMES[int(row["class"])]
        assert 1 / 3 <= float(row["probability"]) <= 1


def test_predict_of_a_list_equals_that_of_its_files(photos: Photos, capsys: Capture, tmp_path: Path) -> None:
    lists = {"json": str(photos.folder / "valid.json"), "txt": str(tmp_path / "list.txt")}
    Path(lists["txt"]).write_text("\n".join(photos.valid_paths()) + "\n")
    main(["predict", str(photos.run.path), *photos.valid_paths(), "--gpus", "cpu"])
    wanted = capsys.readouterr().out
    for name in lists.values():
        assert main(["predict", str(photos.run.config), name, "--gpus", "cpu"]) == 0
        assert capsys.readouterr().out == wanted


def test_predict_of_a_folder_uses_its_images_in_order(photos: Photos, capsys: Capture) -> None:
    assert main(["predict", str(photos.run.path), str(photos.folder / "images"), "--gpus", "cpu"]) == 0
    found = [row["path"] for row in rows_of(capsys.readouterr().out)]
    assert found == sorted(str(path) for path in (photos.folder / "images").iterdir())


def test_predict_options_add_columns(photos: Photos, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out.csv"
    options = ["--top", "2", "--all", "--experts", "--output", str(output), "--gpus", "cpu"]
    assert main(["predict", str(photos.run.path), photos.valid_paths()[0], *options]) == 0
    assert capsys.readouterr().out == f"{output}: 1 image\n"
    row = rows_of(output.read_text())[0]
    every = [float(row[f"p({name})"]) for name in NAMES]
    assert sum(every) == pytest.approx(1, abs=1e-5)
    assert sorted(every, reverse=True)[:2] == [float(row["probability"]), float(row["probability_2"])]
    assert {"name_2", "expert1_name", "expert1_probability", "expert2_name"} <= set(row)


def test_predict_writes_json(photos: Photos, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    words = [photos.valid_paths()[0], str(bad), "--top", "3", "--all", "--experts", "--output", str(output)]
    assert main(["predict", str(photos.run.path), *words, "--gpus", "cpu"]) == 1
    content = json.loads(output.read_text())
    assert content["class_names"] == NAMES
    (entry,) = content["predictions"]
    assert entry["top"][0]["name"] == entry["name"]
    assert len(entry["experts"]) == 2 and len(entry["probabilities"]) == 3
    assert content["unreadable"][0]["path"] == str(bad)


def test_predict_lists_unreadable_files_at_the_end(photos: Photos, tmp_path: Path, capsys: Capture) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    good = photos.valid_paths()[:2]
    assert main(["predict", str(photos.run.path), good[0], str(bad), "absent.png", good[1], "--gpus", "cpu"]) == 1
    captured = capsys.readouterr()
    assert [row["path"] for row in rows_of(captured.out)] == good
    assert captured.err.splitlines() == [
        f"not predicted: image {bad} cannot be read: it is empty",
        "not predicted: image absent.png does not exist",
    ]


def test_predict_corrects_logits_by_the_keys_of_valid(photos: Photos, capsys: Capture) -> None:
    def probability(*overrides: str) -> float:
        assert (
            main(["predict", str(photos.run.path), photos.valid_paths()[0], "--all", "--gpus", "cpu", *overrides]) == 0
        )
        return float(rows_of(capsys.readouterr().out)[0][f"p({NAMES[2]})"])

    plain, adjusted = probability(), probability("TEST.LOGIT_ADJUSTMENT", "1.0")
    assert adjusted > plain
    assert probability("TEST.PRIOR", "train") < plain
    assert probability("TEST.LOGIT_ADJUSTMENT", "1.0", "TEST.PRIOR", "train") == pytest.approx(plain, abs=2e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.png", "--output", "out.txt"], "must be a .csv or .json file"),
        (["x.png", "--top", "0"], "must be at least 1"),
        (["TEST.LOGIT_ADJUSTMENT", "1.0"], "there are no images to predict"),
        (["x.png", "TEST.LOGIT_ADJUSTMEN", "1.0"], "TEST.LOGIT_ADJUSTMENT"),
        (["x.png", "TEST.PRIOR", "other"], "allowed: uniform, train, reversed"),
    ],
)
def test_predict_refuses_invalid_commands(photos: Photos, capsys: Capture, words: list[str], message: str) -> None:
    assert main(["predict", str(photos.run.path), *words, "--gpus", "cpu"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_predict_refuses_a_list_with_labels(photos: Photos, tmp_path: Path, capsys: Capture, separator: str) -> None:
    path = photos.valid_paths()[0]
    (tmp_path / "list.txt").write_text(f"{path}\n{path}{separator}2\n")
    assert main(["predict", str(photos.run.path), str(tmp_path / "list.txt"), "--gpus", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "has one path per line, without labels" in error and error.count("\n") == 1


def test_predict_refuses_a_table(photos: Photos, tmp_path: Path, capsys: Capture) -> None:
    assert main(["predict", str(photos.run.path), str(tmp_path / "list.csv"), "--gpus", "cpu"]) == 2
    assert "list.csv is a table; a list of images to predict is a .txt file" in capsys.readouterr().err


def test_predict_split_words_interprets_file_names_as_images(tmp_path: Path) -> None:
    assert split_words(["IMG.JPG", "A", "b c.png"]) == (["IMG.JPG", "A", "b c.png"], [])
    assert split_words(["a.png", "TEST.PRIOR", "train"]) == (["a.png"], ["TEST.PRIOR", "train"])
    assert split_words(["a.png", "TEST.PRIO", "train"]) == (["a.png"], ["TEST.PRIO", "train"])


def test_predict_refuses_a_list_that_never_ends(photos: Photos, tmp_path: Path, capsys: Capture) -> None:
    os.mkfifo(tmp_path / "list.txt")
    assert main(["predict", str(photos.run.path), str(tmp_path / "list.txt"), "--gpus", "cpu"]) == 2
    assert capsys.readouterr().err == f"error: list {tmp_path / 'list.txt'} cannot be read: it is not a regular file\n"


def test_predict_does_not_take_an_empty_name_for_the_working_directory(photos: Photos, capsys: Capture) -> None:
    assert main(["predict", str(photos.run.path), "", "--gpus", "cpu"]) == 1
    assert capsys.readouterr().err == "not predicted: image  does not exist\n"
