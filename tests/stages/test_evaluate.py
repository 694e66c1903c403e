"""Evaluating the checkpoints of a run."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.config import changed, load_config
from longtail.data import build_splits
from longtail.errors import UserError
from longtail.evaluation import read_samples
from longtail.reporting.record import newest_evaluation
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.evaluate import evaluation_setup, validate
from tests.helpers.training import CONTRASTIVE, CPU, NCL, FinishedRun, TinyConfig, read_json, train


@pytest.fixture(autouse=True)
def no_details(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip tables and figures; tests marked `figures` write them."""
    if "figures" not in request.keywords:
        monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)


def evaluated(cfg: Any, folder: Path) -> Any:
    """Return the results of an evaluation."""
    return read_json(validate(cfg, folder, place=CPU) / "results.json")


@pytest.mark.slow
def test_best_checkpoint_is_evaluated_unless_another_is_named(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    run = finished_run(method=NCL)
    results = read_json(run.results)
    content = evaluated(tiny_cfg(method=NCL), run.path)
    assert content["checkpoint"] == str(run.models / "best_ensemble.pth")
    assert {key: content[key] for key in ("ensemble", "experts")} == {
        key: results["best"][key] for key in ("ensemble", "experts")
    }
    last = evaluated(tiny_cfg("TEST.MODEL_FILE", "last.pth", method=NCL), run.path)
    assert last["ensemble"] == results["last"]["ensemble"]
    path = str(run.models / "best_single.pth")
    single = evaluated(tiny_cfg("TEST.MODEL_FILE", path, method=NCL), run.path)
    best = results["best_single"]
    assert single["experts"][best["expert"] - 1]["top1"] == best["top1"]


def test_keys_that_differ_from_the_config_of_the_run_are_recorded(finished_run: FinishedRun) -> None:
    run = finished_run()
    own = load_config(run.config)
    assert evaluated(own, run.path)["changed"] == {}
    corrected = changed(own, "TEST.TTA", "five_crops", "TEST.PRIOR", "train", "TEST.MODEL_FILE", "last.pth")
    assert evaluated(corrected, run.path)["changed"] == {"TEST.TTA": "five_crops", "TEST.PRIOR": "train"}


def test_config_outside_a_run_directory_writes_to_the_output_folder(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path
) -> None:
    cfg = tiny_cfg("TEST.MODEL_FILE", str(finished_run().last))
    folder = validate(cfg, tmp_path, place=CPU)
    assert folder.parent == tmp_path / "output" / "tiny" / "evaluation"
    assert "changed" not in read_json(folder / "results.json")


@pytest.mark.parametrize("released", [False, True])
def test_missing_checkpoint_is_refused(tiny_cfg: TinyConfig, finished_run: FinishedRun, released: bool) -> None:
    run = finished_run()
    name = "absent.pth" if released else ""
    folder = run.path if released else run.path.parent
    with pytest.raises(UserError, match=r"^checkpoint (absent|best_ensemble)\.pth is neither in .* nor a file; "):
        validate(tiny_cfg("TEST.MODEL_FILE", name), folder, place=CPU)


def test_network_with_other_parameters_is_refused(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    with pytest.raises(
        UserError, match=r"best_ensemble\.pth lacks \d+ parameters of the network, such as experts\.\d\."
    ):
        validate(tiny_cfg("CLASSIFIER.TYPE", "LWS", "NAME", "other"), finished_run().path, place=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("trained", [CONTRASTIVE, NCL], ids=["contrastive", "ncl"])
def test_projection_heads_are_not_needed_for_an_evaluation(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, trained: list[Any]
) -> None:
    run = finished_run(method=trained)
    best = read_json(run.results)["best"]["ensemble"]
    for method in (CONTRASTIVE, NCL):
        assert evaluated(tiny_cfg(method=method), run.path)["ensemble"] == best


@pytest.mark.slow
@pytest.mark.figures
def test_tables_and_figures_of_every_expert(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    folder = validate(tiny_cfg(method=NCL), finished_run(method=NCL).path, place=CPU)
    names = ["ensemble", "expert1", "expert2", "expert3"]
    expected = {f"{kind}_{name}.{suffix}" for name in names for kind, suffix in (("confusion", "png"),)}
    expected |= {f"confusion_{name}.npz" for name in names} | {f"per_class_{name}.csv" for name in names}
    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert written.keys() == expected | {"per_class_accuracy.png", "results.json", "samples.npz"}
    assert max(written, key=lambda name: written[name]) == "results.json"
    top1 = read_json(folder / "results.json")["ensemble"]["top1"]
    with np.load(folder / "confusion_ensemble.npz") as arrays:
        matrices = [arrays[name] for name in arrays.files if arrays[name].shape == (10, 10)]
    assert np.trace(matrices[0]) / matrices[0].sum() == pytest.approx(top1)
    with open(folder / "per_class_ensemble.csv") as file:
        assert len(list(csv.DictReader(file))) >= 10


@pytest.fixture
def other_images(tmp_path: Path, tiny_cfg: TinyConfig) -> Callable[..., str]:
    """Return a function that writes the first validation digits as files, and returns their annotation file."""

    def write(count: int, num_classes: int = 10) -> str:
        valid = build_splits(tiny_cfg()).valid
        pixels = valid.load()
        entries = []
        for number in range(count):
            Image.fromarray(np.asarray(pixels[number].permute(1, 2, 0))).save(tmp_path / f"{number}.png")
            entries.append({"fpath": f"{number}.png", "category_id": int(valid.labels[number])})
        path = tmp_path / "other.json"
        path.write_text(json.dumps({"annotations": entries, "num_classes": num_classes}))
        return str(path)

    return write


@pytest.mark.slow
def test_valid_json_names_other_images(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, other_images: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """The classes are still grouped by the training images of the run."""
    run, listed = finished_run(), other_images(797)
    with caplog.at_level("INFO", "longtail"):
        content = evaluated(tiny_cfg("DATASET.VALID_JSON", listed), run.path)
    assert content["ensemble"] == pytest.approx(read_json(run.results)["best"]["ensemble"])
    assert "(797 images)" in caplog.text and "other" in caplog.text
    few = evaluated(tiny_cfg("DATASET.VALID_JSON", other_images(20)), run.path)
    assert few["ensemble"]["top1"] * 20 == pytest.approx(round(few["ensemble"]["top1"] * 20))


@pytest.mark.slow
def test_valid_json_of_other_classes_is_refused(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, other_images: Callable[..., str]
) -> None:
    run = finished_run()
    before = set(run.path.rglob("*"))
    with pytest.raises(UserError, match="classes"):
        validate(tiny_cfg("DATASET.VALID_JSON", other_images(20, 12)), run.path, place=CPU)
    assert set(run.path.rglob("*")) == before


@pytest.mark.slow
def test_bad_images_of_an_evaluation_are_named(tiny_cfg: TinyConfig, other_images: Callable[..., str]) -> None:
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 1))
    listed = other_images(20)
    damaged = Path(listed).parent / "4.png"
    damaged.write_bytes(b"")
    keys = ["DATASET.VALID_JSON", listed, "DATASET.ON_BAD_IMAGE", "skip", "TEST.NUM_WORKERS", 0]
    assert evaluated(tiny_cfg(*keys), run.path)["bad_images"] == {"count": 1, "files": [str(damaged)]}
    with pytest.raises(UserError, match=f"image {damaged} cannot be read"):
        validate(tiny_cfg("DATASET.VALID_JSON", listed, "TEST.NUM_WORKERS", 0), run.path, place=CPU)


def test_evaluation_that_cannot_be_written_is_refused(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path
) -> None:
    (tmp_path / "output" / "tiny").mkdir(parents=True)
    (tmp_path / "output" / "tiny" / "evaluation").write_text("")
    cfg = tiny_cfg("TEST.MODEL_FILE", str(finished_run().last))
    with pytest.raises(UserError, match="cannot be written: "):
        validate(cfg, tmp_path, place=CPU)


def own_config(tiny_cfg: TinyConfig, root: Path) -> Any:
    """Return a config of own images, which are written if they are not there."""
    for label, name in enumerate("ab"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(8):
            Image.fromarray(np.full((32, 32, 3), 9 * number + label, np.uint8)).save(root / name / f"{number}.png")
    data = ["DATASET.DATASET", "own", "DATASET.ROOT", str(root)]
    return tiny_cfg(*data, "TRAIN.BATCH_SIZE", 4, "TRAIN.MAX_EPOCH", 1, "VALID_STEP", 1)


@pytest.mark.slow
def test_other_training_images_than_those_held_out_from_are_refused(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    cfg = own_config(tiny_cfg, tmp_path / "photos")
    run = train(cfg)
    assert evaluated(cfg, run.path)["ensemble"]
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "photos" / "a" / "new.png")
    with pytest.raises(UserError, match=r"was trained on other images than .*photos train has now, so that others are"):
        validate(cfg, run.path, place=CPU)
    with pytest.raises(
        UserError, match=f"is finished in {run.path}, but its images have changed since; --resume never"
    ):
        train(cfg)
    assert train(cfg, "never").path != run.path


@pytest.mark.slow
@pytest.mark.parametrize("held_out", [["VALID", 3], ["FOLDS", 2]])
def test_images_of_a_file_are_evaluated_with_the_counts_of_the_training(
    tiny_cfg: TinyConfig, tmp_path: Path, image_folder: Callable[..., str], held_out: list[Any]
) -> None:
    """Priors and shot groups are those of the images that were trained on, although the file replaces the held out."""
    key, value = held_out
    cfg = changed(own_config(tiny_cfg, tmp_path / "photos"), f"DATASET.HOLD_OUT.{key}", value)
    run = train(cfg)
    other = changed(cfg, "DATASET.VALID_JSON", image_folder("other", [0, 1, 1], 2))
    with evaluation_setup(other, run.path, place=CPU) as setup:
        assert setup.class_counts == build_splits(cfg).train.class_counts() != [8, 8]
        assert setup.splits.valid.class_counts() == [1, 2]
    assert evaluated(other, run.path)["ensemble"]


# split


@pytest.mark.slow
@pytest.mark.figures
def test_held_out_test_images_are_evaluated(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    """They are neither training nor validation images, and the report keeps to the validation images."""
    cfg = changed(own_config(tiny_cfg, tmp_path / "photos"), "DATASET.HOLD_OUT.TEST", 3)
    run = train(cfg)
    valid, test = (validate(cfg, run.path, place=CPU, split=split) for split in ("valid", "test"))
    assert [read_json(folder / "results.json")["split"] for folder in (valid, test)] == ["valid", "test"]
    samples = [read_samples(folder / "samples.npz") for folder in (valid, test)]
    assert [part and len(part.label) for part in samples] == [4, 6]
    assert newest_evaluation(run) == valid
    (valid / "results.json").unlink()  # it is written last
    assert newest_evaluation(run) is None
    trained, validated, tested = (set(images.paths) for images in build_splits(cfg) if images)
    assert not tested & (trained | validated) and len(tested) == 6


def test_split_without_images_is_refused(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    with pytest.raises(UserError, match=r"digits_lt train has no test images; DATASET.TEST_JSON names a list"):
        validate(tiny_cfg(), finished_run().path, place=CPU, split="test")
