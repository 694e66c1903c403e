"""The stage that chooses a correction on one split and reports its effect on another."""

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import changed, to_yaml
from longtail.distributed import Place
from longtail.errors import UserError
from longtail.evaluation import GROUPS, plot_sweep, results_table, sweep_rows, write_sweep
from longtail.output_folders import RESULTS
from longtail.runs.directory import absolute_paths
from longtail.runs.folder import LockedFolder
from longtail.runs.named import CALIBRATED
from longtail.stages.calibration_fit import Corrected, Fit, fit
from longtail.stages.calibration_spec import Calibration
from longtail.stages.evaluate import EvaluationSetup, evaluation_setup, write_on_main
from longtail.stages.sweep import Encoded, collect_features, part_of

SHOWN = ("top1", *GROUPS, "macro_f1", "balanced_accuracy", "nll", "ece")

logger = logging.getLogger(__name__)


def calibrate(cfg: CfgNode, folder: Path, calibration: Calibration, *, place: Place) -> Path:
    """Choose the value of a key on one split, and evaluate another split with it.

    Args:
        cfg, folder, place: See `validate`.
        calibration: Key, splits and objective. Without a test split, a fraction of the validation images may be held
            out for the choice, see `Calibration`.

    Returns:
        A new folder in the run directory with results.json (entries as in `validate`, and "calibration"), a table, a
        figure (for a strength), and calibrated.yaml, the config with the chosen value for `longtail valid`, `predict`
        and `export`.
    """
    with evaluation_setup(cfg, folder, place=place) as setup:
        calibration = calibration.resolved(has_test=setup.splits.test is not None)
        encoded = _encode(cfg, setup, calibration)
        corrected = Corrected(cfg, setup, calibration.over)
        found = fit(corrected, calibration, encoded[calibration.fit_on])
        columns = {"without": found.neutral, "with": found.value}
        results = {
            split: {name: corrected.results(value, encoded[split]) for name, value in columns.items()}
            for split in dict.fromkeys((calibration.fit_on, calibration.report_on))
        }
        images = getattr(setup.splits, calibration.fit_on).fingerprint()
        choice = _choice(calibration, found, results, members=setup.new_evaluator().members, images=images)
        chosen = changed(corrected.config(found.value), "TEST.MODEL_FILE", str(setup.checkpoint.absolute()))

        def write(output: Path) -> None:
            write_calibrated(output, chosen)
            _write(setup, output, choice, swept=found.swept, results=results)

        return write_on_main(setup, write)


def write_calibrated(folder: Path, cfg: CfgNode) -> None:
    """Write the config with the chosen value into a folder."""
    LockedFolder(folder).write_text(CALIBRATED, to_yaml(absolute_paths(cfg)))


def _choice(
    calibration: Calibration, found: Fit, results: dict[str, dict[str, Any]], *, members: Sequence[int], images: str
) -> dict[str, Any]:
    """Return the entry "calibration" of results.json; `images` is the fingerprint of the split of the choice."""
    fit_on, report_on = results[calibration.fit_on], results[calibration.report_on]
    choice = {
        "key": calibration.over,
        "value": found.value,
        "objective": calibration.objective,
        "fit_on": calibration.fit_on,
        "fit_images": images,
        "report_on": calibration.report_on,
        "same_split": calibration.fit_on == calibration.report_on,
        "hold_out": calibration.hold_out,
        "fit_without": fit_on["without"]["ensemble"],
        "fit_with": fit_on["with"]["ensemble"],
        "without": report_on["without"]["ensemble"],
        "ensemble_of": list(members),
    }
    if not found.swept:
        return choice
    tried = [result["ensemble"].get("top1") for result in found.swept]
    return {**choice, "values": list(calibration.values), "fit_top1": tried}


def _encode(cfg: CfgNode, setup: EvaluationSetup, calibration: Calibration) -> dict[str, Encoded]:
    """Return the encoded samples of both splits of a calibration.

    Raises:
        UserError: One of them would be empty.
    """
    names = dict.fromkeys((calibration.fit_on, calibration.report_on))
    if not calibration.hold_out:
        encoded: dict[str, Encoded] = {}
        for name in names:
            with contextlib.closing(setup.loader_of(cfg, name)) as loader:
                encoded[name] = collect_features(setup, loader)
        return encoded
    chosen = held_out(setup.splits.valid.labels, calibration.hold_out, seed=cfg.RAND_SEED)
    if not chosen.any() or chosen.all():
        raise UserError(
            f"hold_out {calibration.hold_out:g} leaves no images to {'report' if chosen.any() else 'choose on'}: it is "
            f"a fraction of every class, and {setup.splits.valid.name} has {len(chosen)} images"
        )
    samples = collect_features(setup, setup.loader)
    return {calibration.fit_on: part_of(samples, chosen), calibration.report_on: part_of(samples, ~chosen)}


def held_out(labels: Tensor, fraction: float, *, seed: int) -> Tensor:
    """Choose a fraction of the samples of every class at random, rounded to whole samples, (N,) bool.

    Args:
        labels: Class ids, (N,).
        fraction: Fraction in (0, 1).
        seed: Seed of the choice.
    """
    random = torch.rand(len(labels), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    order = (labels + random).argsort()  # class by class
    counts = torch.bincount(labels)
    ranks = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[order] = ranks < (fraction * counts[labels[order]] + 0.5).floor()
    return chosen


def _write(
    setup: EvaluationSetup,
    output: Path,
    choice: dict[str, Any],
    *,
    swept: list[dict[str, Any]],
    results: dict[str, dict[str, Any]],
) -> None:
    name = choice["key"].rpartition(".")[2].lower()
    rows = [
        {"split": split, name: column, **{key: result["ensemble"].get(key) for key in SHOWN}}
        for split, columns in results.items()
        for column, result in columns.items()
    ]
    write_sweep(output / "calibration.csv", rows)
    if swept:
        write_sweep(output / f"{name}_sweep.csv", sweep_rows(name, choice["values"], swept))
        plot_sweep(output / f"{name}_sweep.png", f"{choice['key']} on {choice['fit_on']}", choice["values"], swept)
    reported = results[choice["report_on"]]["with"]
    head = {"checkpoint": str(setup.checkpoint), "split": choice["report_on"]}
    LockedFolder(output).write_json(RESULTS, {**head, "calibration": choice, **reported})
    same = "; chosen on the reported split, which overstates the result" if choice["same_split"] else ""
    logger.info("%s %s chosen on %s%s:", choice["key"], _shown(choice["value"]), choice["fit_on"], same)
    for line in results_table(rows).splitlines():
        logger.info("  %s", line)
    logger.info("to use it: longtail predict %s IMAGES", output / CALIBRATED)


def _shown(value: Any) -> str:
    """Return a number, or the range of several, as text."""
    if not isinstance(value, list):
        return f"{value:g}"
    return f"between {min(value):+g} and {max(value):+g}"
