"""NestedPlusLoss (NCL++): loops, a worked example, invariances and limits."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import NestedPlusLoss, Prediction, build_loss
from tests.helpers.losses import grad, nested_loss
from tests.losses.test_nested import COUNTS, MODES, C, hard_of, softmax_over

FACTORS = {"ce_ratio": 0.7, "hard_ratio": 0.4, "distillation_factor": 0.47}
Member = tuple[int, int]  # (expert, row)
per_expert = pytest.mark.parametrize("per_expert", [False, True])
modes = pytest.mark.parametrize("mode", MODES)


def build(
    views: int, mode: str = "zero", number: int = 3, *, per_expert: bool = False, **settings: Any
) -> NestedPlusLoss:
    settings = {**FACTORS, "mode": mode, "per_expert": per_expert, "views": views, **settings}
    return nested_loss(NestedPlusLoss, COUNTS, number, **settings)


def draw(experts: int = 2, views: int = 3, images: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(experts, views * images, C, generator=random, dtype=torch.float64)
    return logits, torch.randint(C, (images,), generator=random).repeat(views)


class Loop:
    """The loss, one member, one sample, one pair, one class at a time."""

    def __init__(self, logits: Tensor, targets: Tensor, *, mode: str, number: int, per_expert: bool) -> None:
        self.logits, self.targets = logits, targets
        self.mode, self.number, self.per_expert = mode, number, per_expert
        self.prior = torch.tensor([math.log(n) for n in COUNTS], dtype=logits.dtype)

    def hard(self, member: Member) -> list[int]:
        return hard_of(self.logits[member].detach(), int(self.targets[member[1]]), self.number)

    def partial(self, p: Tensor, kept: list[int]) -> list[Tensor]:
        """Return the probabilities of the hard classes, normalized again in mode `exclude`."""
        scale = sum(p[c] for c in kept) if self.mode == "exclude" else 1.0
        return [p[c] / scale for c in kept]

    def group(self, members: Sequence[Member], shared: Member) -> Tensor:
        """Return the distillation between members about one image; `shared` chooses the hard classes for all."""
        total = self.logits.new_zeros(())
        for student in members:
            kept = self.hard(student if self.per_expert else shared)
            for teacher in members:
                if teacher != student:
                    p, q = ((self.logits[member] + self.prior).softmax(0) for member in (teacher, student))
                    total = total + divergence(p, q) + divergence(self.partial(p, kept), self.partial(q, kept))
        return FACTORS["distillation_factor"] * 2 / (len(members) * (len(members) - 1)) * total

    def terms(self, views: int) -> dict[str, Tensor]:
        experts, rows = self.logits.shape[:2]
        images = rows // views
        ce, hard_ce = self.logits.new_zeros(()), self.logits.new_zeros(())
        for k in range(experts):
            for row in range(rows):
                y, adjusted = int(self.targets[row]), self.logits[k, row] + self.prior
                kept = self.hard((k if self.per_expert else 0, row))
                ce = ce - FACTORS["ce_ratio"] * adjusted.softmax(0)[y].log() / rows
                hard_ce = hard_ce - FACTORS["hard_ratio"] * softmax_over(adjusted, kept, self.mode)[y].log() / rows
        terms = {"ce": ce, "hard_ce": hard_ce}
        if views > 1:
            groups = [
                self.group([(k, v * images + b) for v in range(views)], (0, b))
                for k in range(experts)
                for b in range(images)
            ]
            terms["intra"] = torch.stack(groups).sum() / images
        if experts > 1:
            groups = [self.group([(k, row) for k in range(experts)], (0, row)) for row in range(rows)]
            terms["inter"] = torch.stack(groups).sum() / rows
        return terms


def divergence(teacher: Sequence[Tensor] | Tensor, student: Sequence[Tensor] | Tensor) -> Tensor:
    return torch.stack([t * (t.log() - (s + 1e-9).log()) for t, s in zip(teacher, student, strict=True)]).sum()


@per_expert
@modes
@pytest.mark.parametrize(("experts", "views", "number"), [(1, 3, 3), (2, 1, 2), (2, 3, 3), (3, 2, 1), (2, 2, C)])
def test_nested_plus_loss_matches_loop(experts: int, views: int, number: int, mode: str, per_expert: bool) -> None:
    logits, targets = draw(experts, views, 2)
    mine, naive = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    terms = build(views, mode, number, per_expert=per_expert).terms(Prediction(mine, targets))
    expected = Loop(naive, targets, mode=mode, number=number, per_expert=per_expert).terms(views)
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], rtol=1e-6, atol=1e-7)
    torch.stack(list(terms.values())).sum().backward()
    torch.stack(list(expected.values())).sum().backward()
    torch.testing.assert_close(mine.grad, naive.grad, rtol=1e-6, atol=1e-7)


def test_nested_plus_loss_worked_example() -> None:
    k, b, c = torch.meshgrid(torch.arange(2.0), torch.arange(4.0), torch.arange(5.0), indexing="ij")
    logits = (2 * torch.sin(1.0 + 0.7 * k + 1.3 * b + 0.9 * c)).requires_grad_()
    loss = nested_loss(NestedPlusLoss, [100, 40, 20, 10, 5], 3, views=2)
    terms = loss.terms(Prediction(logits, torch.tensor([0, 3, 0, 3])))
    values = {name: term.item() for name, term in terms.items()}
    expected = {"ce": 3.840471, "hard_ce": 3.611155, "intra": 7.465658, "inter": 0.451709}
    assert values == pytest.approx(expected, abs=2e-5)
    torch.stack(list(terms.values())).sum().backward()
    first = [-0.457444, 0.560317, 0.022748, -0.039389, -0.086824]
    assert grad(logits)[0, 0].tolist() == pytest.approx(first, abs=2e-5)


@per_expert
@modes
def test_nested_plus_loss_order_of_images_does_not_matter(mode: str, per_expert: bool) -> None:
    logits, targets = draw(views=3)
    rows = (torch.tensor([2, 0, 3, 1]) + 4 * torch.arange(3)[:, None]).flatten()
    loss = build(3, mode, per_expert=per_expert)
    torch.testing.assert_close(loss(logits[:, rows], targets[rows]), loss(logits, targets))


@modes
def test_nested_plus_loss_per_expert_order_of_experts_and_views_does_not_matter(mode: str) -> None:
    logits, targets = draw(experts=3, views=3)
    loss = build(3, mode, per_expert=True)
    other_views = logits.unflatten(1, (3, 4))[:, [2, 0, 1]].flatten(1, 2)
    for moved in (logits[[2, 0, 1]], other_views):
        torch.testing.assert_close(loss(moved, targets), loss(logits, targets))


@pytest.mark.parametrize(
    ("experts", "views", "distilled"), [(2, 1, ["inter"]), (1, 3, ["intra"]), (1, 1, []), (2, 3, ["intra", "inter"])]
)
def test_nested_plus_loss_terms(experts: int, views: int, distilled: list[str]) -> None:
    assert list(build(views).terms(Prediction(*draw(experts, views)))) == ["ce", "hard_ce", *distilled]


@per_expert
@modes
def test_nested_plus_loss_equal_views_and_experts_have_no_distillation(mode: str, per_expert: bool) -> None:
    logits, targets = draw(1, 1)
    terms = build(3, mode, per_expert=per_expert).terms(Prediction(logits.repeat(2, 3, 1), targets.repeat(3)))
    assert terms["intra"].abs() < 1e-6
    assert terms["inter"].abs() < 1e-6


@per_expert
@modes
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_nested_plus_loss_extreme_logits(
    mode: str, per_expert: bool, kind: torch.dtype, autocast: torch.dtype | None, scale: float
) -> None:
    signs = torch.randint(-1, 2, (3, 16, C), generator=torch.Generator().manual_seed(0))
    logits = (signs * scale).to(kind).requires_grad_()
    targets = (torch.arange(8) % C).repeat(2)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        loss = build(2, mode, per_expert=per_expert)(logits, targets)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert grad(logits).dtype == kind
    assert grad(logits).isfinite().all()


def test_nested_plus_loss_refuses_rows_that_are_not_whole_views() -> None:
    logits, targets = draw(views=3, images=3)
    with pytest.raises(ValueError, match="9 rows of logits do not divide into 2 views"):
        build(2)(logits, targets)


def test_build_nested_plus_loss_from_config() -> None:
    keys = ["LOSS.LOSS_TYPE", "NIL_NBOD_plus", "LOSS.HCM_N", 2, "DATASET.INTRA_N", 4, "LOSS.HCM_MODE", "exclude"]
    keys += ["LOSS.HCM_PER_EXPERT", True, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.3]
    loss = build_loss(load_config(None, keys), COUNTS)
    assert isinstance(loss, NestedPlusLoss) and loss.nested
    assert (loss.views, loss.hard.mode, loss.hard.number, loss.hard.per_expert) == (4, "exclude", 2, True)
    assert loss.distillation_factor == 0.3


def test_build_nested_plus_loss_refuses_other_numbers_of_views() -> None:
    keys = ["LOSS.LOSS_TYPE", "NIL_NBOD_plus", "DATASET.INTRA_N", 4, "DATASET.VIEWS", ["crop", "crop_flip"]]
    with pytest.raises(UserError, match=r"INTRA_N is 4, but DATASET\.VIEWS has 2 views"):
        build_loss(load_config(None, keys), COUNTS)
