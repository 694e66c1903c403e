"""How a calibration stage finds the value of each key: from a list of strengths, or by computing it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import changed
from longtail.distributed import gather_to_all
from longtail.evaluation import ensemble_logits, fit_class_offsets, fit_temperature
from longtail.models import build_adjusted_heads
from longtail.models.priors import prior_offset
from longtail.stages.calibration_spec import OFFSETS, STRENGTHS, TEMPERATURE, Calibration
from longtail.stages.evaluate import EvaluationSetup
from longtail.stages.sweep import Encoded, evaluate_heads, logits_of


@dataclass(frozen=True)
class Fit:
    """Result of a calibration.

    Attributes:
        value: Chosen value of the key.
        neutral: Value of the key that changes nothing.
        swept: Results of each strength on the split of the choice; empty for a computed value.
    """

    value: Any
    neutral: Any
    swept: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Corrected:
    """Results of a network with a value of the calibrated key.

    Attributes:
        cfg: Config.
        setup: Components of the evaluation.
        over: The key.
    """

    cfg: CfgNode
    setup: EvaluationSetup
    over: str

    def config(self, value: Any) -> CfgNode:
        """Return the config with a value of the key."""
        return changed(self.cfg, *STRENGTHS.get(self.over, ()), self.over, value)

    def results(self, value: Any, encoded: Encoded) -> dict[str, Any]:
        """Return the results of a value on a split."""
        heads = build_adjusted_heads(self.config(value), self.setup.network.heads, class_counts=self.setup.class_counts)
        return evaluate_heads(self.setup, heads, encoded=encoded).results()


def fit(corrected: Corrected, calibration: Calibration, encoded: Encoded) -> Fit:
    """Choose the value of the calibrated key on a split.

    Args:
        corrected: Network, config and key.
        calibration: Key and objective.
        encoded: Encoded samples of the split, this process's shard.
    """
    return FITS.get(calibration.over, _fit_strength)(corrected, calibration, encoded)


def _fit_strength(corrected: Corrected, calibration: Calibration, encoded: Encoded) -> Fit:
    """Choose the strength with the highest top-1 of the ensemble; of ties, the first one."""
    values = calibration.values
    swept = [corrected.results(value, encoded) for value in values]
    best = max(range(len(values)), key=lambda index: (swept[index]["ensemble"].get("top1", 0.0), -index))
    return Fit(values[best], 0.0, swept)


def _fit_temperature(corrected: Corrected, calibration: Calibration, encoded: Encoded) -> Fit:
    cfg = corrected.config(1.0)
    logits, labels = _ensemble(changed(cfg, "TEST.PRIOR", "uniform"), corrected.setup, encoded)
    prior = prior_offset(cfg.TEST.PRIOR, corrected.setup.class_counts)
    return Fit(round(fit_temperature(logits, labels, offset=prior), 6), 1.0)


def _fit_class_offsets(corrected: Corrected, calibration: Calibration, encoded: Encoded) -> Fit:
    logits, labels = _ensemble(corrected.config([]), corrected.setup, encoded)
    # Offsets are added before the division by the temperature.
    return Fit(fit_class_offsets(logits * corrected.cfg.TEST.TEMPERATURE, labels, calibration.objective), [])


FITS: dict[str, Callable[[Corrected, Calibration, Encoded], Fit]] = {
    TEMPERATURE: _fit_temperature,
    OFFSETS: _fit_class_offsets,
}


@torch.no_grad()
def _ensemble(cfg: CfgNode, setup: EvaluationSetup, encoded: Encoded) -> tuple[Tensor, Tensor]:
    """Return the ensemble's logits (N, C) and the labels (N,) of the samples of all processes, in their order."""
    heads = build_adjusted_heads(cfg, setup.network.heads, class_counts=setup.class_counts)
    members = setup.new_evaluator().members
    parts = [
        (ensemble_logits(logits_of(setup, heads, batch), members).cpu(), batch.labels, batch.indices)
        for batch in encoded
    ]
    rows = [part for process in gather_to_all(parts) for part in process]
    logits, labels, indices = (torch.cat(tensors) for tensors in zip(*rows, strict=True))
    order = indices.argsort()
    return logits[order], labels[order]
