"""Redrawing the figures of a finished run from its files."""

from pathlib import Path

from longtail.errors import UserError
from longtail.evaluation import (
    Classes,
    ConfusionMatrix,
    plot_class_counts,
    plot_confusion,
    plot_curves,
    plot_per_class_accuracy,
)
from longtail.reporting.record import RunRecord


def redraw_figures(record: RunRecord) -> list[Path]:
    """Redraw the figures of a run into its figures/, and return their files.

    Class counts, accuracy per class and confusion matrix come from the newest evaluation.

    Raises:
        UserError: There is nothing to draw.
    """
    folder, drawn = record.run.make_figures(), []
    if record.history:
        drawn.append(folder / "curves.png")
        plot_curves(drawn[-1], record.history)
    if record.confusion is not None and record.classes is not None and record.cfg is not None:
        counts = [int(row["training_images"]) for row in record.classes]
        listed = [row.get("name") or "" for row in record.classes]
        test = record.cfg.TEST
        classes = Classes(counts, listed if any(listed) else (), many=test.MANY_SHOT, few=test.FEW_SHOT)
        cm = ConfusionMatrix.from_matrix(record.confusion)
        drawn += [folder / name for name in ("class_counts.png", "per_class_accuracy.png", "confusion.png")]
        plot_class_counts(drawn[-3], classes)
        plot_per_class_accuracy(drawn[-2], cm, classes)
        plot_confusion(drawn[-1], cm, classes)
    if not drawn:
        raise UserError(f"{record.run.path} has nothing to draw: no epochs in metrics.jsonl and no evaluation")
    return drawn
