"""Decision thresholds per class."""

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import Tensor

from longtail.evaluation import OBJECTIVES, fit_class_offsets
from longtail.evaluation.class_offsets import _Ranking

ROUNDS, GRID = 10, [step / 10 for step in range(-30, 31)]


def skewed(samples: int = 600, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return logits that prefer the first classes, and labels that are equally frequent."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (samples,), generator=random)
    logits = torch.randn(samples, classes, generator=random, dtype=torch.float64)
    logits[torch.arange(samples), labels] += 1.5
    return logits - 0.7 * torch.arange(classes), labels


def score(name: str, labels: Tensor, predictions: Tensor) -> float:
    true, found = labels.numpy(), predictions.numpy()
    return (
        balanced_accuracy_score(true, found) if name == "balanced_accuracy" else f1_score(true, found, average="macro")
    )


def naive(logits: Tensor, labels: Tensor, objective: str) -> list[float]:
    """Coordinate ascent with scikit-learn's metrics, one candidate at a time."""
    offsets = [0.0] * logits.shape[1]

    def value(label: int, candidate: float) -> float:
        tried = [*offsets[:label], candidate, *offsets[label + 1 :]]
        return score(objective, labels, (logits + torch.tensor(tried, dtype=torch.float64)).argmax(dim=1))

    for _ in range(ROUNDS):
        before = list(offsets)
        for label in range(len(offsets)):
            if int((labels == label).sum()) < 5:
                continue
            candidates = [offsets[label], *sorted(GRID, key=abs)]
            values = [value(label, candidate) for candidate in candidates]
            offsets[label] = candidates[next(i for i, v in enumerate(values) if v > max(values) - 1e-9)]
        if offsets == before:
            break
    return offsets


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", [0, 8])  # 8: the third round still changes an offset
def test_fit_class_offsets_equals_the_naive_search(objective: str, seed: int) -> None:
    logits, labels = skewed(80, 3, seed)
    assert fit_class_offsets(logits, labels, objective) == pytest.approx(naive(logits, labels, objective), abs=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_fit_class_offsets_raises_the_objective(objective: str) -> None:
    logits, labels = skewed()
    found = torch.tensor(fit_class_offsets(logits, labels, objective), dtype=torch.float64)
    before, after = (score(objective, labels, scores.argmax(dim=1)) for scores in (logits, logits + found))
    assert after > before + 0.03
    assert found[-1] > found[0]  # the class that the logits neglect


def test_fit_class_offsets_keeps_zero_for_classes_with_few_images() -> None:
    logits, labels = skewed(classes=5)
    few = torch.cat([(labels == 4).nonzero()[:4, 0], (labels < 4).nonzero()[:, 0]])
    assert fit_class_offsets(logits[few], labels[few], "macro_f1")[4] == 0


def test_fit_class_offsets_changes_classes_with_five_images() -> None:
    logits, labels = skewed(classes=5)
    few = torch.cat([(labels == 4).nonzero()[:5, 0], (labels < 4).nonzero()[:, 0]])
    assert fit_class_offsets(logits[few], labels[few], "balanced_accuracy")[4] > 0


@pytest.mark.parametrize("seed", range(3))
def test_ranking_follows_every_change_of_an_offset(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, 6, generator=random, dtype=torch.float64)
    ranking, offsets = _Ranking(logits), torch.zeros(6, dtype=torch.float64)
    for label in torch.randint(6, (30,), generator=random).tolist():
        tried = 3 * torch.randn(4, generator=random, dtype=torch.float64)
        for found, value in zip(ranking.predictions(label, tried), tried, strict=True):
            changed = offsets.clone()
            changed[label] = value
            assert torch.equal(found, (logits + changed).argmax(dim=1))
        offsets[label] = tried[0]
        ranking.set_offset(label, tried[0])


def test_fit_class_offsets_changes_nothing_where_every_sample_is_right() -> None:
    logits, labels = 20 * torch.eye(3).repeat(6, 1), torch.arange(3).repeat(6)
    assert fit_class_offsets(logits, labels, "macro_f1") == [0.0, 0.0, 0.0]
    assert fit_class_offsets(torch.zeros(6, 1), torch.zeros(6, dtype=torch.int64), "macro_f1") == [0.0]
