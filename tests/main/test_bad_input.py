"""Every error of a user: one line with what, where and what is allowed; exit code 2; nothing written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from longtail.cli import train as train_command
from longtail.cli import valid as valid_command
from tests.helpers.scripts import load_script

Refused = Callable[..., str]


def train(*words: str) -> int:
    """Call what main/train.py calls."""
    return train_command.script(str(load_script("main/train.py").__doc__), words)


def valid(*words: str) -> int:
    """Call what main/valid.py calls."""
    return valid_command.script(str(load_script("main/valid.py").__doc__), words)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write eight small images of two classes and annotation files that list them; return their folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    entries = []
    for number in range(8):
        Image.new("RGB", (32, 32), (number * 30, 0, 0)).save(folder / f"{number}.png")
        entries.append({"image_id": number, "fpath": f"{number}.png", "category_id": number % 2})
    for split in ("train", "valid"):
        (folder / f"{split}.json").write_text(json.dumps({"annotations": entries, "num_classes": 2}))
    return folder


@pytest.fixture
def refused(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that checks that main/train.py with these arguments fails with one line and writes nothing."""

    def check(*overrides: str, cfg: str = "digits_lt,ce", options: tuple[str, ...] = ("--gpus", "cpu")) -> str:
        output = tmp_path / "output"
        words = ["--cfg", cfg, *options]
        words += ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(images / "train.json")]
        words += ["DATASET.VALID_JSON", str(images / "valid.json"), "OUTPUT_DIR", str(output)]
        words += ["TRAIN.BATCH_SIZE", "4", "TRAIN.NUM_WORKERS", "0"]
        before = set(output.rglob("*"))
        assert train(*words, *overrides) == 2
        assert set(output.rglob("*")) == before
        shown = capsys.readouterr()
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1
        assert "Traceback" not in shown.out
        return shown.err

    return check


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_missing_annotation_file(refused: Refused, images: Path) -> None:
    (images / "train.json").unlink()
    assert f"annotation file {images}/train.json does not exist" in refused()


def test_no_annotation_file_named(refused: Refused) -> None:
    assert "DATASET.TRAIN_JSON is empty" in refused("DATASET.TRAIN_JSON", "")


def test_empty_annotation_file(refused: Refused, images: Path) -> None:
    (images / "train.json").write_text("")
    assert "train.json is empty" in refused()


def test_annotation_file_without_images(refused: Refused, images: Path) -> None:
    rewrite(images / "train.json", lambda content: content["annotations"].clear())
    assert "train.json lists no images" in refused()


def test_malformed_json(refused: Refused, images: Path) -> None:
    (images / "train.json").write_text('{"annotations": [\n{"fpath": }]}')
    assert "train.json line 2 column 11" in refused()


def test_category_out_of_range(refused: Refused, images: Path) -> None:
    rewrite(images / "train.json", lambda content: content["annotations"][3].update(category_id=2))
    assert "annotation 3 (3.png) has category_id 2; allowed: 0 to 1" in refused()


def test_class_without_training_images(refused: Refused, images: Path) -> None:
    rewrite(images / "train.json", lambda content: content.update(num_classes=4))
    rewrite(images / "valid.json", lambda content: content.update(num_classes=4))
    assert "2 of 4 classes have no training images: 2, 3; every class needs at least one" in refused()


def test_missing_image(refused: Refused, images: Path) -> None:
    (images / "5.png").unlink()
    assert f"image {images}/5.png does not exist" in refused()


def test_truncated_image(refused: Refused, images: Path) -> None:
    data = (images / "5.png").read_bytes()
    (images / "5.png").write_bytes(data[: len(data) // 2])
    assert f"image {images}/5.png cannot be read" in refused()


def test_fewer_images_than_a_batch(refused: Refused) -> None:
    assert "has 8 images, fewer than one step needs" in refused("TRAIN.BATCH_SIZE", "9")


def test_unknown_key(refused: Refused) -> None:
    assert "unknown key TRAIN.BATCHSIZE; did you mean TRAIN.BATCH_SIZE?" in refused("TRAIN.BATCHSIZE", "3")


def test_wrong_type(refused: Refused) -> None:
    assert "TRAIN.MAX_EPOCH must be a whole number, not 'many'" in refused("TRAIN.MAX_EPOCH", "many")


def test_key_without_value(refused: Refused) -> None:
    assert "come in pairs KEY VALUE; 'NAME' has no value" in refused("NAME")


def test_annotation_file_that_would_not_be_read(refused: Refused) -> None:
    assert "data set 'digits_lt' does not read annotation files" in refused("DATASET.DATASET", "digits_lt")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DATASET.DATASET", "anotations", "unknown data set 'anotations'; available: annotations, cifar"),
        ("DATASET.VIEWS", "['autoaugmentation']", "did you mean autoaugment?"),
        ("DATASET.NORMALIZATION", "imgnet", "did you mean imagenet?"),
        ("BACKBONE.TYPE", "res32cifar", "did you mean res32_cifar?"),
        ("CLASSIFIER.TYPE", "FCnorm", "did you mean FCNorm?"),
        ("LOSS.LOSS_TYPE", "CrossEntropi", "did you mean CrossEntropy?"),
        ("TRAIN.COMBINER.TYPE", "supervisd", "did you mean supervised?"),
        ("DATASET.DATASET", "IMBALANCEDCIFAR10", "DATASET.DATASET is 'IMBALANCEDCIFAR10', its default, which is not a"),
        ("LOSS.LOSS_TYPE", "DiVEKLD", "needs a teacher; TRAIN.COMBINER.TYPE must be distillation, not supervised"),
        ("TRAIN.TWO_STAGE.DRS", "True", "TRAIN.SAMPLER.TYPE is 'default'; only 'weighted sampler' can be deferred"),
        ("TRAIN.SAMPLER.TYPE", "weigted sampler", "did you mean weighted sampler?"),
        ("TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE", "balanced", "did you mean balance?"),
        ("DATASET.USE_CAM_BASED_DATASET", "True", "CAM_DATA_JSON_SAVE_PATH must name the annotation file of"),
    ],
)
def test_unknown_names_and_wrong_pairs(refused: Refused, key: str, value: str, message: str) -> None:
    assert message in refused(key, value)


def test_more_hard_classes_than_classes(refused: Refused) -> None:
    overrides = (
        "LOSS.LOSS_TYPE",
        "NIL_NBOD",
        "LOSS.HCM_N",
        "3",
        "BACKBONE.MULTI_NETWORK_TYPE",
        "['res32_cifar', 'res32_cifar']",
    )
    assert "LOSS.HCM_N is 3; it must be at most the number of classes, 2" in refused(*overrides)


def test_missing_config_file(refused: Refused) -> None:
    assert "config file nowhere.yaml does not exist" in refused(cfg="nowhere.yaml")


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="this machine has a GPU 7")
@pytest.mark.parametrize("gpus", ["7", "0,7"])
def test_missing_gpu(refused: Refused, gpus: str) -> None:
    assert f"does not exist: this machine has {torch.cuda.device_count()} GPUs" in refused(options=("--gpus", gpus))


@pytest.mark.parametrize("gpus", ["gpu", "0,0", "-1", ""])
def test_gpus_that_are_not_a_list(refused: Refused, gpus: str) -> None:
    assert "expected cpu, or different numbers" in refused(options=(f"--gpus={gpus}",))


def test_output_that_cannot_be_written(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used" in refused("OUTPUT_DIR", str(tmp_path / "file"))


@pytest.mark.parametrize(("content", "message"), [(b"", "is damaged (EOFError)"), (b"no checkpoint", "cannot be read")])
def test_damaged_checkpoint(refused: Refused, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "broken.pth").write_bytes(content)
    resume = ("--gpus", "cpu", "--resume", str(tmp_path / "broken.pth"))
    assert f"broken.pth {message}" in refused(options=resume)


def test_evaluation_without_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert valid("--cfg", "digits_lt,ce", "--gpus", "cpu") == 2
    assert "checkpoint best_ensemble.pth is neither in" in capsys.readouterr().err


def test_recipe_or_config_but_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    choices: list[list[str]] = [[], ["--cfg", "a.yaml", "--recipe", "b.yaml"]]
    for arguments in choices:
        with pytest.raises(SystemExit) as end:
            train(*arguments)
        assert end.value.code == 2
        assert "--recipe" in capsys.readouterr().err


def test_missing_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--recipe", "nowhere.yaml") == 2
    assert capsys.readouterr().err.endswith(" nowhere.yaml does not exist\n")
