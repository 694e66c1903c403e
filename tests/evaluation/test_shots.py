import numpy as np
import pytest
import torch

from longtail.evaluation import ConfusionMatrix, shot_accuracy, shot_groups


def test_equals_the_released_code(golden):
    cm = ConfusionMatrix(len(golden["class_counts"]))
    cm.update(golden["predictions"], golden["labels"])
    accuracy = shot_accuracy(cm, golden["class_counts"])
    assert accuracy["all"] == golden["accuracy"]
    for name in ("many", "medium", "few"):
        assert accuracy[name] == pytest.approx(golden[name], rel=1e-12)


def test_groups_at_the_boundaries():
    groups = shot_groups([101, 100, 99, 21, 20, 0])
    assert groups == {"many": [0, 1], "medium": [2, 3], "few": [4, 5]}
    assert shot_groups([5, 4, 3], many=5, few=3) == {"many": [0], "medium": [1], "few": [2]}


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_equals_a_loop_over_samples(kind):
    generator = torch.Generator().manual_seed(0)
    counts = [150, 120, 60, 30, 10, 5]
    labels = torch.randint(6, (400,), generator=generator) ** 2 % 6  # uneven: micro and macro averages differ
    predictions = torch.randint(6, (400,), generator=generator)
    cm = ConfusionMatrix(6)
    cm.update(predictions, labels)
    hits = {"all": [], "many": [], "medium": [], "few": []}
    for prediction, label in zip(predictions.tolist(), labels.tolist(), strict=True):
        name = "many" if counts[label] >= 100 else "few" if counts[label] <= 20 else "medium"
        hits[name].append(prediction == label)
        hits["all"].append(prediction == label)
    assert shot_accuracy(cm, kind(counts)) == {name: sum(found) / len(found) for name, found in hits.items()}


def test_groups_without_classes_or_samples_are_none():
    cm = ConfusionMatrix(3)
    assert set(shot_accuracy(cm, [200, 50, 5]).values()) == {None}
    cm.update([0, 1], [0, 0])
    assert shot_accuracy(cm, [200, 50, 5]) == {"all": 0.5, "many": 0.5, "medium": None, "few": None}
    assert shot_accuracy(cm, [200, 150, 120])["few"] is None


def test_mistakes():
    with pytest.raises(ValueError, match="overlap"):
        shot_groups([1, 2], many=20, few=20)
    with pytest.raises(ValueError, match="2 class counts for 3"):
        shot_accuracy(ConfusionMatrix(3), [1, 2])
    with pytest.raises(ValueError, match="-1"):
        shot_groups([5, -1])
