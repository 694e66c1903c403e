"""The outcome of a run: its best and its last judgement, as results.json tells them."""

from typing import Any

Judged = dict[str, Any]


class Results:
    """Best and last judgement of a run.

    Attributes:
        best: {"epoch", "ensemble": {...}, "experts": [{...}]} of the epoch with the highest ensemble top-1, the first
            of equals.
        best_single: {"epoch", "expert" (from 1), "top1"} of the best single expert in any epoch.
        last: as `best`, of the newest epoch that was judged.
    """

    def __init__(self) -> None:
        self.best: Judged | None = None
        self.best_single: dict[str, Any] | None = None
        self.last: Judged | None = None

    def add(self, epoch: int, judged: Judged) -> tuple[bool, bool]:
        """Take in the judgement of an epoch; return whether ensemble and best single expert are better than ever."""
        self.last = {"epoch": epoch, "ensemble": judged["ensemble"], "experts": judged["experts"]}
        better = self.best is None or _top1(judged["ensemble"]) > _top1(self.best["ensemble"])
        if better:
            self.best = self.last
        tops = [_top1(expert) for expert in judged["experts"]]
        top = max(tops)
        better_single = self.best_single is None or top > self.best_single["top1"]
        if better_single:
            self.best_single = {"epoch": epoch, "expert": tops.index(top) + 1, "top1": top}
        return better, better_single

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as plain values."""
        return {"best": self.best, "best_single": self.best_single, "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved results."""
        self.best, self.best_single, self.last = state["best"], state["best_single"], state["last"]


def _top1(accuracies: dict[str, float]) -> float:
    return accuracies.get("top1", 0.0)
