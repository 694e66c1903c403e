"""The stage that chooses the strength of a correction on one split and reports another."""

import logging
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import changed
from longtail.distributed import Place
from longtail.evaluation import plot_sweep, summary, sweep_rows, write_sweep
from longtail.models import build_adjusted_heads
from longtail.runs.folder import LockedFolder
from longtail.stages.calibration_spec import STRENGTHS, Calibration
from longtail.stages.evaluate import EvaluationSetup, evaluation_setup, write_on_main
from longtail.stages.sweep import Encoded, collect_features, evaluate_heads

logger = logging.getLogger(__name__)


def calibrate(cfg: CfgNode, folder: Path, calibration: Calibration, *, place: Place) -> Path:
    """Choose the strength with the highest ensemble top-1 on one split, and evaluate another split with it.

    Args:
        cfg, folder, place: See `validate`.
        calibration: Strength, values and splits.

    Returns:
        A new folder in the run directory with results.json (entries as in `validate`, and "calibration"), and table and
        figure of the sweep.
    """
    with evaluation_setup(cfg, folder, place=place) as setup:
        values, split = calibration.values, calibration.report_on
        splits = dict.fromkeys((calibration.fit_on, split))
        encoded = {name: collect_features(setup, setup.loader_of(cfg, name)) for name in splits}

        def results(value: float, split: str) -> dict[str, Any]:
            return _results(cfg, setup, calibration, value=value, encoded=encoded[split])

        swept = [results(value, calibration.fit_on) for value in values]
        best = max(range(len(values)), key=lambda index: (swept[index]["ensemble"].get("top1", 0.0), -index))
        strength = values[best]
        reported, unadjusted = results(strength, split), results(0.0, split)
        choice = {
            "key": calibration.over,
            "value": strength,
            "fit_on": calibration.fit_on,
            "report_on": split,
            "same_split": calibration.fit_on == split,
            "values": list(values),
            "fit_top1": [result["ensemble"].get("top1") for result in swept],
            "without": unadjusted["ensemble"],
            "ensemble_of": list(setup.new_evaluator().members),
        }

        def write(output: Path) -> None:
            _write(setup, output, choice, swept=swept, reported=reported)

        return write_on_main(setup, write)


def _results(
    cfg: CfgNode, setup: EvaluationSetup, calibration: Calibration, *, value: float, encoded: Encoded
) -> dict[str, Any]:
    """Return the results of one strength on one split."""
    corrected = changed(cfg, *STRENGTHS[calibration.over], calibration.over, value)
    heads = build_adjusted_heads(corrected, setup.network.heads, class_counts=setup.class_counts())
    return evaluate_heads(setup, heads, encoded=encoded).results()


def _write(
    setup: EvaluationSetup,
    output: Path,
    choice: dict[str, Any],
    *,
    swept: list[dict[str, Any]],
    reported: dict[str, Any],
) -> None:
    name = choice["key"].rpartition(".")[2].lower()
    write_sweep(output / f"{name}_sweep.csv", sweep_rows(name, choice["values"], swept))
    plot_sweep(output / f"{name}_sweep.png", f"{choice['key']} on {choice['fit_on']}", choice["values"], swept)
    head = {"checkpoint": str(setup.checkpoint), "split": choice["report_on"]}
    LockedFolder(output).write_json("results.json", {**head, "calibration": choice, **reported})
    same = "; chosen on the reported split, which overstates the result" if choice["same_split"] else ""
    logger.info(
        "%s %g chosen on %s%s; on %s:", choice["key"], choice["value"], choice["fit_on"], same, choice["report_on"]
    )
    for line in summary(reported):
        logger.info("  %s", line)
