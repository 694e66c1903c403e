"""Ensembles: the heads of a network whose mean is the prediction."""

import re
from collections.abc import Sequence

from torch import Tensor

from longtail.errors import UserError
from longtail.precision import in_float32

KEY = "TEST.ENSEMBLE"


def ensemble_heads(rule: str, heads: int) -> tuple[int, ...]:
    """Return the indices of the heads whose mean is the prediction.

    Args:
        rule: "mean" (all heads), "last", or indices from 0, for example "0,2" or "[0, 2]".
        heads: Number of heads E.

    Raises:
        UserError: There is no such rule or head, or a head is listed twice.
    """
    check_ensemble(rule)
    if rule == "mean":
        return tuple(range(heads))
    if rule == "last":
        return (heads - 1,)
    indices = tuple(map(int, re.findall(r"\d+", rule)))
    if max(indices) >= heads or len(set(indices)) < len(indices):
        raise UserError(f"{KEY} is {rule!r}; each index may occur once and must be between 0 and {heads - 1}")
    return indices


def check_ensemble(rule: str) -> None:
    """Refuse a rule that is wrong for every number of heads.

    Raises:
        UserError: It is wrong; the message names what is allowed.
    """
    if rule not in ("mean", "last") and not re.fullmatch(r"\[?\s*\d{1,4}(\s*,\s*\d{1,4})*\s*\]?", rule):
        raise UserError(f"{KEY} is {rule!r}; allowed: 'mean', 'last', or indices of heads such as '0,2'")


def ensemble_logits(logits: Tensor, heads: Sequence[int]) -> Tensor:
    """Return the mean logits (B, C) of some of E heads, at least float32, of logits (E, B, C).

    Half precision would round the mean, which could change predictions of near ties.
    """
    return in_float32(logits if len(heads) == len(logits) else logits[list(heads)]).mean(dim=0)
