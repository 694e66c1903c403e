"""Accuracy of a network of experts: of every expert and of their ensemble."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from longtail.evaluation.calibration import Likelihoods
from longtail.evaluation.class_metrics import class_metrics
from longtail.evaluation.confusion import ConfusionMatrix, Integers, add_pairs
from longtail.evaluation.ensemble import ensemble_heads, ensemble_logits
from longtail.evaluation.shots import FEW, GROUPS, MANY, accuracy_of_groups, counts_list, shot_groups
from longtail.evaluation.tallies import Tallies
from longtail.precision import in_float32

TOP_K = (1, 2, 3, 5)  # the accuracies that are reported; those above C are omitted
MATRIX_CLASSES = 20_000  # with more classes there is no confusion matrix: it would take 1.6 GB per expert


class Evaluator:
    """Accumulates the metrics of an evaluation, for E experts and for their ensemble.

    The ensemble is the mean of the raw logits of all experts, or of some of them. `update` only launches work on the
    device of the logits and never waits for it; `results` transfers the numbers to the host. Equal logits are ranked in
    class order, so that the top-1 prediction equals `argmax` and results do not depend on the device; NaN is last.

    Args:
        num_classes: Number of classes C.
        experts: Number of experts E.
        class_counts: (C,) training images per class.
        many: Smallest count of a "many" class.
        few: Largest count of a "few" class.
        device: Device of the counts until the first batch; needed if a process may get no batch and its state is
            reduced with that of the others.
        ensemble: Rule that selects the experts of the ensemble, see `ensemble_heads`.

    Attributes:
        has_confusion: Whether there are few enough classes for confusion matrices, see `MATRIX_CLASSES`.

    Raises:
        UserError: There is no such ensemble.
        ValueError: A number is not positive, `class_counts` does not have C entries, or the thresholds overlap.
    """

    def __init__(
        self,
        num_classes: int,
        experts: int,
        class_counts: Integers,
        *,
        many: int = MANY,
        few: int = FEW,
        device: torch.device | str = "cpu",
        ensemble: str = "mean",
    ) -> None:
        if num_classes < 1 or experts < 1:
            raise ValueError(f"cannot evaluate {experts} experts on {num_classes} classes")
        self.num_classes, self.experts, self.many, self.few = num_classes, experts, many, few
        self.members = ensemble_heads(ensemble, experts)
        self.class_counts = counts_list(class_counts, num_classes)
        # Overlapping thresholds are refused now, not after the evaluation.
        members = shot_groups(self.class_counts, many, few)
        self._group = torch.zeros(num_classes, dtype=torch.int64, device=device)  # number in GROUPS of each class
        for number, name in enumerate(GROUPS):
            self._group[members[name]] = number
        self.ks = [k for k in TOP_K if k <= num_classes]
        # One row per expert, then one for the ensemble; a single expert is its own ensemble. int32 halves the
        # largest part (iNaturalist, 3 experts: 1 GB) and still counts two billion samples in one cell.
        rows = experts if experts == 1 else experts + 1
        self.has_confusion = num_classes <= MATRIX_CLASSES
        cells = rows * num_classes if self.has_confusion else 0
        self._cells = torch.zeros(cells, num_classes, dtype=torch.int32, device=device)
        # Of each class: samples, then correct predictions of each row, then predictions of each row.
        self._tallies = torch.zeros(1 + 2 * rows, num_classes, dtype=torch.int64, device=device)
        self._topk = torch.zeros(rows, len(GROUPS), len(self.ks), dtype=torch.int64, device=device)
        # Evaluated samples, samples with an impossible label, and samples with logits that are not finite.
        self._seen = torch.zeros(3, dtype=torch.int64, device=device)
        self._likelihoods = Likelihoods(rows, len(GROUPS), device=device)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        A label outside 0..C-1 is not counted. `results` reports it, because checking here would wait for the device.

        Args:
            logits: (E, B, C) raw scores of every expert.
            labels: (B,) true classes, integers.

        Raises:
            ValueError: a shape does not fit.
        """
        if logits.dim() != 3 or logits.shape[0] != self.experts or logits.shape[2] != self.num_classes:
            raise ValueError(f"logits {tuple(logits.shape)} should be ({self.experts}, B, {self.num_classes})")
        if labels.shape != logits.shape[1:2]:
            raise ValueError(f"labels {tuple(labels.shape)} should be ({logits.shape[1]},)")
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise ValueError(f"labels must be integers, not {labels.dtype}")
        self.to(logits.device)
        scores = in_float32(logits.detach())
        ensemble = ensemble_logits(scores, self.members)
        if self.experts > 1:
            scores = torch.cat([scores, ensemble[None]])
        given = labels.detach().to(logits.device, torch.int64, non_blocking=True)
        known = (given >= 0) & (given < self.num_classes)
        true = given.clamp(0, self.num_classes - 1)
        group = self._group[true]
        finite = torch.isfinite(scores).all(dim=-1).all(dim=0)
        ordered = _ordered(scores)
        predictions = ordered.argmax(dim=-1)

        self._count(predictions, true, known=known)
        rank = _ranks(ordered, true)
        member = torch.stack([(group == number) & known for number in range(len(GROUPS))])
        for column, k in enumerate(self.ks):
            self._topk[:, :, column] += ((rank < k)[:, None] & member).sum(dim=-1)
        self._seen += torch.stack([known.sum(), (~known).sum(), (~finite).sum()])
        self._likelihoods.update(scores, true, group=group, known=known, predictions=predictions)

    def _count(self, predictions: Tensor, true: Tensor, *, known: Tensor) -> None:
        """Count predictions, (R, B), of the samples (B,) that are known."""
        rows = torch.arange(len(predictions), device=predictions.device)[:, None].expand_as(predictions)
        if self.has_confusion:
            place = rows * self.num_classes + true
            add_pairs(self._cells, place.flatten(), predictions.flatten(), known.repeat(len(rows)))
        correct = (predictions == true) & known
        self._tallies[0].index_add_(0, true, known.long())
        add_pairs(self._tallies, 1 + rows.flatten(), true.repeat(len(rows)), correct.flatten())
        add_pairs(self._tallies, 1 + len(rows) + rows.flatten(), predictions.flatten(), known.repeat(len(rows)))

    def to(self, device: torch.device | str) -> "Evaluator":
        """Move the counts to `device` and return self."""
        if self._cells.device != torch.device(device):
            self._cells, self._topk = self._cells.to(device), self._topk.to(device)
            self._tallies = self._tallies.to(device)
            self._seen, self._group = self._seen.to(device), self._group.to(device)
            self._likelihoods.to(device)
        return self

    def state(self) -> list[Tensor]:
        """Return the counts as tensors whose sum over disjoint shards is the state for all samples.

        They are not copies: sum them into new tensors, or all-reduce them in place once.
        """
        return [self._cells, self._topk, self._seen, self._likelihoods.cells, self._likelihoods.nll, self._tallies]

    def non_finite(self) -> int:
        """Return the number of samples with logits that are not finite, for which an accuracy is meaningless."""
        return int(self._seen[2])

    def confusion(self, which: int | Literal["ensemble"]) -> ConfusionMatrix:
        """Return the confusion matrix of one expert (0..E-1) or of the "ensemble".

        Raises:
            ValueError: There is no such expert, there are too many classes, or labels were out of range.
        """
        row = self._row(which)
        if not self.has_confusion:
            raise ValueError(f"there is no confusion matrix of {self.num_classes:,} classes, see `has_confusion`")
        self._refuse_bad_labels()
        return ConfusionMatrix.from_matrix(self._cells.view(-1, self.num_classes, self.num_classes)[row])

    def per_class(self, which: int | Literal["ensemble"]) -> Tallies:
        """Return the counts of each class of one expert (0..E-1) or of the "ensemble", for any number of classes.

        Raises:
            ValueError: There is no such expert, or labels were out of range.
        """
        row = self._row(which)
        self._refuse_bad_labels()
        rows = len(self._tallies) // 2
        return Tallies(self._tallies[[0, 1 + row, 1 + rows + row]])

    def results(self) -> dict[str, Any]:
        """Return the numbers to report.

        Returns:
            {"loss": mean cross-entropy of the ensemble logits, "ensemble": {...}, "experts": [the same for each]} with

            - "top1", "top2", ...: fractions of the samples whose class is among the k largest logits,
            - "many", "medium", "few": the top-1 accuracy of the shot groups,
            - the metrics of `class_metrics`, which weight all classes equally,
            - "nll": mean negative log-likelihood of the labels; "ece": expected calibration error, see
              `calibration_error`,
            - "top5_many", "nll_many", "ece_many", ...: the same inside the shot groups.

            Entries that do not exist are absent: a group without samples, a k above C, everything if nothing was
            evaluated. Loss and nll are not finite if the logits are not.

        Raises:
            ValueError: Labels were out of range.
        """
        self._refuse_bad_labels()
        if not int(self._seen[0]):
            return {"ensemble": {}, "experts": [{} for _ in range(self.experts)]}
        experts = [self._metrics(index) for index in range(self.experts)]
        ensemble = self._metrics("ensemble")
        return {"loss": ensemble["nll"], "ensemble": ensemble, "experts": experts}

    def _row(self, which: int | Literal["ensemble"]) -> int:
        """Return the row of an expert or the ensemble in all counts."""
        if which == "ensemble":
            return len(self._topk) - 1
        if isinstance(which, str) or not 0 <= which < self.experts:
            raise ValueError(f"no expert {which!r}; available: 0..{self.experts - 1} and 'ensemble'")
        return which

    def _metrics(self, which: int | Literal["ensemble"]) -> dict[str, float]:
        """Return the metrics of an expert or the ensemble."""
        row, counts = self._row(which), self.per_class(which)
        correct, support, predicted = counts.correct(), counts.support(), counts.predicted()
        shots = accuracy_of_groups(correct, support, self.class_counts, self.many, self.few)
        found = {name: value for name in GROUPS if (value := shots[name]) is not None}
        indices = {"": list(range(len(GROUPS))), **{name: [GROUPS.index(name)] for name in found}}
        likelihoods = self._likelihoods.metrics(row, indices)
        return self._top(row, found) | found | class_metrics(correct, support, predicted) | likelihoods

    def _top(self, row: int, shots: Iterable[str]) -> dict[str, float]:
        """Return the top-k accuracies over all samples and, from k = 2 on, inside the groups `shots`."""
        hits = self._topk[row].tolist()
        samples = self._topk.new_zeros(len(GROUPS)).index_add_(0, self._group, self._tallies[0]).tolist()
        top = {f"top{k}": sum(row[i] for row in hits) / sum(samples) for i, k in enumerate(self.ks)}
        inside = {
            f"top{k}_{name}": hits[number][i] / samples[number]
            for i, k in enumerate(self.ks)
            if k > 1
            for number, name in enumerate(GROUPS)
            if name in shots
        }
        return top | inside

    def _refuse_bad_labels(self) -> None:
        if bad := int(self._seen[1]):
            raise ValueError(f"{bad} labels are outside 0..{self.num_classes - 1}")


def _ordered(logits: Tensor) -> Tensor:
    """Return logits in which NaN, which cannot be compared, is replaced by -inf."""
    return logits.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def _ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the rank of the true class of each sample, (..., B), from 0, in logits (..., B, C)."""
    index = labels.to(logits.device, torch.int64)[..., None].expand(*logits.shape[:-1], 1)
    own = logits.gather(-1, index)
    earlier = torch.arange(logits.shape[-1], device=logits.device) < index
    return ((logits > own) | ((logits == own) & earlier)).sum(dim=-1)
