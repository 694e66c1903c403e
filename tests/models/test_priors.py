"""TEST.PRIOR."""

import json
from pathlib import Path

import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import build_adjusted_heads, uses_post_hoc
from longtail.models.priors import prior_offset

COUNTS = [60, 30, 10]


def test_prior_offset_of_equal_frequencies_is_zero() -> None:
    assert torch.equal(prior_offset("uniform", COUNTS), torch.zeros(3))
    assert torch.equal(prior_offset("train", [5, 5, 5]), torch.zeros(3))


def test_prior_offset_is_the_log_of_the_ratio() -> None:
    assert torch.allclose(prior_offset("train", COUNTS), (3 * torch.tensor([0.6, 0.3, 0.1])).log())
    assert torch.allclose(prior_offset("reversed", [30, 60, 10]), (3 * torch.tensor([0.3, 0.1, 0.6])).log())


def test_prior_offset_gives_the_posterior_of_bayes_rule() -> None:
    likelihood = torch.tensor([[0.2, 0.5, 0.9], [0.7, 0.1, 0.4]])
    prior = torch.tensor([0.6, 0.3, 0.1])
    posterior = likelihood * prior
    adjusted = (likelihood / likelihood.sum(1, keepdim=True)).log() + prior_offset("train", COUNTS)
    assert torch.allclose(adjusted.softmax(1), posterior / posterior.sum(1, keepdim=True))


@pytest.mark.parametrize("text", ["[6, 3, 1]", "0.6\n0.3\n0.1\n", "60 30 10"])
def test_prior_offset_of_a_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prior"
    path.write_text(text)
    assert torch.allclose(prior_offset(str(path), [1, 1, 1]), prior_offset("train", COUNTS))


@pytest.mark.parametrize("content", [[1, 2], [1, 2, 0], [1, 2, -1], ["a", 1, 2], [[1], 1, 1], [1, 2, float("inf")]])
def test_prior_offset_refuses_a_wrong_file(tmp_path: Path, content: object) -> None:
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="must hold 3 positive numbers"):
        prior_offset(str(path), COUNTS)


def test_prior_offset_refuses_an_unknown_prior() -> None:
    with pytest.raises(UserError, match="allowed: uniform, train, reversed, or a file with one number per class"):
        prior_offset("revrsed", COUNTS)


def test_build_adjusted_heads_train_prior_undoes_logit_adjustment() -> None:
    head = torch.nn.Linear(4, 3)
    features = torch.randn(1, 5, 4)
    cfg = load_config(None, ["TEST.LOGIT_ADJUSTMENT", 1.0, "TEST.PRIOR", "train"])
    assert uses_post_hoc(cfg) and not uses_post_hoc(load_config(None, []))
    logits = build_adjusted_heads(cfg, [head], class_counts=COUNTS)(features)
    assert torch.allclose(logits.softmax(-1), head(features).softmax(-1), atol=1e-6)


def test_build_adjusted_heads_divides_all_but_the_prior_by_the_temperature() -> None:
    head, features = torch.nn.Linear(4, 3), torch.randn(1, 5, 4)
    offsets = ["TEST.LOGIT_ADJUSTMENT", 0.5, "TEST.CLASS_OFFSETS", [0.3, 0.0, -0.2]]
    cfg = load_config(None, [*offsets, "TEST.TEMPERATURE", 2.0, "TEST.PRIOR", "train"])
    frequencies = torch.tensor([0.6, 0.3, 0.1])
    adjusted = head(features) - 0.5 * frequencies.log() + torch.tensor([0.3, 0.0, -0.2])
    expected = adjusted / 2 + (3 * frequencies).log()
    torch.testing.assert_close(build_adjusted_heads(cfg, [head], class_counts=COUNTS)(features), expected)
