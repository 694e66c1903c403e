"""Evaluation: metrics, reports and figures from tensors and arrays.

matplotlib is loaded by the first figure that is drawn, never by importing this package.
"""

from longtail.evaluation.calibration import BINS, calibration_error
from longtail.evaluation.class_metrics import CLASS_METRICS, class_metrics, recall_by_class
from longtail.evaluation.class_offsets import OBJECTIVES, fit_class_offsets
from longtail.evaluation.classes import Classes
from longtail.evaluation.confusion import ConfusionMatrix
from longtail.evaluation.ensemble import check_ensemble, ensemble_heads, ensemble_logits
from longtail.evaluation.evaluator import TOP_K, Evaluator
from longtail.evaluation.figures.confusion import plot_confusion
from longtail.evaluation.figures.feature_map import plot_feature_map
from longtail.evaluation.figures.subclasses import plot_subclass_sizes
from longtail.evaluation.figures.training import plot_class_counts, plot_curves, plot_per_class_accuracy
from longtail.evaluation.report import results_table, summary, write_confusion_npz, write_per_class
from longtail.evaluation.samples import SampleRecorder, Samples, join_samples, read_samples, write_samples
from longtail.evaluation.shots import FEW, GROUPS, MANY, shot_accuracy, shot_groups
from longtail.evaluation.sweeps import plot_sweep, sweep_rows, write_sweep
from longtail.evaluation.temperature import fit_temperature

__all__ = [
    "BINS",
    "CLASS_METRICS",
    "FEW",
    "GROUPS",
    "MANY",
    "OBJECTIVES",
    "TOP_K",
    "Classes",
    "ConfusionMatrix",
    "Evaluator",
    "SampleRecorder",
    "Samples",
    "calibration_error",
    "check_ensemble",
    "class_metrics",
    "ensemble_heads",
    "ensemble_logits",
    "fit_class_offsets",
    "fit_temperature",
    "join_samples",
    "plot_class_counts",
    "plot_confusion",
    "plot_curves",
    "plot_feature_map",
    "plot_per_class_accuracy",
    "plot_subclass_sizes",
    "plot_sweep",
    "read_samples",
    "recall_by_class",
    "results_table",
    "shot_accuracy",
    "shot_groups",
    "summary",
    "sweep_rows",
    "write_confusion_npz",
    "write_per_class",
    "write_samples",
    "write_sweep",
]
