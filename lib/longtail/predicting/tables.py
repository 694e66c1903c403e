"""Predictions as CSV or JSON."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from longtail.predicting.images import Decoded
from longtail.predicting.trained import Choice, Prediction

Row = tuple[str, Prediction]  # path of an image and its prediction


@dataclass(frozen=True)
class Columns:
    """The columns of a table of predictions, in addition to the path and the most probable class.

    Attributes:
        class_names: Names of the classes, (C,).
        top: Number of most probable classes.
        all: Write the probabilities of all classes.
        experts: Number of experts whose most probable class is written; 0: none.
    """

    class_names: Sequence[str]
    top: int = 1
    all: bool = False
    experts: int = 0

    def header(self) -> list[str]:
        """Return the names of the columns of a CSV file."""
        header = ["path", "class", "name", "probability"]
        for number in range(2, min(self.top, len(self.class_names)) + 1):
            header += [f"name_{number}", f"probability_{number}"]
        for number in range(1, self.experts + 1):
            header += [f"expert{number}_name", f"expert{number}_probability"]
        return header + [f"p({name})" for name in self.class_names if self.all]

    def cells(self, path: str, prediction: Prediction) -> list[Any]:
        """Return the cells of a CSV line."""
        choices = [*prediction.top[1:], *prediction.experts[: self.experts]]
        cells = [path, prediction.label, prediction.name, _digits(prediction.probability)]
        for choice in choices:
            cells += [choice.name, _digits(choice.probability)]
        return cells + [_digits(value) for value in prediction.probabilities.tolist() if self.all]

    def values(self, path: str, prediction: Prediction) -> dict[str, Any]:
        """Return the entry of a JSON file."""
        entry = {"path": path, **_values(prediction.top[0])}
        if self.top > 1:
            entry["top"] = [_values(choice) for choice in prediction.top]
        if self.experts:
            entry["experts"] = [_values(choice) for choice in prediction.experts]
        if self.all:
            entry["probabilities"] = prediction.probabilities.tolist()
        return entry


def write_csv(file: IO[str], rows: Iterable[Row], columns: Columns) -> None:
    """Write one line per image."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns.header())
    for path, prediction in rows:
        table.writerow(columns.cells(path, prediction))


def write_json(
    file: IO[str], rows: Iterable[Row], columns: Columns, *, checkpoint: str, unreadable: Sequence[Decoded]
) -> None:
    """Write {"checkpoint", "class_names", "predictions": [one entry per image], "unreadable": [{"path", "reason"}]}.

    Args:
        file: Open text file.
        rows: Paths and predictions.
        columns: Columns to write.
        checkpoint: File of the weights.
        unreadable: Files that cannot be read; may grow while the rows are read.
    """
    content = {
        "checkpoint": checkpoint,
        "class_names": list(columns.class_names),
        "predictions": [columns.values(path, prediction) for path, prediction in rows],
        "unreadable": [{"path": image.path, "reason": image.error} for image in unreadable],
    }
    json.dump(content, file, indent=1, ensure_ascii=False)
    file.write("\n")


def _values(choice: Choice) -> dict[str, Any]:
    return {"class": choice.label, "name": choice.name, "probability": choice.probability}


def _digits(probability: float) -> str:
    return f"{probability:.6f}"
