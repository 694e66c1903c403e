"""The classes as tables and figures need them."""

from collections.abc import Sequence
from dataclasses import dataclass

from longtail.evaluation.shots import FEW, MANY, counts_list, shot_groups


@dataclass(frozen=True)
class Classes:
    """Training images and names of the classes, and the thresholds of the shot groups.

    Attributes:
        counts: Training images per class, (C,).
        names: Names of the classes, (C,); empty: they have none.
        many: Smallest count of a "many" class.
        few: Largest count of a "few" class.

    Raises:
        ValueError: A count is negative, there are not C names, or the thresholds overlap.
    """

    counts: Sequence[int]
    names: Sequence[str] = ()
    many: int = MANY
    few: int = FEW

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", counts_list(self.counts))
        if self.names and len(self.names) != len(self):
            raise ValueError(f"{len(self.names)} class names for {len(self)} classes")
        self.groups()

    def __len__(self) -> int:
        """Return C."""
        return len(self.counts)

    def groups(self) -> dict[str, list[int]]:
        """Return the class ids of each shot group, see `shot_groups`."""
        return shot_groups(self.counts, self.many, self.few)

    def check(self, num_classes: int) -> None:
        """Refuse another number of classes.

        Raises:
            ValueError: It is not C.
        """
        if len(self) != num_classes:
            raise ValueError(f"{len(self)} class counts for {num_classes} classes")

    def rule(self, group: str) -> str:
        """Return the range of counts of a shot group, for example "≥ 100"."""
        return {"many": f"≥ {self.many}", "medium": f"{self.few + 1}–{self.many - 1}", "few": f"≤ {self.few}"}[group]
