"""Evaluator: accuracy of every expert and of their ensemble."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.evaluation import CLASS_METRICS, ConfusionMatrix, Evaluator, class_metrics, shot_accuracy

COUNTS = [200, 150, 60, 40, 15, 8, 2]
C = len(COUNTS)


def batch(experts: int = 3, *, size: int = 90, classes: int = C, coarse: bool = False) -> tuple[Tensor, Tensor]:
    """Return logits and labels; coarse logits are full of ties."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(experts, size, classes, generator=generator)
    labels = torch.randint(classes, (size,), generator=generator)
    return (logits.round() if coarse else logits), labels


def evaluated(logits: Tensor, labels: Tensor, **options: Any) -> Evaluator:
    evaluator = Evaluator(logits.shape[2], logits.shape[0], class_counts=COUNTS[: logits.shape[2]], **options)
    evaluator.update(logits, labels)
    return evaluator


def topk_loop(scores: Tensor, labels: Tensor, k: int) -> int:
    hits = 0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        hits += label in sorted(range(len(row)), key=lambda index: (-row[index], index))[:k]
    return hits


# Results


@pytest.mark.parametrize("coarse", [False, True])
def test_evaluator_results_match_the_definition(coarse: bool) -> None:
    logits, labels = batch(coarse=coarse)
    evaluator = evaluated(logits, labels)
    results = evaluator.results()
    mean = logits.mean(0)
    for which, scores in enumerate([*logits, mean]):
        cm = ConfusionMatrix(C)
        cm.update(scores.argmax(-1), labels)
        wanted: dict[str, float | None] = {f"top{k}": topk_loop(scores, labels, k) / 90 for k in (1, 2, 3, 5)}
        wanted |= {name: value for name, value in shot_accuracy(cm, COUNTS).items() if name != "all"}
        ensemble = which == len(logits)
        wanted |= class_metrics(cm.correct(), cm.support(), cm.predicted())
        found = results["ensemble"] if ensemble else results["experts"][which]
        assert {key: found[key] for key in wanted} == wanted
        assert torch.equal(evaluator.confusion("ensemble" if ensemble else which).matrix, cm.matrix)
        assert wanted["top1"] == cm.accuracy()
    assert results["loss"] == pytest.approx(float(F.cross_entropy(mean.double(), labels)), rel=1e-6)


def test_evaluator_leaves_out_large_k_and_ranks_nan_last() -> None:
    logits = torch.tensor([[[float("nan"), 1.0, 0.0, -1.0], [0.0, float("nan"), 1.0, 0.5]]])
    evaluator = Evaluator(4, 1, class_counts=[9] * 4)
    evaluator.update(logits, torch.tensor([0, 2]))
    found = evaluator.results()["ensemble"]
    assert [found[f"top{k}"] for k in (1, 2, 3)] == [0.5, 0.5, 0.5] and "top5" not in found


def test_evaluator_ensemble_is_the_mean_of_raw_logits() -> None:
    # A mean of probabilities, and a vote, would choose class 1.
    logits = torch.tensor([[[9.0, 0, 0]], [[0, 4.0, 0]], [[0, 4.0, 0]]])
    evaluator = Evaluator(3, 3, class_counts=[9, 9, 9])
    evaluator.update(logits, torch.tensor([0]))
    assert evaluator.results()["ensemble"]["top1"] == 1


def test_evaluator_averages_half_precision_in_float32() -> None:
    logits = torch.tensor([[[512.0, 512.0]], [[1.0, 2.0]]], dtype=torch.bfloat16)  # in bf16 the mean is a tie
    evaluator = Evaluator(2, 2, class_counts=[9, 9])
    evaluator.update(logits, torch.tensor([1]))
    assert evaluator.results()["ensemble"]["top1"] == 1


def test_evaluator_states_of_shards_sum_to_the_whole() -> None:
    logits, labels = batch(size=101)
    whole = evaluated(logits, labels)
    order = torch.randperm(101, generator=torch.Generator().manual_seed(2))
    shards = [Evaluator(C, 3, class_counts=COUNTS).state()]  # one process sees no batch
    for shard in order.split(40):
        evaluator = Evaluator(C, 3, class_counts=COUNTS)
        for index in shard.split(7):
            evaluator.update(logits[:, index], labels[index])
        shards.append(evaluator.state())
    summed = Evaluator(C, 3, class_counts=COUNTS)
    for own, parts in zip(summed.state(), zip(*shards, strict=True), strict=True):
        own.copy_(torch.stack(parts).sum(0))
    for part, of_whole in zip(summed.state(), whole.state(), strict=True):
        assert torch.equal(part, of_whole) if not part.is_floating_point() else torch.allclose(part, of_whole)
    found, expected = summed.results(), whole.results()
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-9)
    for name in ("ensemble", 0, 1, 2):
        mine, wanted = (r["ensemble"] if name == "ensemble" else r["experts"][name] for r in (found, expected))
        assert mine == pytest.approx(wanted, rel=1e-9)
        assert {k: v for k, v in mine.items() if "nll" not in k} == {k: v for k, v in wanted.items() if "nll" not in k}


def test_evaluator_a_single_expert_is_the_ensemble() -> None:
    evaluator = evaluated(*batch(experts=1))
    results = evaluator.results()
    assert results["experts"] == [results["ensemble"]]
    assert torch.equal(evaluator.confusion(0).matrix, evaluator.confusion("ensemble").matrix)


def test_evaluator_results_leave_out_what_does_not_exist() -> None:
    logits, labels = batch(classes=4)
    results = evaluated(logits, labels).results()
    groups = {f"{name}_{shots}" for name in ("top2", "top3", "nll", "ece") for shots in ("many", "medium")}
    wanted = {"top1", "top2", "top3", "many", "medium", "nll", "ece", *CLASS_METRICS, *groups}
    assert set(results["ensemble"]) == wanted
    evaluator = Evaluator(4, 3, class_counts=[200, 50, 50, 5])
    evaluator.update(logits, labels.clamp(max=2))  # class 3 has no samples
    assert "few" not in evaluator.results()["ensemble"]


def test_evaluator_results_without_samples() -> None:
    assert Evaluator(4, 2, class_counts=[1, 2, 3, 4]).results() == {"ensemble": {}, "experts": [{}, {}]}
    evaluator = Evaluator(4, 2, class_counts=[1, 2, 3, 4])
    evaluator.update(torch.zeros(2, 0, 4), torch.zeros(0, dtype=torch.int64))
    assert evaluator.results()["ensemble"] == {}


def test_evaluator_uses_the_thresholds() -> None:
    results, other = evaluated(*batch(), many=50, few=3).results(), evaluated(*batch()).results()
    assert results["ensemble"]["many"] != other["ensemble"]["many"]


def test_evaluator_counts_samples_with_non_finite_logits() -> None:
    logits, labels = batch()
    evaluator = evaluated(logits, labels)
    assert evaluator.non_finite() == 0
    logits[1, 3, 2], logits[2, 3, 0], logits[0, 5, 1] = float("nan"), float("inf"), float("-inf")
    evaluator.update(logits, labels)
    assert evaluator.non_finite() == 2


def test_evaluator_counts_non_finite_logits_outside_of_the_ensemble() -> None:
    logits, labels = batch()
    logits[1, 3, 2] = float("nan")
    evaluator = evaluated(logits, labels, ensemble="last")
    assert evaluator.non_finite() == 1


def test_evaluator_moves_all_counts_to_another_device() -> None:
    evaluator = Evaluator(C, 3, class_counts=COUNTS).to("meta")
    tensors = [*vars(evaluator).values(), *vars(evaluator._likelihoods).values()]
    assert {value.device.type for value in tensors if isinstance(value, Tensor)} == {"meta"}


# Errors


@pytest.mark.parametrize(("shape", "labels"), [((2, 5, C), 5), ((3, 5, C + 1), 5), ((3, 5, C), 4), ((5, C), 5)])
def test_evaluator_update_refuses_wrong_shapes(shape: tuple[int, ...], labels: int) -> None:
    with pytest.raises(ValueError, match="should be"):
        Evaluator(C, 3, class_counts=COUNTS).update(torch.zeros(shape), torch.zeros(labels, dtype=torch.int64))


def test_evaluator_does_not_count_impossible_labels_and_reports_them() -> None:
    logits, labels = batch()
    evaluator = evaluated(logits, labels)
    before = [part.clone() for part in evaluator.state()]
    evaluator.update(logits[:, :2], torch.tensor([-1, C]))
    after = evaluator.state()
    assert all(torch.equal(after[i], before[i]) for i in (0, 1, 3, 4, 5))
    with pytest.raises(ValueError, match="2 labels are outside"):
        evaluator.results()
    with pytest.raises(ValueError, match="2 labels are outside"):
        evaluator.confusion(0)


@pytest.mark.parametrize(("classes", "experts", "counts"), [(0, 1, []), (3, 0, [1, 2, 3]), (3, 1, [1, 2])])
def test_evaluator_refuses_bad_sizes(classes: int, experts: int, counts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"cannot evaluate|2 class counts for 3 classes"):
        Evaluator(classes, experts, class_counts=counts)


def test_evaluator_refuses_overlapping_thresholds() -> None:
    with pytest.raises(ValueError, match="overlap"):
        Evaluator(C, 1, class_counts=COUNTS, many=5, few=5)


def test_evaluator_update_refuses_labels_that_are_not_integers() -> None:
    with pytest.raises(ValueError, match="integers"):
        Evaluator(C, 1, class_counts=COUNTS).update(torch.zeros(1, 2, C), torch.zeros(2))


@pytest.mark.parametrize("experts", [1, 3])
def test_evaluator_per_class_equals_the_confusion_matrix(experts: int) -> None:
    evaluator = evaluated(*batch(experts))
    for which in (*range(experts), "ensemble"):
        counts, matrix = evaluator.per_class(which), evaluator.confusion(which)
        assert counts.num_classes == matrix.num_classes
        for name in ("support", "correct", "predicted", "recall", "precision"):
            assert getattr(counts, name)() == getattr(matrix, name)()
    with pytest.raises(ValueError, match="no expert"):
        evaluator.per_class(3)


def test_evaluator_of_very_many_classes_keeps_no_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = batch()
    expected = evaluated(logits, labels)
    monkeypatch.setattr("longtail.evaluation.evaluator.MATRIX_CLASSES", C - 1)
    evaluator = evaluated(logits, labels)
    assert expected.has_confusion
    assert not evaluator.has_confusion
    assert sum(part.numel() for part in evaluator.state()) < sum(part.numel() for part in expected.state())
    assert evaluator.results() == expected.results()
    assert evaluator.per_class(1).recall() == expected.per_class(1).recall()
    with pytest.raises(ValueError, match="no confusion matrix of 7 classes"):
        evaluator.confusion("ensemble")


@pytest.mark.parametrize("which", [3, -1, "mean"])
def test_evaluator_confusion_refuses_unknown_experts(which: Any) -> None:
    with pytest.raises(ValueError, match="no expert"):
        Evaluator(C, 3, class_counts=COUNTS).confusion(which)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_evaluator_on_a_gpu_counts_the_same_without_synchronizing() -> None:
    logits, labels = batch(coarse=True)
    evaluator = Evaluator(C, 3, class_counts=COUNTS, device="cuda")
    logits_there, labels_there = logits.cuda(), labels.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        evaluator.update(logits_there, labels_there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for mine, wanted in zip(evaluator.state(), evaluated(logits, labels).state(), strict=True):
        assert torch.allclose(mine.cpu().double(), wanted.double(), rtol=1e-5)
