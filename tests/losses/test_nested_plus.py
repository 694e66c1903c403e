"""The loss of NCL++ against the released code's record, a naive oracle, its invariances, and its limits."""

import math

import pytest
import torch
from golden_records import record, relative_error, tensor
from loss_parts import nested_loss

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import NestedPlusLoss, Prediction, build_loss

CASES = [case for case in record("nested_losses")["cases"] if case["options"][1] == "NIL_NBOD_plus"]
COUNTS = [50, 30, 12, 7, 3, 2]
C = len(COUNTS)
FACTORS = {"ce_ratio": 0.7, "hard_ratio": 0.4, "distillation_factor": 0.47}
MODES = ["zero", "exclude"]


def build(views, mode="zero", number=3, per_expert=False, **settings):
    settings = {**FACTORS, "mode": mode, "per_expert": per_expert, "views": views, **settings}
    return nested_loss(NestedPlusLoss, COUNTS, number, **settings)


def draw(experts=2, views=3, images=4, scale=3.0):
    random = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(experts, views * images, C, generator=random, dtype=torch.float64)
    return logits, torch.randint(C, (images,), generator=random).repeat(views)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_equals_the_released_code(case):
    logits, targets, grad = (tensor("nested_losses", f"{case['id']}.{name}") for name in ("logits", "targets", "grad"))
    loss = build_loss(load_config(None, case["options"]), case["class_counts"])
    logits = logits.clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert value.item() == pytest.approx(case["loss"], rel=1e-5)
    assert relative_error(logits.grad, grad) <= 1e-5


def test_all_recorded_cases_are_there():
    assert len(CASES) == 20
    assert {(case["experts"], case["views"]) for case in CASES} == {(1, 2), (2, 3), (2, 4), (3, 2)}


def test_the_published_example():
    k, b, c = torch.meshgrid(torch.arange(2.0), torch.arange(4.0), torch.arange(5.0), indexing="ij")
    logits = 2 * torch.sin(1.0 + 0.7 * k + 1.3 * b + 0.9 * c).double()
    logits = logits.float().requires_grad_()
    loss = nested_loss(NestedPlusLoss, [100, 40, 20, 10, 5], 3, views=2)
    terms = loss.terms(Prediction(logits, torch.tensor([0, 3, 0, 3])))
    values = {name: term.item() for name, term in terms.items()}
    expected = {"ce": 3.840471, "hard_ce": 3.611155, "intra": 7.465658, "inter": 0.451709}
    assert values == pytest.approx(expected, abs=2e-5)
    sum(terms.values()).backward()
    first = [-0.457444, 0.560317, 0.022748, -0.039389, -0.086824]
    assert logits.grad[0, 0].tolist() == pytest.approx(first, abs=2e-5)


def oracle(logits, targets, views, mode, number, per_expert):
    """One member, one sample, one pair, one class at a time."""
    experts, rows = logits.shape[:2]
    images = rows // views
    prior = torch.tensor([math.log(n) for n in COUNTS], dtype=logits.dtype)

    def chosen(k, row):
        scores, y = logits[k, row].detach(), int(targets[row])
        others = sorted((c for c in range(C) if c != y), key=lambda c: -float(scores[c]))
        return [y, *others[: number - 1]]

    def probabilities(k, row):
        return (logits[k, row] + prior).softmax(0)

    def renormalised(p, kept):
        return [p[c] / sum(p[d] for d in kept) for c in kept] if mode == "exclude" else [p[c] for c in kept]

    def divergence(teacher, student):
        return sum(t * (t.log() - (s + 1e-9).log()) for t, s in zip(teacher, student, strict=True))

    def group(members, shared):
        """Members are (expert, row) pairs about one image; `shared` chooses the hard classes for all of them."""
        total = 0.0
        for student in members:
            kept = chosen(*(student if per_expert else shared))
            for teacher in members:
                if teacher != student:
                    p, q = probabilities(*teacher), probabilities(*student)
                    total = total + divergence(p, q) + divergence(renormalised(p, kept), renormalised(q, kept))
        return FACTORS["distillation_factor"] * 2 / (len(members) * (len(members) - 1)) * total

    terms = {"ce": 0.0, "hard_ce": 0.0}
    for k in range(experts):
        for row in range(rows):
            kept, y = chosen(k if per_expert else 0, row), int(targets[row])
            a = logits[k, row] + prior
            fill = 0.0 if mode == "zero" else -math.inf
            hard = torch.stack([a[c] if c in kept else a.new_tensor(fill) for c in range(C)]).softmax(0)
            terms["ce"] = terms["ce"] - FACTORS["ce_ratio"] * a.softmax(0)[y].log() / rows
            terms["hard_ce"] = terms["hard_ce"] - FACTORS["hard_ratio"] * hard[y].log() / rows
    if views > 1:
        terms["intra"] = (
            sum(
                group([(k, v * images + b) for v in range(views)], (0, b))
                for k in range(experts)
                for b in range(images)
            )
            / images
        )
    if experts > 1:
        terms["inter"] = sum(group([(k, row) for k in range(experts)], (0, row)) for row in range(rows)) / rows
    return terms


@pytest.mark.parametrize("per_expert", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("experts", "views", "number"), [(1, 3, 3), (2, 1, 2), (2, 3, 3), (3, 2, 1), (2, 2, C)])
def test_equals_the_naive_loss_in_value_and_gradient(experts, views, number, mode, per_expert):
    logits, targets = draw(experts, views, 2)
    mine, naive = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    terms = build(views, mode, number, per_expert).terms(Prediction(mine, targets))
    expected = oracle(naive, targets, views, mode, number, per_expert)
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], rtol=1e-6, atol=1e-7)
    sum(terms.values()).backward()
    sum(expected.values()).backward()
    torch.testing.assert_close(mine.grad, naive.grad, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("per_expert", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_images_may_change_places_in_all_views_alike(mode, per_expert):
    logits, targets = draw(views=3)
    rows = (torch.tensor([2, 0, 3, 1]) + 4 * torch.arange(3)[:, None]).flatten()
    loss = build(3, mode, per_expert=per_expert)
    torch.testing.assert_close(loss(logits[:, rows], targets[rows]), loss(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_members_may_change_places_where_each_chooses_for_itself(mode):
    logits, targets = draw(experts=3, views=3)
    loss = build(3, mode, per_expert=True)
    other_views = logits.unflatten(1, (3, 4))[:, [2, 0, 1]].flatten(1, 2)
    for moved in (logits[[2, 0, 1]], other_views):
        torch.testing.assert_close(loss(moved, targets), loss(logits, targets))


def test_one_view_has_no_intra_and_one_expert_no_inter():
    assert list(build(1).terms(Prediction(*draw(views=1)))) == ["ce", "hard_ce", "inter"]
    assert list(build(3).terms(Prediction(*draw(experts=1)))) == ["ce", "hard_ce", "intra"]
    assert list(build(1).terms(Prediction(*draw(experts=1, views=1)))) == ["ce", "hard_ce"]


@pytest.mark.parametrize("per_expert", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_equal_views_and_experts_have_nothing_to_learn_from_each_other(mode, per_expert):
    logits, targets = draw(1, 1)
    terms = build(3, mode, per_expert=per_expert).terms(Prediction(logits.repeat(2, 3, 1), targets.repeat(3)))
    assert terms["intra"].abs() < 1e-6
    assert terms["inter"].abs() < 1e-6


@pytest.mark.parametrize("per_expert", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_extreme_logits_give_finite_values_and_gradients(mode, per_expert, kind, autocast, scale):
    signs = torch.randint(-1, 2, (3, 16, C), generator=torch.Generator().manual_seed(0))
    logits = (signs * scale).to(kind).requires_grad_()
    targets = (torch.arange(8) % C).repeat(2)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        loss = build(2, mode, per_expert=per_expert)(logits, targets)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.dtype == kind
    assert logits.grad.isfinite().all()


def test_rows_that_are_no_whole_views_are_refused():
    logits, targets = draw(views=3, images=3)
    with pytest.raises(ValueError, match="9 rows of logits do not divide into 2 views"):
        build(2)(logits, targets)


def test_the_builder_reads_the_tree():
    keys = ["LOSS.LOSS_TYPE", "NIL_NBOD_plus", "LOSS.HCM_N", 2, "DATASET.INTRA_N", 4, "LOSS.HCM_MODE", "exclude"]
    keys += ["LOSS.HCM_PER_EXPERT", True, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.3]
    loss = build_loss(load_config(None, keys), COUNTS)
    assert (loss.nested, loss.views, loss.hard_mode, loss.hard_number) == (True, 4, "exclude", 2)
    assert (loss.hard_per_expert, loss.distillation_factor) == (True, 0.3)


def test_impossible_settings_are_refused():
    keys = ["LOSS.LOSS_TYPE", "NIL_NBOD_plus", "DATASET.INTRA_N", 4]
    with pytest.raises(UserError, match="INTRA_N is 4, but 2 views"):
        build_loss(load_config(None, [*keys, "DATASET.VIEWS", ["crop", "crop_flip"]]), COUNTS)
    with pytest.raises(UserError, match="HCM_N is 7; it must be at most the number of classes, 6"):
        build_loss(load_config(None, [*keys, "LOSS.HCM_N", 7]), COUNTS)
