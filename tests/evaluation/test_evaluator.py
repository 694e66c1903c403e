import pytest
import torch
from torch.nn import functional as F

from longtail.evaluation import ConfusionMatrix, Judge, shot_accuracy, topk_correct

COUNTS = [200, 150, 60, 40, 15, 8, 2]
C = len(COUNTS)


def batch(experts=3, size=90, classes=C, seed=0, coarse=False):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(experts, size, classes, generator=generator)
    labels = torch.randint(classes, (size,), generator=generator)
    return (logits.round() if coarse else logits), labels


def judged(logits, labels, **options):
    judge = Judge(logits.shape[2], logits.shape[0], COUNTS[: logits.shape[2]], **options)
    judge.update(logits, labels)
    return judge


def naive_topk(scores, labels, k):
    hits = 0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        hits += label in sorted(range(len(row)), key=lambda index: (-row[index], index))[:k]
    return hits


@pytest.mark.parametrize("coarse", [False, True])  # coarse logits are full of ties
def test_topk_equals_a_loop(coarse):
    logits, labels = batch(coarse=coarse)
    found = topk_correct(logits, labels)
    assert list(found) == [1, 2, 3, 5]
    for k, counts in found.items():
        assert counts.tolist() == [naive_topk(scores, labels, k) for scores in logits]
        assert topk_correct(logits[0], labels)[k] == counts[0]


def test_topk_leaves_out_what_is_too_large():
    logits, labels = batch(classes=4)
    assert list(topk_correct(logits, labels)) == [1, 2, 3]
    assert list(topk_correct(logits, labels, ks=(4, 5, 4))) == [4]
    assert topk_correct(logits, labels, ks=(4,))[4].tolist() == [90, 90, 90]
    with pytest.raises(ValueError):
        topk_correct(logits, labels, ks=(0,))


def test_nan_never_beats_a_number():
    logits = torch.tensor([[float("nan"), 1.0, 0.0], [0.0, float("nan"), 1.0]])
    assert topk_correct(logits, torch.tensor([0, 2]), ks=(1,))[1] == 1


@pytest.mark.parametrize("coarse", [False, True])
def test_results_equal_the_plain_definition(coarse):
    logits, labels = batch(coarse=coarse)
    judge = judged(logits, labels)
    results = judge.results()
    mean = logits.mean(0)
    for which, scores in [(0, logits[0]), (1, logits[1]), (2, logits[2]), ("ensemble", mean)]:
        cm = ConfusionMatrix(C)
        cm.update(scores.argmax(-1), labels)
        wanted = {f"top{k}": naive_topk(scores, labels, k) / 90 for k in (1, 2, 3, 5)}
        wanted |= {name: value for name, value in shot_accuracy(cm, COUNTS).items() if name != "all"}
        assert (results["ensemble"] if which == "ensemble" else results["experts"][which]) == wanted
        assert torch.equal(judge.confusion(which).matrix, cm.matrix)
        assert wanted["top1"] == cm.accuracy()
    assert results["loss"] == pytest.approx(float(F.cross_entropy(mean.double(), labels)), rel=1e-6)


def test_the_ensemble_is_the_mean_of_raw_logits():
    # Expert 0 shouts, experts 1 and 2 whisper: probabilities or votes would choose class 1.
    logits = torch.tensor([[[9.0, 0, 0]], [[0, 4.0, 0]], [[0, 4.0, 0]]])
    judge = Judge(3, 3, [9, 9, 9])
    judge.update(logits, torch.tensor([0]))
    assert judge.results()["ensemble"]["top1"] == 1


def test_half_precision_is_averaged_in_single():
    logits = torch.tensor([[[512.0, 512.0]], [[1.0, 2.0]]], dtype=torch.bfloat16)  # bf16 mean: a tie
    judge = Judge(2, 2, [9, 9])
    judge.update(logits, torch.tensor([1]))
    assert judge.results()["ensemble"]["top1"] == 1


def test_shards_sum_to_the_whole():
    logits, labels = batch(size=101)
    whole = judged(logits, labels)
    order = torch.randperm(101, generator=torch.Generator().manual_seed(2))
    shards = []
    for shard in order.split(40):
        judge = Judge(C, 3, COUNTS)
        for index in shard.split(7):
            judge.update(logits[:, index], labels[index])
        shards.append(judge.state())
    empty = Judge(C, 3, COUNTS).state()
    summed = Judge(C, 3, COUNTS)
    summed.load_state([sum(parts) for parts in zip(*shards, empty, strict=True)])
    for mine, wanted in zip(summed.state()[:3], whole.state()[:3], strict=True):
        assert torch.equal(mine, wanted)
    found, wanted = summed.results(), whole.results()
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-9)
    assert {**found, "loss": 0} == {**wanted, "loss": 0}


def test_a_single_expert_is_the_ensemble():
    judge = judged(*batch(experts=1))
    results = judge.results()
    assert results["experts"] == [results["ensemble"]]
    assert torch.equal(judge.confusion(0).matrix, judge.confusion("ensemble").matrix)


def test_what_does_not_exist_is_absent():
    logits, labels = batch(classes=4)
    results = judged(logits, labels).results()
    assert set(results["ensemble"]) == {"top1", "top2", "top3", "many", "medium"}
    judge = Judge(4, 3, [200, 50, 50, 5])
    judge.update(logits, labels.clamp(max=2))  # class 3 has no samples
    assert "few" not in judge.results()["ensemble"]
    assert Judge(4, 2, [1, 2, 3, 4]).results() == {"ensemble": {}, "experts": [{}, {}]}
    judge = Judge(4, 2, [1, 2, 3, 4])
    judge.update(torch.zeros(2, 0, 4), torch.zeros(0, dtype=torch.int64))
    assert judge.results()["ensemble"] == {}


def test_thresholds_are_used():
    results = judged(*batch(), many=50, few=3).results()
    other = judged(*batch()).results()
    assert results["ensemble"]["many"] != other["ensemble"]["many"]


@pytest.mark.parametrize(("shape", "labels"), [((2, 5, C), 5), ((3, 5, C + 1), 5), ((3, 5, C), 4), ((5, C), 5)])
def test_wrong_shapes_are_refused(shape, labels):
    with pytest.raises(ValueError, match="should be"):
        Judge(C, 3, COUNTS).update(torch.zeros(shape), torch.zeros(labels, dtype=torch.int64))


def test_impossible_labels_are_reported_and_not_counted():
    logits, labels = batch()
    judge = judged(logits, labels)
    before = [part.clone() for part in judge.state()]
    judge.update(logits[:, :2], torch.tensor([-1, C]))
    after = judge.state()
    assert all(torch.equal(after[i], before[i]) for i in (0, 1, 3))
    for call in (judge.results, lambda: judge.confusion(0)):
        with pytest.raises(ValueError, match="2 labels are outside"):
            call()


def test_other_mistakes():
    for arguments in [(0, 1, []), (3, 0, [1, 2, 3]), (3, 1, [1, 2])]:
        with pytest.raises(ValueError):
            Judge(*arguments)
    with pytest.raises(ValueError, match="overlap"):
        Judge(C, 1, COUNTS, many=5, few=5)
    with pytest.raises(ValueError, match="integers"):
        Judge(C, 1, COUNTS).update(torch.zeros(1, 2, C), torch.zeros(2))
    with pytest.raises(ValueError, match="shapes"):
        Judge(C, 1, COUNTS).load_state(Judge(C, 2, COUNTS).state())
    for which in (3, -1, "mean"):
        with pytest.raises(ValueError, match="no expert"):
            Judge(C, 3, COUNTS).confusion(which)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_counts_the_same_without_waiting():
    logits, labels = batch(coarse=True)
    judge = Judge(C, 3, COUNTS, device="cuda")
    logits_there, labels_there = logits.cuda(), labels.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        judge.update(logits_there, labels_there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for mine, wanted in zip(judge.state()[:3], judged(logits, labels).state()[:3], strict=True):
        assert torch.equal(mine.cpu(), wanted)
