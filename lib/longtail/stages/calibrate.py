"""The stage that chooses the strength of a correction on one split and reports another."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import changed
from longtail.distributed import Place
from longtail.evaluation import plot_sweep, summary, sweep_rows, write_sweep
from longtail.models import build_adjusted_heads
from longtail.runs.folder import LockedFolder
from longtail.stages.calibration_spec import STRENGTHS, Calibration
from longtail.stages.evaluate import EvaluationSetup, evaluation_setup, write_on_main
from longtail.stages.sweep import Encoded, collect_features, evaluate_heads, part_of

logger = logging.getLogger(__name__)


def calibrate(cfg: CfgNode, folder: Path, calibration: Calibration, *, place: Place) -> Path:
    """Choose the strength with the highest ensemble top-1 on one split, and evaluate another split with it.

    Args:
        cfg, folder, place: See `validate`.
        calibration: Strength, values and splits. Without a test split, a part of the validation images may be held out
            for the choice, see `Calibration`.

    Returns:
        A new folder in the run directory with results.json (entries as in `validate`, and "calibration"), and table and
        figure of the sweep.
    """
    with evaluation_setup(cfg, folder, place=place) as setup:
        calibration = calibration.resolved(cfg)
        values, split = calibration.values, calibration.report_on
        encoded = _encode(cfg, setup, calibration)

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
            "hold_out": calibration.hold_out,
            "values": list(values),
            "fit_top1": [result["ensemble"].get("top1") for result in swept],
            "without": unadjusted["ensemble"],
            "ensemble_of": list(setup.new_evaluator().members),
        }

        def write(output: Path) -> None:
            _write(setup, output, choice, swept=swept, reported=reported)

        return write_on_main(setup, write)


def _encode(cfg: CfgNode, setup: EvaluationSetup, calibration: Calibration) -> dict[str, Encoded]:
    """Return the encoded samples of both splits of a calibration."""
    names = dict.fromkeys((calibration.fit_on, calibration.report_on))
    if not calibration.hold_out:
        return {name: collect_features(setup, setup.loader_of(cfg, name)) for name in names}
    chosen = held_out(setup.splits.valid.labels, calibration.hold_out, seed=cfg.RAND_SEED)
    encoded = collect_features(setup, setup.loader)
    return {calibration.fit_on: part_of(encoded, chosen), calibration.report_on: part_of(encoded, ~chosen)}


def held_out(labels: Tensor, fraction: float, *, seed: int) -> Tensor:
    """Choose a fraction of the samples of every class at random, to the nearest number of samples, (N,) bool.

    Args:
        labels: Class ids, (N,).
        fraction: In (0, 1).
        seed: Of the choice.
    """
    random = torch.rand(len(labels), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    order = (labels + random).argsort()  # class by class
    counts = torch.bincount(labels)
    ranks = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[order] = ranks < (fraction * counts[labels[order]] + 0.5).floor()
    return chosen


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
