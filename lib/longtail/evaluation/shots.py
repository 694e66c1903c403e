"""Many, medium and few: accuracy by how many training images a class has."""

from collections.abc import Sequence

from longtail.evaluation.confusion import ConfusionMatrix, Integers

MANY = 100
FEW = 20
GROUPS = ("many", "medium", "few")


def shot_groups(class_counts: Integers, many: int = MANY, few: int = FEW) -> dict[str, list[int]]:
    """Return the class ids of each shot group, in ascending order; a group may be empty.

    Args:
        class_counts: (C,) training images per class.
        many: a class with at least this many training images belongs to "many".
        few: a class with at most this many belongs to "few"; what lies between is "medium".

    Returns:
        {"many": [...], "medium": [...], "few": [...]}

    Raises:
        ValueError: the thresholds overlap.
    """
    if few >= many:
        raise ValueError(f"the shot groups overlap: few is <= {few} and many is >= {many}")
    groups: dict[str, list[int]] = {name: [] for name in GROUPS}
    for index, count in enumerate(counts_list(class_counts)):
        groups["many" if count >= many else "few" if count <= few else "medium"].append(index)
    return groups


def shot_accuracy(
    cm: ConfusionMatrix, class_counts: Integers, many: int = MANY, few: int = FEW
) -> dict[str, float | None]:
    """Return the accuracy over all samples and over the samples of each shot group.

    The accuracies are micro averages: correct samples / samples inside the group, as NCL reports them.

    Args:
        cm: the counted predictions over C classes.
        class_counts: (C,) training images per class.
        many: smallest count of a "many" class.
        few: largest count of a "few" class.

    Returns:
        {"all", "many", "medium", "few"}: fractions in [0, 1], None for a group without samples.

    Raises:
        ValueError: `class_counts` has not C entries, or the thresholds overlap.
    """
    return accuracy_of_groups(cm.correct(), cm.support(), class_counts, many, few)


def accuracy_of_groups(
    correct: Sequence[int], support: Sequence[int], class_counts: Integers, many: int = MANY, few: int = FEW
) -> dict[str, float | None]:
    """Return what `shot_accuracy` does, from the correct samples and all samples of each class, both (C,)."""
    counts = counts_list(class_counts, len(support))
    members = {"all": list(range(len(support))), **shot_groups(counts, many, few)}
    accuracy: dict[str, float | None] = {}
    for name, classes in members.items():
        samples = sum(support[index] for index in classes)
        accuracy[name] = sum(correct[index] for index in classes) / samples if samples else None
    return accuracy


def counts_list(class_counts: Integers, num_classes: int | None = None) -> list[int]:
    """Return class counts given as a list, array or tensor (C,) as a list of C integers.

    Raises:
        ValueError: there are not `num_classes` of them, or one is negative.
    """
    counts = [int(count) for count in class_counts]
    if num_classes is not None and len(counts) != num_classes:
        raise ValueError(f"{len(counts)} class counts for {num_classes} classes")
    if counts and min(counts) < 0:
        raise ValueError(f"a class cannot have {min(counts)} training images")
    return counts
