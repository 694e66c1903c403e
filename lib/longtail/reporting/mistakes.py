"""The section on the worst mistakes: images with the most confident wrong predictions."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from longtail.data import ImageSet, build_splits
from longtail.errors import UserError
from longtail.reporting.record import RunRecord
from longtail.reporting.reliability import NO_SAMPLES

MISTAKES = 36
SIDE = 96  # longer side of a thumbnail, in pixels


def worst_mistakes(record: RunRecord, *, images: bool) -> dict[str, Any] | str:
    """Return the wrong predictions of the ensemble with the highest confidence, the highest first.

    Args:
        record: Files of the run.
        images: Add thumbnails and paths of the validation images, if these exist and have not changed.

    Returns:
        {"items": [{"index", "true", "predicted", "confidence", "label_probability", "image" (a data URL), "path"}],
        "note": why there are no thumbnails, or ""}
    """
    samples = record.samples
    if samples is None:
        return NO_SAMPLES
    wrong = np.flatnonzero(samples.prediction[-1] != samples.label)
    worst = wrong[np.argsort(-samples.confidence[-1][wrong], kind="stable")][:MISTAKES]
    items: list[dict[str, Any]] = [
        {
            "index": int(samples.index[i]),
            "true": int(samples.label[i]),
            "predicted": int(samples.prediction[-1][i]),
            "confidence": float(samples.confidence[-1][i]),
            "label_probability": float(samples.label_probability[-1][i]),
        }
        for i in worst
    ]
    note = _add_images(record, items) if images and items else ""
    return {"items": items, "wrong": len(wrong), "samples": len(samples.label), "note": note}


def _add_images(record: RunRecord, items: list[dict[str, Any]]) -> str:
    """Add thumbnails to the items; return the reason if that is impossible, else an empty string."""
    try:
        valid = _validation_images(record)
        for item in items:
            if valid.paths:
                item["path"] = valid.paths[item["index"]]
            item["image"] = _thumbnail(valid, item["index"])
    except (UserError, OSError) as error:
        return f"No thumbnails: {error}"
    return ""


def _validation_images(record: RunRecord) -> ImageSet:
    """Return the images that were evaluated.

    Raises:
        UserError: They do not exist, or are not those of the evaluation.
    """
    if record.cfg is None or record.samples is None:
        raise UserError("config.yaml cannot be read")
    valid = build_splits(record.cfg, generated=False).valid
    index, label = record.samples.index, record.samples.label
    if index.max() >= len(valid) or not np.array_equal(valid.labels.numpy()[index], label):
        raise UserError("the validation images are not those of the evaluation")
    return valid


def _thumbnail(images: ImageSet, index: int) -> str:
    """Return a thumbnail as a data URL: PNG for small images, else JPEG."""
    loaded = images.load()
    pixels = loaded[index] if isinstance(loaded, Tensor) else loaded.read(index)[0]
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    small = max(image.size) <= SIDE
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, **({"format": "PNG"} if small else {"format": "JPEG", "quality": 85}))
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"
