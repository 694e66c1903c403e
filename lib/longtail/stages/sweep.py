"""The stage that evaluates a trained network with several strengths of a correction in one pass over the images."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import changed
from longtail.data import Loader
from longtail.distributed import Place, sum_over_processes
from longtail.engine.diagnose import find_non_finite
from longtail.engine.finite_guard import NotFinite
from longtail.engine.inference import outputs
from longtail.evaluation import Evaluator, plot_sweep, results_table, sweep_rows, write_sweep
from longtail.models import AdjustedHeads, StackedFeatures, build_adjusted_heads
from longtail.stages.evaluate import EvaluationSetup, evaluation_setup, write_on_main

logger = logging.getLogger(__name__)


class EncodedBatch(NamedTuple):
    """The inputs of the heads for a batch, in main memory.

    Attributes:
        features: Input of every head, (B, V, D_e) for the V views of TEST.TTA.
        labels: Class ids, (B,).
        indices: Positions in the split, (B,).
    """

    features: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor


Encoded = list[EncodedBatch]


class Parameter(NamedTuple):
    """A strength that can be swept.

    Attributes:
        title: Title of the figure.
        key: Key of the config.
        values: Default grid.
        fixed: KEY, VALUE, ... that switch the correction on.
    """

    title: str
    key: str
    values: tuple[float, ...]
    fixed: tuple[Any, ...] = ()


PARAMETERS = {
    "tau": Parameter(
        "tau-normalization",
        "TEST.TAU_NORM.TAU",
        tuple(step / 10 for step in range(11)),
        ("TEST.TAU_NORM.USE_TAU_NORM", True),
    ),
    "logit_adjustment": Parameter(
        "post-hoc logit adjustment", "TEST.LOGIT_ADJUSTMENT", tuple(step / 4 for step in range(9))
    ),
}


def sweep(
    cfg: CfgNode, folder: Path, parameter: str, *, place: Place, values: Sequence[float] = (), split: str = "valid"
) -> Path:
    """Evaluate a checkpoint once per value, with the other corrections of the config.

    Args:
        cfg, folder, place, split: See `validate`.
        parameter: "tau" or "logit_adjustment".
        values: Strengths, not negative; empty: the default grid.

    Returns:
        A new folder in the run directory with <parameter>_sweep.csv and <parameter>_sweep.png.

    Raises:
        UserError: As for `validate`, or a value is negative.
    """
    swept = PARAMETERS[parameter]
    values = sorted(set(values or swept.values))  # each is checked as a value of its key
    configs = [changed(cfg, *swept.fixed, swept.key, value) for value in values]
    with evaluation_setup(cfg, folder, place=place, split=split) as setup:
        counts = setup.class_counts
        corrected = [build_adjusted_heads(config, setup.network.heads, class_counts=counts) for config in configs]
        encoded = collect_features(setup, setup.loader)
        results = [evaluate_heads(setup, heads, encoded=encoded).results() for heads in corrected]
        rows = sweep_rows(parameter, values, results)

        def write(output: Path) -> None:
            write_sweep(output / f"{parameter}_sweep.csv", rows)
            plot_sweep(output / f"{parameter}_sweep.png", swept.title, values, results)
            valid = setup.splits.valid
            logger.info("%s of %s on %s (%d images)", swept.title, setup.checkpoint, valid.name, len(valid))
            for line in results_table(rows).splitlines():
                logger.info("  %s", line)
            logger.info("table and figure in %s", output)

        return write_on_main(setup, write)


def collect_features(setup: EvaluationSetup, loader: Loader) -> Encoded:
    """Return the inputs of the heads for every batch of a loader."""
    network = StackedFeatures(setup.network, setup.views)
    passes = outputs(network, loader, normalize=setup.normalize, place=setup.place)
    return [
        EncodedBatch(tuple(feature.cpu() for feature in output.features), batch.labels.cpu(), batch.indices.cpu())
        for batch, output in passes
    ]


def part_of(encoded: Encoded, chosen: Tensor) -> Encoded:
    """Return the chosen samples of a split; `chosen` is (N,) bool."""
    rows = [(batch, chosen[batch.indices]) for batch in encoded]
    return [
        EncodedBatch(tuple(feature[kept] for feature in batch.features), batch.labels[kept], batch.indices[kept])
        for batch, kept in rows
        if kept.any()
    ]


def logits_of(setup: EvaluationSetup, heads: AdjustedHeads, batch: EncodedBatch) -> Tensor:
    """Return the logits (E, B, C) of adjusted heads, the mean over the views, on the device."""
    size, views = batch.features[0].shape[:2]
    with setup.place.autocast():
        logits = heads(tuple(feature.to(setup.place.device).flatten(0, 1) for feature in batch.features))
    return logits.unflatten(1, (size, views)).mean(dim=2)


@torch.no_grad()
def evaluate_heads(setup: EvaluationSetup, heads: AdjustedHeads, *, encoded: Encoded) -> Evaluator:
    """Evaluate adjusted heads on collected features, over all processes."""
    evaluator, device = setup.new_evaluator(), setup.place.device
    for batch in encoded:
        evaluator.update(logits_of(setup, heads, batch), batch.labels.to(device))
    sum_over_processes(evaluator.to(device).state())
    if evaluator.non_finite():
        raise NotFinite(
            f"{evaluator.non_finite():,} samples have logits that are not finite; "
            f"{find_non_finite(heads, None) or 'the features are not'}"
        )
    return evaluator
