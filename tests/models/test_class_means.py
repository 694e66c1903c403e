"""Heads that start from class means."""

from typing import Any

import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import HEADS, check_class_means, start_from_class_means

LABELS = torch.tensor([0, 2, 1, 0, 2, 2])


@pytest.mark.parametrize("kind", ["cos", "FCNorm", "cosnorm"])
def test_class_means_match_loop(kind: str) -> None:
    features = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    heads: list[Any] = [HEADS.get(kind)(load_config(), 5, 3) for _ in range(2)]
    start_from_class_means(heads, features, labels=LABELS)
    for head, own in zip(heads, features, strict=True):
        for label in range(3):
            rows = [own[i] / own[i].norm() for i in range(6) if LABELS[i] == label]
            mean = torch.stack(rows).mean(0)
            torch.testing.assert_close(head.weight[label].detach(), mean / mean.norm())


def test_class_means_predict_the_nearest_mean_of_features_of_several_widths() -> None:
    random = torch.Generator().manual_seed(0)
    centers = [torch.randn(3, width, generator=random) for width in (8, 4)]
    features = [center[LABELS] + 0.01 for center in centers]
    heads = [HEADS.get("cosnorm")(load_config(), width, 3) for width in (8, 4)]
    start_from_class_means(heads, features, labels=LABELS)
    for head, own in zip(heads, features, strict=True):
        assert torch.equal(head(own).argmax(1), LABELS)


@pytest.mark.parametrize("kind", ["FC", "cRT", "LWS"])
def test_class_means_of_other_heads_are_refused(kind: str) -> None:
    with pytest.raises(UserError, match="needs a cosine head"):
        check_class_means(load_config(None, ["CLASSIFIER.TYPE", kind, "CLASSIFIER.START", "class_means"]))
    check_class_means(load_config(None, ["CLASSIFIER.TYPE", kind]))
