"""Mixup with a lam for each image."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.engine.meter import Meter
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.losses.cascade import density_weights
from longtail.methods import build_method
from longtail.models import build_model
from tests.helpers.mixing import COUNTS, LABELS, batch, build
from tests.methods.test_cascade_losses import DATA, config
from tests.methods.test_cascade_losses import batch as cascade_batch

LAMS = torch.tensor([0.9, 0.2, 0.5, 1.0, 0.0, 0.35, 0.6])
PER_SAMPLE = ("TRAIN.COMBINER.PER_SAMPLE", True)


def fix(method: Any, monkeypatch: pytest.MonkeyPatch, lam: Tensor) -> None:
    monkeypatch.setattr(method, "draw_lam", lambda targets: lam)


def test_per_sample_lam_is_drawn_for_every_row() -> None:
    method, _, _ = build("mixup", *PER_SAMPLE)
    lam = method.draw_lam(torch.zeros(50))
    assert lam.shape == (50,) and lam.unique().numel() == 50
    assert lam.min() < 0.5 < lam.max()  # not folded
    assert build("mixup")[0].draw_lam(torch.zeros(50)).shape == ()


@pytest.mark.parametrize("name", ["CrossEntropy", "BalancedSoftmaxCE", "LogitAdjustment"])
def test_per_sample_mixup_matches_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, _ = build("mixup", "LOSS.LOSS_TYPE", name, *PER_SAMPLE)
    fix(method, monkeypatch, LAMS)
    step = method.training_step(batch())
    assert step.mixed is not None
    prior = torch.tensor(COUNTS).log() * (name != "CrossEntropy")
    others = step.mixed.targets.tolist()
    total = torch.zeros(())
    for logits in step.logits:
        for i, lam in enumerate(LAMS):
            scores = (logits[i] + prior).log_softmax(0)
            total = total - (lam * scores[LABELS[i]] + (1 - lam) * scores[others[i]]) / len(LABELS)
    torch.testing.assert_close(step.loss.detach(), total)


def test_per_sample_mixup_mixes_every_image_with_its_lam(monkeypatch: pytest.MonkeyPatch) -> None:
    method, network, _ = build("mixup", *PER_SAMPLE)
    fix(method, monkeypatch, LAMS)
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(4)
    method.training_step(batch())
    torch.manual_seed(4)
    partners, images = torch.randperm(7), batch().images[0]
    for i, lam in enumerate(LAMS):
        torch.testing.assert_close(seen[0][i], lam * images[i] + (1 - lam) * images[partners[i]])


@pytest.mark.parametrize("kind", ["mixup", "manifold_mixup", "remix", "bbn_mixup"])
def test_equal_lams_give_the_loss_of_one_lam(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = ["TRAIN.SAMPLER.TYPE", "bbn sampler"] if kind == "bbn_mixup" else []
    one = batch()._replace(partner=batch(seed=2)) if kind == "bbn_mixup" else batch()
    values = []
    for lam, extra in ((torch.tensor(0.3), ()), (torch.full((7,), 0.3), PER_SAMPLE)):
        method, _, _ = build(kind, *sampler, *extra)
        fix(method, monkeypatch, lam)
        torch.manual_seed(5)
        values.append(method.training_step(one).loss.detach())
    torch.testing.assert_close(values[0], values[1])


@pytest.mark.parametrize("weighting", ["sample", "batch"])
@pytest.mark.parametrize("name", ["CascadeSoftmax", "CascadeSigmoid"])
def test_per_sample_mixup_of_the_cascade_loss_matches_loop(
    name: str, weighting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = config(name, "TRAIN.COMBINER.TYPE", "mixup", *PER_SAMPLE, "LOSS.Cascade.WEIGHTING", weighting)
    torch.manual_seed(0)
    method = build_method(cfg, build_model(cfg, 3), build_loss(cfg, COUNTS[:3]), DATA)
    method.set_epoch(3)
    lams = LAMS[:6]
    fix(method, monkeypatch, lams)
    step = method.training_step(cascade_batch())
    assert step.mixed is not None
    uniform, total = 0.25, torch.zeros(())
    for targets, factors in ((step.targets, lams), (step.mixed.targets, 1 - lams)):
        scores: list[Tensor] = []
        for head in step.logits:
            p = head.softmax(1) if name == "CascadeSoftmax" else head.sigmoid()
            scores.append(p[range(6), targets])
            mean = torch.stack(scores).mean(0)
            w = density_weights(mean, bins=8, gamma=1, base_weight=2)
            w = w.mean().expand(6) if weighting == "batch" else w
            for i in range(6):
                if name == "CascadeSoftmax":
                    term = F.cross_entropy(head[i], targets[i])
                else:
                    term = F.binary_cross_entropy_with_logits(
                        head[i], F.one_hot(targets[i], 3).float(), reduction="sum"
                    )
                total = total + factors[i] * (uniform + (1 - uniform) * w[i]) * term / 6
    torch.testing.assert_close(step.loss.detach(), total)


def test_loss_without_rows_is_refused() -> None:
    with pytest.raises(UserError, match="does not have a loss for each image"):
        build("mixup", "LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2, *PER_SAMPLE)


def test_meter_counts_mixtures_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, _ = build("mixup", *PER_SAMPLE)
    fix(method, monkeypatch, LAMS)
    step = method.training_step(batch())
    assert step.mixed is not None
    meter = Meter()
    meter.update(step)
    predicted = step.logits.mean(0).argmax(1).tolist()
    rows = zip(predicted, LABELS, step.mixed.targets.tolist(), LAMS.tolist(), strict=True)
    correct = sum(lam * (p == first) + (1 - lam) * (p == second) for p, first, second, lam in rows)
    assert meter.means()["top1"] == pytest.approx(correct / 7, abs=1e-6)
