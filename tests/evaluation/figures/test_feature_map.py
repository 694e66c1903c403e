"""Map of features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.evaluation import plot_feature_map
from longtail.evaluation.figures import feature_map
from longtail.evaluation.figures.feature_map import principal_components
from tests.helpers.pictures import read_picture

pytestmark = pytest.mark.filterwarnings("error")


def test_principal_components_are_those_of_the_singular_values() -> None:
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([5, 3, 1, 1, 1, 1])
    points, parts = principal_components(features)
    centered = (features - features.mean(0)).double().numpy()
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(points.abs(), np.abs(left[:, :2] * values[:2]), atol=1e-5)
    assert parts == pytest.approx((values[:2] ** 2 / (values**2).sum()).tolist())


def test_principal_components_do_not_depend_on_place_and_sign() -> None:
    features = torch.rand(40, 5, generator=torch.Generator().manual_seed(0)).pow(4)
    points, _ = principal_components(features)
    torch.testing.assert_close(principal_components(features + 3)[0], points, atol=1e-5, rtol=0)
    assert (points.pow(3).sum(0) > 0).all()
    assert (principal_components(-features)[0].pow(3).sum(0) > 0).all()


def test_principal_components_of_equal_features_explain_nothing() -> None:
    points, parts = principal_components(torch.ones(4, 3))
    assert not points.any() and parts == [0.0, 0.0]


def test_some_of_each_class_keeps_small_classes_whole() -> None:
    labels = torch.tensor([0, 1] * 5 + [0] * 20 + [3])
    kept = feature_map._some_of_each_class(labels, 6)
    counts = torch.bincount(labels[kept], minlength=4)
    assert counts.tolist() == [5, 5, 0, 1]  # every fifth of the 25 of class 0
    assert len(kept.unique()) == len(kept)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [3, 60])
def test_plot_feature_map(tmp_path: Path, classes: int) -> None:
    labels = torch.arange(300) % classes
    random = torch.Generator().manual_seed(0)
    features = torch.randn(classes, 8, generator=random)[labels] + torch.randn(300, 8, generator=random) / 9
    plot_feature_map(tmp_path / "a.png", features, labels)
    image = read_picture(tmp_path / "a.png")
    colored = (image[..., :3].max(-1) - image[..., :3].min(-1)) > 0.5
    assert colored.mean() > 0.01


@pytest.mark.slow
def test_plot_feature_map_of_one_class(tmp_path: Path) -> None:
    plot_feature_map(tmp_path / "a.png", torch.randn(5, 2), torch.zeros(5, dtype=torch.int64))
    read_picture(tmp_path / "a.png")
