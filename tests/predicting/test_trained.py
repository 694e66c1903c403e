"""Predictions of a trained network: the same as its evaluation, to the digit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import longtail
from longtail.config import changed
from longtail.data import build_normalize, build_splits, build_valid_loader
from longtail.engine.inference import outputs
from longtail.errors import UserError
from longtail.evaluation import ensemble_logits
from longtail.predicting.trained import Trained, load_trained
from longtail.stages.corrections import corrected
from longtail.stages.evaluate import validate
from longtail.stages.network import find_checkpoint, load_network
from tests.helpers.photos import COUNTS, NAMES, VALID, Photos
from tests.helpers.training import CPU, read_json

CORRECTIONS: list[list[Any]] = [
    [],
    ["TEST.LOGIT_ADJUSTMENT", 1.0, "TEST.PRIOR", "reversed"],
    ["TEST.TEMPERATURE", 2.0, "TEST.CLASS_OFFSETS", [0.0, 0.5, -0.25]],
    ["TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.TAU_NORM.TAU", 0.7],
    ["TEST.ENSEMBLE", "last"],
]


def loaded(photos: Photos, *overrides: Any) -> Trained:
    return load_trained(changed(photos.cfg, *overrides), photos.run.path, place=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("correction", CORRECTIONS)
def test_predictions_equal_the_evaluation_to_the_digit(photos: Photos, correction: list[Any]) -> None:
    cfg = changed(photos.cfg, *correction)
    evaluated = read_json(validate(cfg, photos.run.path, place=CPU) / "results.json")["ensemble"]
    predictions = loaded(photos, *correction).predict(photos.valid_paths(), top=2)
    labels = [label for label in range(3) for _ in range(VALID)]
    top1 = sum(p.label == label for p, label in zip(predictions, labels, strict=True)) / len(labels)
    top2 = sum(label in [c.label for c in p.top] for p, label in zip(predictions, labels, strict=True)) / len(labels)
    assert (top1, top2) == (evaluated["top1"], evaluated["top2"])
    probabilities = torch.stack([p.probabilities for p in predictions])
    nll = -probabilities[torch.arange(len(labels)), torch.tensor(labels)].double().log().mean()
    assert float(nll) == pytest.approx(evaluated["nll"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("correction", CORRECTIONS)
def test_predictions_equal_the_outputs_of_the_evaluation_bit_for_bit(photos: Photos, correction: list[Any]) -> None:
    cfg = changed(photos.cfg, *correction)
    valid = build_splits(cfg).valid
    network = corrected(cfg, load_network(cfg, 3, find_checkpoint(cfg, photos.run)), class_counts=COUNTS)
    passes = outputs(network, build_valid_loader(cfg, valid), normalize=build_normalize(cfg), place=CPU)
    logits = torch.cat([output.logits.float() for _, output in passes], dim=1)
    predicted_by = loaded(photos, *correction)
    predictions = predicted_by.predict(photos.valid_paths())
    assert torch.equal(
        torch.stack([p.probabilities for p in predictions]), ensemble_logits(logits, predicted_by.members).softmax(-1)
    )
    for expert, scores in enumerate(logits.softmax(-1)):
        assert [p.experts[expert].label for p in predictions] == scores.argmax(-1).tolist()
        assert [p.experts[expert].probability for p in predictions] == scores.amax(-1).tolist()


@pytest.mark.slow
def test_predict_takes_paths_and_arrays(photos: Photos) -> None:
    path = photos.valid_paths()[0]
    pixels = np.array(Image.open(path))
    trained = longtail.load(photos.run.path)
    one = trained.predict(path)[0]
    assert (one.label, one.name) == (one.top[0].label, NAMES[one.label])
    pillow = Image.open(path)
    for images in (Path(path), [path], pixels, [pixels], pixels[None], torch.from_numpy(pixels), pillow, [pillow]):
        found = trained.predict(images)
        assert len(found) == 1
        assert torch.equal(found[0].probabilities, one.probabilities)


def test_predict_top_is_sorted_and_at_most_all_classes(photos: Photos) -> None:
    prediction = loaded(photos).predict(photos.valid_paths()[0], top=5)[0]
    assert len(prediction.top) == 3
    values = [choice.probability for choice in prediction.top]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1)


@pytest.mark.parametrize("top", [0, -1, "2", 1.0, True, None])
def test_predict_refuses_a_top_that_is_no_positive_number(photos: Photos, top: Any) -> None:
    with pytest.raises(UserError, match=f"top is {top!r}; it must be a whole number, at least 1"):
        loaded(photos).predict(photos.valid_paths()[0], top=top)


def test_predict_keeps_the_order_of_images_of_several_sizes(photos: Photos) -> None:
    small = [np.array(Image.open(path)) for path in photos.valid_paths()[:5]]
    large = [np.tile(pixels, (2, 2, 1)) for pixels in small]
    mixed = [image for pair in zip(small, large, strict=True) for image in pair]
    trained = loaded(photos)
    together = trained.predict(mixed)
    for image, found in zip(mixed, together, strict=True):
        assert torch.allclose(found.probabilities, trained.predict(image)[0].probabilities, atol=1e-6)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((3, 4, 4), np.uint8)])
def test_predict_refuses_arrays_that_are_not_images(photos: Photos, image: Any) -> None:
    with pytest.raises(UserError, match=r"RGB pixels \(H, W, 3\) uint8"):
        loaded(photos).predict([image])


def test_predict_converts_images_of_pillow_and_leaves_them_as_they_are(photos: Photos) -> None:
    gray = Image.open(photos.valid_paths()[0]).convert("L")
    gray.info["transparency"] = 3
    trained = loaded(photos)
    expected = trained.predict(np.array(gray.convert("RGB")))[0]
    assert torch.equal(trained.predict(gray)[0].probabilities, expected.probabilities)
    assert (gray.mode, gray.info["transparency"]) == ("L", 3)
    with pytest.raises(UserError, match=r"^an image of Pillow \(F, 4x4\): its pixels have 32 bits"):
        trained.predict(Image.new("F", (4, 4)))


def test_load_trained_needs_no_data(photos: Photos) -> None:
    missing = ["DATASET.TRAIN_JSON", "absent.json", "DATASET.VALID_JSON", "absent.json", "TEST.LOGIT_ADJUSTMENT", 1.0]
    trained = loaded(photos, *missing)
    assert (trained.class_names, trained.class_counts) == (NAMES, COUNTS)


def test_load_refuses_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        longtail.load(tmp_path)


def test_predict_evaluates_a_network_that_was_set_to_train(photos: Photos) -> None:
    network, image = loaded(photos), photos.valid_paths()[:3]
    before = [prediction.probabilities for prediction in network.predict(image)]
    network.train()
    assert all(map(torch.equal, before, [prediction.probabilities for prediction in network.predict(image)]))
