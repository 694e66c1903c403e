"""Every mistake of a user: one line that says what, where and what is allowed; exit code 2; nothing written."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parent.parent.parent


def program(name: str):
    """Import main/<name>.py, which is no package."""
    spec = importlib.util.spec_from_file_location(f"main_{name}", ROOT / "main" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def images(tmp_path):
    """Eight small images of two classes, and annotation files that list them."""
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
def refused(images, tmp_path, capsys):
    """Return a checker: main/train.py with these arguments ends in one line, and writes nothing."""

    def check(*overrides: str, cfg: str | None = None, options: tuple[str, ...] = ("--gpus", "cpu")) -> str:
        output = tmp_path / "output"
        arguments = ["--cfg", cfg or str(ROOT / "configs/digits_lt/ce.yaml"), *options]
        arguments += ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(images / "train.json")]
        arguments += ["DATASET.VALID_JSON", str(images / "valid.json"), "OUTPUT_DIR", str(output)]
        arguments += ["TRAIN.BATCH_SIZE", "4", "TRAIN.NUM_WORKERS", "0"]
        before = set(output.rglob("*"))
        assert program("train")([*arguments, *overrides]) == 2
        assert set(output.rglob("*")) == before
        told = capsys.readouterr()
        assert told.err.startswith("error: ")
        assert told.err.count("\n") == 1
        assert "Traceback" not in told.out
        return told.err

    return check


def rewrite(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_missing_annotation_file(refused, images):
    (images / "train.json").unlink()
    assert f"annotation file {images}/train.json does not exist" in refused()


def test_no_annotation_file_named(refused):
    assert "DATASET.TRAIN_JSON is empty" in refused("DATASET.TRAIN_JSON", "")


def test_empty_annotation_file(refused, images):
    (images / "train.json").write_text("")
    assert "train.json is empty" in refused()


def test_annotation_file_without_images(refused, images):
    rewrite(images / "train.json", lambda content: content["annotations"].clear())
    assert "train.json lists no images" in refused()


def test_malformed_json(refused, images):
    (images / "train.json").write_text('{"annotations": [\n{"fpath": }]}')
    assert "train.json line 2 column 11" in refused()


def test_category_out_of_range(refused, images):
    rewrite(images / "train.json", lambda content: content["annotations"][3].update(category_id=2))
    assert "annotation 3 (3.png) has category_id 2; allowed: 0 to 1" in refused()


def test_class_without_training_images(refused, images):
    rewrite(images / "train.json", lambda content: content.update(num_classes=4))
    rewrite(images / "valid.json", lambda content: content.update(num_classes=4))
    assert "2 of 4 classes have no training images: 2, 3; every class needs at least one" in refused()


def test_missing_image(refused, images):
    (images / "5.png").unlink()
    assert f"image {images}/5.png does not exist" in refused()


def test_truncated_image(refused, images):
    data = (images / "5.png").read_bytes()
    (images / "5.png").write_bytes(data[: len(data) // 2])
    assert f"image {images}/5.png cannot be read" in refused()


def test_fewer_images_than_a_batch(refused):
    assert "has 8 images, fewer than one step takes" in refused("TRAIN.BATCH_SIZE", "9")


def test_unknown_key(refused):
    assert "unknown key TRAIN.BATCHSIZE; did you mean TRAIN.BATCH_SIZE?" in refused("TRAIN.BATCHSIZE", "3")


def test_wrong_type(refused):
    assert "TRAIN.MAX_EPOCH must be a whole number, not 'many'" in refused("TRAIN.MAX_EPOCH", "many")


def test_key_without_value(refused):
    assert "come in pairs KEY VALUE; 'NAME' has no partner" in refused("NAME")


def test_annotation_file_that_would_not_be_read(refused):
    assert "data set 'digits_lt' reads no annotation file" in refused("DATASET.DATASET", "digits_lt")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DATASET.DATASET", "anotations", "unknown data set 'anotations'; there is: annotations, cifar"),
        ("DATASET.VIEWS", "['autoaugmentation']", "did you mean autoaugment?"),
        ("DATASET.NORMALIZATION", "imgnet", "did you mean imagenet?"),
        ("BACKBONE.TYPE", "res32cifar", "did you mean res32_cifar?"),
        ("CLASSIFIER.TYPE", "FCnorm", "did you mean FCNorm?"),
        ("LOSS.LOSS_TYPE", "CrossEntropi", "did you mean CrossEntropy?"),
        ("TRAIN.COMBINER.TYPE", "nestd", "did you mean nested?"),
        ("DATASET.DATASET", "IMBALANCEDCIFAR10", "did you mean IMBALANCECIFAR10?"),
        ("TRAIN.COMBINER.TYPE", "nested", "TRAIN.COMBINER.TYPE must be plain"),
        ("LOSS.LOSS_TYPE", "NIL_NBOD", "TRAIN.COMBINER.TYPE must be nested"),
        ("TRAIN.TWO_STAGE.DRS", "True", "TRAIN.SAMPLER.TYPE is 'default'; only 'weighted sampler' can be deferred"),
        ("TRAIN.SAMPLER.TYPE", "weigted sampler", "did you mean weighted sampler?"),
        ("TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE", "balanced", "did you mean balance?"),
        ("DATASET.USE_CAM_BASED_DATASET", "True", "CAM_DATA_JSON_SAVE_PATH must name their list"),
    ],
)
def test_names_and_pairs_that_do_not_exist(refused, key, value, message):
    if value == "NIL_NBOD":
        assert message in refused(key, value, "LOSS.HCM_N", "2")
    else:
        assert message in refused(key, value)


def test_more_hard_classes_than_classes(refused):
    overrides = ("LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", "3", "TRAIN.COMBINER.TYPE", "nested")
    assert "LOSS.HCM_N is 3; it must be at most the number of classes, 2" in refused(*overrides)


def test_config_file_that_is_not_there(refused):
    assert "config file nowhere.yaml does not exist" in refused(cfg="nowhere.yaml")


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="this machine has a GPU 7")
@pytest.mark.parametrize("gpus", ["7", "0,7"])
def test_gpu_that_is_not_there(refused, gpus):
    assert f"is not there: this machine has {torch.cuda.device_count()} GPUs" in refused(options=("--gpus", gpus))


@pytest.mark.parametrize("gpus", ["gpu", "0,0", "-1", ""])
def test_gpus_that_are_no_list(refused, gpus):
    assert "expected cpu, or different numbers" in refused(options=(f"--gpus={gpus}",))


def test_output_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be used" in refused("OUTPUT_DIR", str(tmp_path / "file"))


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_checkpoint_that_is_damaged(refused, tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    assert "broken.pth cannot be read" in refused(options=("--gpus", "cpu", "--resume", str(tmp_path / "broken.pth")))


def test_checkpoint_of_another_class_count(refused, tmp_path):
    path = tmp_path / "other.pth"
    torch.save(
        {"optimizer": {}, "architecture": "1 x res32_cifar with FC heads", "classes": 100, "fingerprint": ""}, path
    )
    told = refused(options=("--gpus", "cpu", "--resume", str(path)))
    assert f"cannot resume from {path}: it has 100 classes, this run has 2 classes" in told


def test_judging_without_a_checkpoint(tmp_path, capsys):
    config = ROOT / "configs/digits_lt/ce.yaml"
    assert program("valid")(["--cfg", str(config), "--gpus", "cpu"]) == 2
    assert "checkpoint best_ensemble.pth is neither in" in capsys.readouterr().err


def test_a_recipe_or_a_configuration_but_not_both(tmp_path, capsys):
    for arguments in ([], ["--cfg", "a.yaml", "--recipe", "b.yaml"]):
        with pytest.raises(SystemExit) as end:
            program("train")(arguments)
        assert end.value.code == 2
        assert "--recipe" in capsys.readouterr().err


def test_a_recipe_that_is_not_there(capsys):
    assert program("train")(["--recipe", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "error: recipe nowhere.yaml does not exist\n"


def test_a_sweep_without_a_checkpoint(capsys):
    config = ROOT / "configs/digits_lt/ce.yaml"
    arguments = ["--cfg", str(config), "--gpus", "cpu", "--tau-sweep", "0", "0.5", "TEST.MODEL_FILE", "nowhere.pth"]
    assert program("valid")(arguments) == 2
    assert "checkpoint nowhere.pth is neither in" in capsys.readouterr().err  # what follows the numbers are overrides
