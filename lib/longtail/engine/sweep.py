"""Judging a trained network under many strengths of a correction, from one pass over the images."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data import build_normalize
from longtail.engine.distributed import sum_over_processes
from longtail.engine.judging import Subject, subject, write_on_main
from longtail.errors import UserError
from longtail.evaluation import Judge, plot_sweep, results_table, sweep_rows, write_sweep
from longtail.models import Readout, build_readout

logger = logging.getLogger(__name__)


class Parameter(NamedTuple):
    """A strength that can be swept.

    Attributes:
        title: for the picture.
        key: of the tree.
        values: the default grid.
        fixed: KEY, VALUE, ... that switch the correction on.
    """

    title: str
    key: str
    values: tuple[float, ...]
    fixed: tuple[Any, ...] = ()


PARAMETERS = {
    "tau": Parameter(
        "tau-normalisation",
        "TEST.TAU_NORM.TAU",
        tuple(step / 10 for step in range(11)),
        ("TEST.TAU_NORM.USE_TAU_NORM", True),
    ),
    "logit_adjustment": Parameter(
        "post-hoc logit adjustment", "TEST.LOGIT_ADJUSTMENT", tuple(step / 4 for step in range(9))
    ),
}


def sweep(cfg: CfgNode, folder: Path, parameter: str, values: Sequence[float] = (), gpus: str | None = None) -> Path:
    """Judge a checkpoint once per value; whatever else the tree corrects stays as it is.

    Args:
        cfg: as for `validate`.
        folder: as for `validate`.
        parameter: "tau" or "logit_adjustment".
        values: strengths, not negative; none: the default grid.
        gpus: as for `validate`.

    Returns:
        a new folder in the run directory with <parameter>_sweep.csv and <parameter>_sweep.png.

    Raises:
        UserError: as for `validate`, or a value is negative.
    """
    swept = PARAMETERS[parameter]
    values = sorted(set(values or swept.values))
    if values[0] < 0 or not all(value < float("inf") for value in values):
        raise UserError(f"{swept.key} cannot be {values[0] if values[0] < 0 else values[-1]}; it must be at least 0")
    trees = [_with(cfg, *swept.fixed, swept.key, value) for value in values]
    with subject(cfg, folder, gpus) as it:
        readouts = [build_readout(tree, it.network, it.splits.train.class_counts()) for tree in trees]
        seen = list(_features(it))
        results = [_judge(it, readout, seen).results() for readout in readouts]
        rows = sweep_rows(parameter, values, results)

        def write(output: Path) -> None:
            write_sweep(output / f"{parameter}_sweep.csv", rows)
            plot_sweep(output / f"{parameter}_sweep.png", swept.title, values, results)
            images = len(it.splits.valid)
            logger.info("%s of %s on %s (%d images)", swept.title, it.checkpoint, it.splits.valid.name, images)
            for line in results_table(rows).splitlines():
                logger.info("  %s", line)
            logger.info("table and picture in %s", output)

        return write_on_main(it.run, write)


def _with(cfg: CfgNode, *pairs: Any) -> CfgNode:
    """Return a copy of a tree with other values of some keys."""
    tree = cfg.clone()
    tree.defrost()
    tree.merge_from_list(list(pairs))
    tree.freeze()
    return tree


@torch.no_grad()
def _features(it: Subject) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the features (E, B, D) and labels (B,) of every batch, in main memory."""
    normalize = build_normalize(it.cfg)
    it.network.eval()
    for batch in it.loader.epoch(1):
        with it.context():
            features = it.network(normalize(batch.to(it.device).images)[0]).features
        yield features.cpu(), batch.labels


@torch.no_grad()
def _judge(it: Subject, readout: Readout, seen: list[tuple[Tensor, Tensor]]) -> Judge:
    """Judge what a readout makes of the features that were seen."""
    judge = it.new_judge()
    for features, labels in seen:
        with it.context():
            logits = readout(features.to(it.device))
        judge.update(logits, labels.to(it.device))
    sum_over_processes(judge.to(it.device).state())
    return judge
