"""Ensembles of some of the heads."""

import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.evaluation import Evaluator, ensemble_heads, ensemble_logits


@pytest.mark.parametrize(
    ("rule", "heads"),
    [("mean", (0, 1, 2)), ("last", (2,)), ("1", (1,)), ("0,2", (0, 2)), ("[2, 0]", (2, 0)), ("(0, 1)", None)],
)
def test_ensemble_heads_reads_every_rule(rule: str, heads: tuple[int, ...] | None) -> None:
    if heads is None:
        with pytest.raises(UserError, match="ENSEMBLE is"):
            ensemble_heads(rule, 3)
    else:
        assert ensemble_heads(rule, 3) == heads


@pytest.mark.parametrize("rule", ["3", "0,3", "1,1", "-1", "", "first", "0;1", "0,", "99999999999"])
def test_ensemble_heads_refuses_others(rule: str) -> None:
    with pytest.raises(UserError, match="ENSEMBLE is"):
        ensemble_heads(rule, 3)


@pytest.mark.parametrize("value", ["0,2", [0, 2], (0, 2), "[0,2]"])
def test_ensemble_key_accepts_strings_and_lists(value: object) -> None:
    assert ensemble_heads(load_config(None, ["TEST.ENSEMBLE", value]).TEST.ENSEMBLE, 3) == (0, 2)
    assert load_config(None, ["TEST.ENSEMBLE", 1]).TEST.ENSEMBLE == "1"


def test_ensemble_logits_is_the_mean_of_the_chosen() -> None:
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ensemble_logits(logits, (2,)), logits[2])
    assert torch.equal(ensemble_logits(logits, (0, 2)), (logits[0] + logits[2]) / 2)
    assert torch.equal(ensemble_logits(logits, (0, 1, 2)), logits.mean(0))
    assert ensemble_logits(logits.bfloat16(), (0, 1)).dtype == torch.float32
    assert ensemble_logits(logits.double(), (0, 1)).dtype == torch.float64


@pytest.mark.parametrize("rule", ["mean", "last", "0", "0,1"])
def test_evaluator_reports_the_ensemble_and_every_head(rule: str) -> None:
    random = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(3, 60, 4, generator=random), torch.randint(4, (60,), generator=random)
    evaluator = Evaluator(4, 3, [200, 50, 30, 5], ensemble=rule)
    evaluator.update(logits, labels)
    chosen = ensemble_logits(logits, ensemble_heads(rule, 3))
    results = evaluator.results()
    assert results["ensemble"]["top1"] == pytest.approx(float((chosen.argmax(1) == labels).float().mean()))
    assert results["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(chosen, labels)), rel=1e-6)
    tops = [float((head.argmax(1) == labels).float().mean()) for head in logits]
    assert [expert["top1"] for expert in results["experts"]] == pytest.approx(tops)
    if rule in ("last", "0"):
        assert results["ensemble"] == results["experts"][ensemble_heads(rule, 3)[0]]


def test_evaluator_of_one_head_has_one_ensemble() -> None:
    evaluator = Evaluator(2, 1, [5, 5], ensemble="last")
    evaluator.update(torch.eye(2)[None], torch.tensor([0, 1]))
    assert evaluator.results()["ensemble"] == evaluator.results()["experts"][0]
